using System.Diagnostics;
using System.IO.Compression;
using System.Xml.Linq;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

/// <summary>The packages as others take them.</summary>
public sealed class PackageTests(ServedFixture served) : IDisposable
{
    private static readonly string[] Packages = ["StainGrid.Client", "StainGrid.Contracts", "StainGrid.Imaging", "StainGrid.Tiling"];

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task The_packages_are_complete_and_the_example_runs_on_them()
    {
        // A version of its own, so that nothing packed before is taken for it; what is packed was built with this test.
        string version = $"0.0.1-test.{Guid.NewGuid():n}", feed = folder.File("feed"), configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        foreach (string package in Packages)
        {
            await RunAsync("dotnet", Documents.Root, ["pack", Path.Combine("src", package), "--no-build", "-c", configuration, "-o", feed, $"-p:PackageVersion={version}", "--nologo", "-v", "quiet"]);
            Check(package, version, Path.Combine(feed, $"{package}.{version}.nupkg"));
            using var symbols = ZipFile.OpenRead(Path.Combine(feed, $"{package}.{version}.snupkg"));
            Assert.Contains(symbols.Entries, entry => entry.FullName == $"lib/net10.0/{package}.pdb");
        }

        string program = folder.File("program");
        Directory.CreateDirectory(program);
        await File.WriteAllTextAsync(Path.Combine(program, "nuget.config"),
            $"""<configuration><packageSources><add key="local" value="{feed}" /></packageSources><config><add key="globalPackagesFolder" value="{folder.File("packages")}" /></config><fallbackPackageFolders><add key="common" value="{await CommonAsync()}" /></fallbackPackageFolders></configuration>""", Stop);
        await File.WriteAllTextAsync(Path.Combine(program, "program.csproj"),
            $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <Nullable>enable</Nullable>
                <ImplicitUsings>enable</ImplicitUsings>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
                <NoWarn>NU1603</NoWarn>
              </PropertyGroup>
              <ItemGroup><PackageReference Include="StainGrid.Client" Version="{version}" /></ItemGroup>
            </Project>
            """, Stop);
        await File.WriteAllTextAsync(Path.Combine(program, "Program.cs"), await Documents.ExampleAsync("sdk.md", "csharp"), Stop);
        await RunAsync("dotnet", program, ["build", "-o", folder.File("built"), "--nologo", "-v", "quiet"]);

        await served.StartAsync(Stop);
        ServedFixture.WritePlate(folder.File("images"), 2);
        string said = await RunAsync(folder.File("built", "program"), program, [served.Address.AbsoluteUri, folder.File("images")], served.Key);
        Assert.Contains("A/2/0: Complete", said, StringComparison.Ordinal);
        Assert.Contains("Complete: A/1/0 is 128 x 128, the brightest pixel ", said, StringComparison.Ordinal);
    }

    private static void Check(string package, string version, string file)
    {
        using var archive = ZipFile.OpenRead(file);
        string[] names = [.. archive.Entries.Select(entry => entry.FullName)];
        Assert.Contains($"lib/net10.0/{package}.dll", names);
        Assert.Contains($"lib/net10.0/{package}.xml", names);
        Assert.Contains("README.md", names);
        Assert.DoesNotContain(names, name => name.EndsWith(".safetensors", StringComparison.Ordinal) || name.EndsWith(".pdb", StringComparison.Ordinal));
        using var stream = archive.GetEntry(package + ".nuspec")!.Open();
        var metadata = XDocument.Load(stream).Root!.Elements().Single();
        string? Value(string name) => metadata.Elements().SingleOrDefault(element => element.Name.LocalName == name)?.Value;
        Assert.Equal((package, version, "Apache-2.0", "README.md"), (Value("id"), Value("version"), Value("license"), Value("readme")));
        Assert.False(string.IsNullOrWhiteSpace(Value("description")));
        string[] needs = [.. metadata.Descendants().Where(element => element.Name.LocalName == "dependency").Select(element => (string)element.Attribute("id")!).Order(StringComparer.Ordinal)];
        string[] own = [.. needs.Where(name => name.StartsWith("StainGrid.", StringComparison.Ordinal))];
        switch (package)
        {
            case "StainGrid.Client":
                Assert.Equal(
                    [
                        "Microsoft.Extensions.Http", "Microsoft.Extensions.Options.DataAnnotations", "Microsoft.Orleans.Client", "Microsoft.Orleans.Clustering.Redis",
                        "StackExchange.Redis", "StainGrid.Contracts", "StainGrid.Imaging",
                    ],
                    needs);
                break;
            case "StainGrid.Tiling":
                Assert.Empty(needs);
                break;
            default:
                Assert.Equal(["StainGrid.Tiling"], own);
                break;
        }
    }

    // What the build restored is there; only these packages are new.
    private static async Task<string> CommonAsync() =>
        (await RunAsync("dotnet", Documents.Root, ["nuget", "locals", "global-packages", "--list"])).Split(": ", 2)[1].Trim();

    private static async Task<string> RunAsync(string program, string where, IEnumerable<string> arguments, string? key = null)
    {
        var info = new ProcessStartInfo(program, arguments) { WorkingDirectory = where, RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["STAINGRID_API_KEY"] = key;
        using var process = Process.Start(info)!;
        var output = process.StandardOutput.ReadToEndAsync(Stop);
        var errors = process.StandardError.ReadToEndAsync(Stop);
        await process.WaitForExitAsync(Stop);
        return process.ExitCode == 0 ? await output : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {await errors}{await output}");
    }
}

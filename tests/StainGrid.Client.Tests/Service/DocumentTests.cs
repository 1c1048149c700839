using System.Diagnostics;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

/// <summary>The examples of docs/api.md, as they stand there, against a real service.</summary>
public sealed class DocumentTests(ServedFixture served) : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("sh", "/bin/sh", "\"state\":\"complete\"", "curl")]
    [InlineData("python", "/usr/bin/python3", "complete 2 of 2", "python3")]
    public async Task The_example_of_the_main_job_does_it(string language, string program, string said, string needed)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/" + needed), $"{needed} is not installed (apt-get install {needed}).");
        await served.StartAsync(Stop);
        ServedFixture.WritePlate(folder.File("my images"), 2);
        string script = folder.File("example");
        await File.WriteAllTextAsync(script, await Documents.ExampleAsync("api.md", language), Stop);
        using var process = Process.Start(new ProcessStartInfo(program, [script, folder.File("my images")])
        {
            WorkingDirectory = folder.Path,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["STAINGRID_SERVER"] = served.Address.AbsoluteUri.TrimEnd('/'), ["STAINGRID_API_KEY"] = served.Key },
        })!;
        var output = process.StandardOutput.ReadToEndAsync(Stop);
        var errors = process.StandardError.ReadToEndAsync(Stop);
        await process.WaitForExitAsync(Stop);
        Assert.Equal((0, ""), (process.ExitCode, await errors));
        Assert.Contains(said, await output, StringComparison.Ordinal);
        string[] table = await File.ReadAllLinesAsync(folder.File("staingrid-fields.csv"), Stop);
        Assert.Equal(["A01", "A02"], table.Skip(1).Select(row => row.Split(',')[0]).Distinct());
    }
}

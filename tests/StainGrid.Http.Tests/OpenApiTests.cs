using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;

namespace StainGrid.Http.Tests;

/// <summary>The OpenAPI document, by tools that others use (tests/openapi).</summary>
public sealed class OpenApiTests(Service service) : IClassFixture<Service>
{
    [Fact]
    public async Task The_document_is_valid_and_a_client_made_from_it_compiles_and_stains_a_plate()
    {
        string folder = Path.Combine(Folder(), "..", "openapi");
        if (!Directory.Exists(Path.Combine(folder, "node_modules")))
            await RunAsync("npm", ["ci", "--no-audit", "--no-fund", "--silent"], folder);
        var result = JsonNode.Parse(await RunAsync("node", ["check.mjs", service.Url.ToString(), service.Submitter, "share:all/plate"], folder))!;
        Assert.Equal("complete", (string)result["state"]!);
        Assert.Equal(["B/2/0", "B/3/0"], result["fields"]!.AsArray().Select(field => (string)field!));
    }

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;

    private static async Task<string> RunAsync(string program, string[] arguments, string folder)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 0, output + await error);
        return output;
    }
}

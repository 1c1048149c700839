using System.Diagnostics;
using System.Text.Json;

namespace StainGrid.Cli.Tests;

/// <summary>Runs the real command as a process.</summary>
internal static class StainGridCommand
{
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "staingrid");

    public static async Task<(int Exit, string Output, string Error)> RunAsync(params string[] arguments)
    {
        using var process = Start(arguments);
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }

    public static Process Start(params string[] arguments) =>
        Process.Start(new ProcessStartInfo(Path, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["OMP_WAIT_POLICY"] = "PASSIVE" },   // as the launcher sets it
        })!;

    /// <summary>The JSON objects that --json printed, one a line.</summary>
    public static JsonElement[] Lines(string output) =>
        [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
}

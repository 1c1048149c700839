using System.Diagnostics;
using System.Text.Json;

namespace StainGrid.Cli.Tests;

/// <summary>Runs the real command as a process.</summary>
internal static class StainGridCommand
{
    private const string Env = "/usr/bin/env", DefaultSignal = "--default-signal=INT";

    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "staingrid");

    // A shell without job control that starts the tests in the background has them ignore SIGINT, which children inherit and .NET
    // then leaves ignored: env gives it back its default, so that the command sees a Ctrl-C. Where env cannot (coreutils before 8.31),
    // or does not exist, the command is started as it is.
    private static bool EnvRestoresSignals { get; } = CanEnvRestoreSignals();

    public static async Task<(int Exit, string Output, string Error)> RunAsync(params string[] arguments)
    {
        using var process = Start(arguments);
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }

    public static Process Start(params string[] arguments) =>
        Process.Start(new ProcessStartInfo(EnvRestoresSignals ? Env : Path, EnvRestoresSignals ? [DefaultSignal, Path, .. arguments] : arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["OMP_WAIT_POLICY"] = "PASSIVE" },   // as the launcher sets it
        })!;

    private static bool CanEnvRestoreSignals()
    {
        if (!File.Exists(Env))
            return false;
        using var trial = Process.Start(new ProcessStartInfo(Env, [DefaultSignal, "true"]) { RedirectStandardError = true })!;
        trial.WaitForExit();
        return trial.ExitCode == 0;
    }

    /// <summary>The JSON objects that --json printed, one a line.</summary>
    public static JsonElement[] Lines(string output) =>
        [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
}

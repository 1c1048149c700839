using System.Diagnostics;

namespace StainGrid.Faults.Tests;

/// <summary>The command as the commit before this one built it, or the commit or tag that STAINGRID_PREVIOUS names.</summary>
internal static class PreviousCommit
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(20);

    /// <summary>The path of the command, built in a folder below obj that has the commit's hash, so that it is built once. Skips the test where there is no commit before this one.</summary>
    public static async Task<string> CommandAsync(CancellationToken cancellationToken)
    {
        string project = AppContext.BaseDirectory[..AppContext.BaseDirectory.LastIndexOf("/bin/", StringComparison.Ordinal)], root = Path.GetFullPath(Path.Combine(project, "..", ".."));
        string previous = Environment.GetEnvironmentVariable("STAINGRID_PREVIOUS") is { Length: > 0 } named ? named : "HEAD~1";   // of a merge the first parent
        var (found, hash) = await RunAsync(root, "git", ["rev-parse", "--verify", "--quiet", "--end-of-options", previous + "^{commit}"], cancellationToken);
        Assert.SkipUnless(found, $"There is no commit {previous} here: no git, no repository (a tarball), or a history cut to one commit (git fetch --deepen 1).");
        string builds = Path.Combine(project, "obj", "previous"), folder = Path.Combine(builds, hash), built = Path.Combine(folder, "built");
        Directory.CreateDirectory(builds);
        await using var turn = await LockAsync(Path.Combine(builds, "lock"), cancellationToken);
        if (!File.Exists(built))
        {
            // One is enough: each takes a build's space, without libtorch, which is linked from the package.
            foreach (string old in Directory.EnumerateDirectories(builds))
                Directory.Delete(old, recursive: true);
            Directory.CreateDirectory(folder);
            string archive = Path.Combine(folder, "tree.tar");
            await SucceedAsync(root, "git", ["archive", "--format=tar", "-o", archive, hash], cancellationToken);
            await System.Formats.Tar.TarFile.ExtractToDirectoryAsync(archive, folder, overwriteFiles: false, cancellationToken);
            File.Delete(archive);
            await SucceedAsync(folder, "dotnet", ["build", "src/StainGrid.Cli", "-c", "Release", "-v", "quiet", "--nologo", "-nodeReuse:false", "-p:RunAnalyzers=false", "-p:GenerateDocumentationFile=false"], cancellationToken);
            await File.WriteAllTextAsync(built, hash, cancellationToken);
        }

        return Path.Combine(folder, "src", "StainGrid.Cli", "bin", "Release", "net10.0", "staingrid");
    }

    private static async Task SucceedAsync(string folder, string program, string[] arguments, CancellationToken cancellationToken)
    {
        var (done, printed) = await RunAsync(folder, program, arguments, cancellationToken);
        Assert.True(done, $"{program} {string.Join(' ', arguments)} in {folder}: {printed}");
    }

    private static async Task<(bool Done, string Printed)> RunAsync(string folder, string program, string[] arguments, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return (false, e.Message);   // it is not installed
        }

        using (process)
        {
            using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            late.CancelAfter(s_patience);
            try
            {
                var error = process.StandardError.ReadToEndAsync(late.Token);
                string printed = await process.StandardOutput.ReadToEndAsync(late.Token);
                await process.WaitForExitAsync(late.Token);
                return (process.ExitCode == 0, process.ExitCode == 0 ? printed.Trim() : printed + await error);
            }
            finally
            {
                if (!process.HasExited)
                    process.Kill(entireProcessTree: true);
            }
        }
    }

    // Held while it is built: another run of the tests waits.
    private static async Task<FileStream> LockAsync(string path, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException)
            {
                await Task.Delay(500, cancellationToken);
            }
        }
    }
}

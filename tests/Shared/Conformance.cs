using System.Diagnostics;
using System.Text.Json;

namespace StainGrid.TestSupport;

/// <summary>Readers that share nothing with StainGrid (zarrita and ome-zarr.js, tests/conformance, run by node).</summary>
internal static class Conformance
{
    private static readonly SemaphoreSlim s_install = new(1);

    /// <summary>The npm project, whose packages are installed at the first use.</summary>
    public static async Task<string> FolderAsync(CancellationToken cancellationToken)
    {
        string folder = FindFolder();
        string done = Path.Combine(folder, "node_modules", ".package-lock.json");
        await s_install.WaitAsync(cancellationToken);
        try
        {
            if (File.Exists(done))
                return folder;

            // Several test programs may start at once: a file lock among them, and a second look under it.
            using var held = await LockAsync(Path.Combine(Path.GetTempPath(), $"staingrid-npm-{Environment.UserName}.lock"), cancellationToken);
            if (!File.Exists(done))
                await RunAsync("npm", ["ci"], folder, cancellationToken);
            return folder;
        }
        finally
        {
            s_install.Release();
        }
    }

    /// <summary>What the readers see of an OME-Zarr image: {"zarrita": {..}, "omeZarr": {..}}, see read-ome-zarr.mjs.</summary>
    public static async Task<JsonElement> ReadOmeZarrAsync(string image, CancellationToken cancellationToken)
    {
        string folder = await FolderAsync(cancellationToken);
        string json = await RunAsync("node", ["read-ome-zarr.mjs", Path.GetFullPath(image)], folder, cancellationToken);
        return JsonDocument.Parse(json).RootElement;
    }

    /// <summary>A region's pixels as zarrita reads them, row by row.</summary>
    public static async Task<ushort[]> ReadRegionAsync(
        string image, int level, int channel, int x, int y, int width, int height, CancellationToken cancellationToken)
    {
        string folder = await FolderAsync(cancellationToken);
        string file = Path.GetTempFileName();
        try
        {
            await RunAsync("node", ["read-ome-zarr.mjs", Path.GetFullPath(image), "--region",
                .. new[] { level, channel, x, y, width, height }.Select(number => number.ToString(System.Globalization.CultureInfo.InvariantCulture)), file], folder, cancellationToken);
            return [.. System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ushort>(await File.ReadAllBytesAsync(file, cancellationToken))];
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>Runs a program to its end and gives its output.</summary>
    public static async Task<string> RunAsync(string program, IEnumerable<string> arguments, string folder, CancellationToken cancellationToken)
    {
        using var process = new Process
        {
            StartInfo = new ProcessStartInfo(program, arguments)
            {
                WorkingDirectory = folder,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            },
        };
        process.Start();
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
            var errors = process.StandardError.ReadToEndAsync(cancellationToken);
            await process.WaitForExitAsync(cancellationToken);
            if (process.ExitCode != 0)
                throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {await errors} {await output}");
            return await output;
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    private static string FindFolder()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "tests", "conformance");
            if (File.Exists(Path.Combine(candidate, "package.json")))
                return candidate;
        }

        throw new InvalidOperationException($"tests/conformance is not above {AppContext.BaseDirectory}.");
    }

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
                await Task.Delay(200, cancellationToken);
            }
        }
    }
}

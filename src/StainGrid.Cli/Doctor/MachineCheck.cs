using System.Globalization;
using System.Runtime.InteropServices;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Cli.Doctor;

/// <summary>What this machine, or its container, gives: memory, temporary folder, open files, versions, the model's file.</summary>
internal static class MachineCheck
{
    // docs/speed.md: a slide of 4600x4600 with 8 labels peaked at 957 MB, one of 9200x9200 at 1.3 GB without its network (docs/scaling.md).
    private const long LeastMemory = 1L << 30, EnoughMemory = 2L << 30;
    private const int EnoughFiles = 4096;

    public static Finding Versions() => Finding.Ok("versions", $"StainGrid {SiloVersions.StainGrid}, .NET {SiloVersions.Runtime}, Orleans {SiloVersions.Orleans}, {RuntimeInformation.OSDescription} {RuntimeInformation.ProcessArchitecture}, {Environment.ProcessorCount} cores");

    /// <param name="groups">Where control groups are; a container sees its own.</param>
    public static Finding Memory(string groups = "/sys/fs/cgroup")
    {
        long machine = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        long available = ((string[])["memory.max", "memory/memory.limit_in_bytes"]).Select(name => Limit(Path.Combine(groups, name))).Append(machine).Min();
        string text = string.Create(CultureInfo.InvariantCulture, $"{available / (double)(1L << 30):0.0} GiB{(available < machine ? " by the container's limit" : "")}");
        const string Remedy = "A slide of 4600x4600 with 8 labels peaks at 1 GB, larger ones at more (docs/scaling.md): raise the container's memory limit.";
        return available < LeastMemory ? Finding.Fail("memory", text, Remedy) : available < EnoughMemory ? Finding.Warn("memory", text, Remedy) : Finding.Ok("memory", text);
    }

    private static long Limit(string file)
    {
        try
        {
            return long.TryParse(File.ReadAllText(file), CultureInfo.InvariantCulture, out long bytes) ? bytes : long.MaxValue;   // "max"
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return long.MaxValue;
        }
    }

    public static Finding Temporary(int inputCache)
    {
        string folder = Path.GetTempPath();
        string file = Path.Combine(folder, $"staingrid-doctor-{Guid.NewGuid():n}");
        try
        {
            using (new FileStream(file, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose))
            {
                long free = new DriveInfo(folder).AvailableFreeSpace;
                string text = string.Create(CultureInfo.InvariantCulture, $"{folder} is written, {free / (double)(1L << 30):0.0} GiB free");
                return free >= (long)inputCache << 30 ? Finding.Ok("temporary folder", text)
                    : Finding.Warn("temporary folder", text, $"Inputs that come from blobs take up to {inputCache} GiB there: make room, set TMPDIR, or lower --input-cache.");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Finding.Fail("temporary folder", $"{folder} cannot be written: {e.Message}", "Set TMPDIR to a folder that can (in a container with a read-only root: an emptyDir).");
        }
    }

    public static Finding OpenFiles(string limits = "/proc/self/limits")
    {
        const string Check = "open files";
        try
        {
            string line = File.ReadLines(limits).First(line => line.StartsWith("Max open files", StringComparison.Ordinal));
            string soft = line["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
            return soft == "unlimited" || int.Parse(soft, CultureInfo.InvariantCulture) >= EnoughFiles ? Finding.Ok(Check, $"{soft} may be open")
                : Finding.Warn(Check, $"only {soft} may be open", $"Each caller and each silo takes some: raise it to {EnoughFiles} (ulimit -n, LimitNOFILE).");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidOperationException or FormatException)
        {
            return Finding.Skip(Check, "This system does not say.");
        }
    }

    /// <param name="model">A file, or model:NAME of a registry.</param>
    /// <param name="registry">Opens the registry.</param>
    /// <param name="cancellationToken">Stops the loading.</param>
    public static async Task<Finding> ModelAsync(string model, Func<ModelRegistry> registry, CancellationToken cancellationToken)
    {
        string? named = ModelRegistry.NameOf(model);
        string check = $"model {named ?? BlobAddress.FileName(BlobAddress.Full(model))}";
        try
        {
            string address = named is null ? BlobAddress.Full(model) : (await registry().FindAsync(named, cancellationToken)).Address;
            using var blobs = new BlobFiles();
            var description = await Task.Run(() => new ModelFiles(blobs).DescribeAsync(address, cancellationToken), cancellationToken);
            return Finding.Ok(check, $"loads, {description.Metadata.Labels.Count} labels, SHA-256 {description.Sha256}");
        }
        catch (Exception e) when (e is ModelFileException or BlobStoreException or ModelNotFoundException or ArgumentException)
        {
            return new Finding(check, Health.Fail, e.Message);
        }
    }
}

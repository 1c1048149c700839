using System.Runtime.InteropServices;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.PoisonSilo;

/// <summary>A device that one block brings down with its process.</summary>
internal sealed class PoisonedExecutor(IDeviceExecutor device, string slide, int poison) : IDeviceExecutor
{
    public string Name => device.Name;

    public Task<ProbabilityMap> PredictAsync(
        SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes, Action<int, TimeSpan> progress, CancellationToken cancellationToken)
    {
        if (block.Index == poison && job.Name.Contains(slide, StringComparison.Ordinal))
            Native.Abort();
        return device.PredictAsync(job, block, planes, progress, cancellationToken);
    }

    public void Dispose() => device.Dispose();
}

/// <summary>The end of a process in native code.</summary>
internal static partial class Native
{
    [LibraryImport("libc", EntryPoint = "abort")]
    public static partial void Abort();
}

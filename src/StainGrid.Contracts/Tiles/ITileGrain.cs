using Orleans.Concurrency;

namespace StainGrid.Contracts;

/// <summary>Computes blocks on one device: leases them, reads their pixels, runs the model, and hands the maps to the
/// stitchers. The key is "silo/device".</summary>
[Alias("staingrid.tile")]
public interface ITileGrain : IGrainWithStringKey
{
    /// <summary>Starts asking for blocks; does nothing if it does already.</summary>
    [Alias("start")]
    Task StartAsync();

    /// <summary>Finishes the blocks that the device has begun, returns the others and asks for no more. Who stops it decides how long that may take.</summary>
    [Alias("stop"), AlwaysInterleave, ResponseTimeout("01:00:00")]
    Task StopAsync();
}

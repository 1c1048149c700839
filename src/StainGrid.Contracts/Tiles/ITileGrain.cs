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

    /// <summary>Finishes nothing more: returns all leases and asks for no others.</summary>
    [Alias("stop"), AlwaysInterleave]
    Task StopAsync();
}

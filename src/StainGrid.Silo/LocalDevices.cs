using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Silo;

/// <summary>Starts the tile grains of the silo's devices once it is active, and again where one was lost: when another silo dies,
/// Orleans also ends activations elsewhere that were registered with it. Stops them first of all when the silo stops, so that
/// their leases are finished or returned while grains still answer; what is left of them then ends with the silo.</summary>
internal sealed class LocalDevices(DeviceExecutors executors, IGrainFactory grains, ILocalSiloDetails silo, ILogger<LocalDevices> logger)
    : GrainKeeper($"A device of {silo.Name}", TimeSpan.FromSeconds(2), logger)
{
    private IEnumerable<ITileGrain> Tiles => executors.Names.Select(device => grains.GetGrain<ITileGrain>($"{silo.Name}/{device}"));

    protected override Task AskAsync() => Task.WhenAll(Tiles.Select(tile => tile.StartAsync()));

    protected override Task StopAskingAsync() => Task.WhenAll(Tiles.Select(tile => tile.StopAsync()));
}

using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Silo;

/// <summary>Starts the tile grains of the silo's devices once it is active, and stops them first of all when it stops, so
/// that their leases are finished or returned while grains still answer.</summary>
internal sealed partial class LocalDevices(
    DeviceExecutors executors, IGrainFactory grains, ILocalSiloDetails silo, ILogger<LocalDevices> logger) : ILifecycleParticipant<ISiloLifecycle>
{
    // Stages stop in the opposite order.
    private const int AfterActive = ServiceLifecycleStage.Active + 1;

    private IEnumerable<ITileGrain> Tiles => executors.Names.Select(device => grains.GetGrain<ITileGrain>($"{silo.Name}/{device}"));

    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(LocalDevices), AfterActive, StartAsync, StopAsync);

    private Task StartAsync(CancellationToken cancellationToken) => Task.WhenAll(Tiles.Select(tile => tile.StartAsync()));

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        try
        {
            await Task.WhenAll(Tiles.Select(tile => tile.StopAsync())).WaitAsync(cancellationToken);
        }
        catch (Exception e)
        {
            // The leases end with the silo.
            LogStopping(logger, e, silo.Name);
        }
    }

    [LoggerMessage(LogLevel.Warning, "The devices of {Silo} did not stop in good order.")]
    private static partial void LogStopping(ILogger logger, Exception exception, string silo);
}

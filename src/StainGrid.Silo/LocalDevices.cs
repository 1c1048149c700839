using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Silo;

/// <summary>Starts the tile grains of the silo's devices once it is active, and again where one was lost: when another silo dies,
/// Orleans also ends activations elsewhere that were registered with it. Stops them first of all when the silo stops, so that
/// their leases are finished or returned while grains still answer.</summary>
internal sealed partial class LocalDevices(
    DeviceExecutors executors, IGrainFactory grains, ILocalSiloDetails silo, ILogger<LocalDevices> logger) : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    // Stages stop in the opposite order.
    private const int AfterActive = ServiceLifecycleStage.Active + 1;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly CancellationTokenSource stopped = new();
    private Task keeping = Task.CompletedTask;

    private IEnumerable<ITileGrain> Tiles => executors.Names.Select(device => grains.GetGrain<ITileGrain>($"{silo.Name}/{device}"));

    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(LocalDevices), AfterActive, StartAsync, StopAsync);

    public void Dispose() => stopped.Dispose();

    private Task StartAsync(CancellationToken cancellationToken)
    {
        keeping = Task.Run(KeepAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task KeepAsync()
    {
        using var timer = new PeriodicTimer(Interval);
        try
        {
            do
            {
                try
                {
                    await Task.WhenAll(Tiles.Select(tile => tile.StartAsync())).WaitAsync(stopped.Token);
                }
                catch (Exception e) when (!stopped.IsCancellationRequested)
                {
                    LogKeeping(logger, e, silo.Name);
                }
            }
            while (await timer.WaitForNextTickAsync(stopped.Token));
        }
        catch (OperationCanceledException)
        {
            // The silo stops.
        }
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        try
        {
            await stopped.CancelAsync();
            await keeping;
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

    [LoggerMessage(LogLevel.Warning, "The devices of {Silo} do not answer; asking again.")]
    private static partial void LogKeeping(ILogger logger, Exception exception, string silo);
}

using Microsoft.Extensions.Logging;
using StainGrid.Contracts;

namespace StainGrid.Silo;

/// <summary>Reminds the cluster's one retention grain, from every silo that knows the service's places: whichever is there keeps it going.</summary>
internal sealed partial class Housekeeping(IGrainFactory grains, ILogger<Housekeeping> logger) : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly CancellationTokenSource stopped = new();
    private Task keeping = Task.CompletedTask;

    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(Housekeeping), ServiceLifecycleStage.Active + 1, StartAsync, StopAsync);

    public void Dispose() => stopped.Dispose();

    private Task StartAsync(CancellationToken cancellationToken)
    {
        keeping = Task.Run(KeepAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        await stopped.CancelAsync();
        await keeping;
    }

    private async Task KeepAsync()
    {
        using var timer = new PeriodicTimer(Interval);
        try
        {
            while (await timer.WaitForNextTickAsync(stopped.Token))
            {
                try
                {
                    await grains.GetGrain<IRetentionGrain>(0).TickAsync().WaitAsync(stopped.Token);
                }
                catch (Exception e) when (!stopped.IsCancellationRequested)
                {
                    LogTick(logger, e);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The silo stops.
        }
    }

    [LoggerMessage(LogLevel.Warning, "Retention does not answer; asking again.")]
    private static partial void LogTick(ILogger logger, Exception exception);
}

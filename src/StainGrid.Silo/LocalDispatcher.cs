using Microsoft.Extensions.Logging;
using StainGrid.Contracts;

namespace StainGrid.Silo;

/// <summary>Sees that there is a dispatcher, from every silo that may hold it: with no device and no plate nobody else would ask for it, but autoscalers and
/// alerts go by what it shows.</summary>
internal sealed partial class LocalDispatcher(IGrainFactory grains, ILocalSiloDetails silo, ILogger<LocalDispatcher> logger) : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource stopped = new();
    private Task keeping = Task.CompletedTask;

    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(
        nameof(LocalDispatcher), ServiceLifecycleStage.Active + 1,
        _ =>
        {
            keeping = Task.Run(KeepAsync, CancellationToken.None);
            return Task.CompletedTask;
        },
        async _ =>
        {
            await stopped.CancelAsync();
            await keeping;
        });

    public void Dispose() => stopped.Dispose();

    private async Task KeepAsync()
    {
        using var timer = new PeriodicTimer(Interval);
        try
        {
            do
            {
                try
                {
                    await grains.GetGrain<IDispatcherGrain>(0).GetStatusAsync().WaitAsync(stopped.Token);
                }
                catch (Exception e) when (!stopped.IsCancellationRequested)
                {
                    LogAsking(logger, e, silo.Name);
                }
            }
            while (await timer.WaitForNextTickAsync(stopped.Token));
        }
        catch (OperationCanceledException)
        {
            // The silo stops.
        }
    }

    [LoggerMessage(LogLevel.Warning, "{Silo} cannot reach the dispatcher; asking again.")]
    private static partial void LogAsking(ILogger logger, Exception exception, string silo);
}

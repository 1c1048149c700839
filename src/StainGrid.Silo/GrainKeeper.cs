using Microsoft.Extensions.Logging;

namespace StainGrid.Silo;

/// <summary>Asks for a grain again and again while the silo is active, so that it is there wherever its silo was lost.</summary>
/// <param name="name">Of what, for people.</param>
/// <param name="interval">How often.</param>
/// <param name="logger">Told when it does not answer.</param>
internal abstract partial class GrainKeeper(string name, TimeSpan interval, ILogger logger) : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    // Stages stop in the opposite order.
    private const int AfterActive = ServiceLifecycleStage.Active + 1;

    private readonly CancellationTokenSource stopped = new();
    private Task keeping = Task.CompletedTask;

    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(GetType().Name, AfterActive, StartAsync, StopAsync);

    public void Dispose() => stopped.Dispose();

    /// <summary>Asks once.</summary>
    protected abstract Task AskAsync();

    /// <summary>Runs when the silo stops and nothing is asked any more, while grains still answer.</summary>
    protected virtual Task StopAskingAsync() => Task.CompletedTask;

    private Task StartAsync(CancellationToken cancellationToken)
    {
        keeping = Task.Run(KeepAsync, CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task StopAsync(CancellationToken cancellationToken)
    {
        try
        {
            await stopped.CancelAsync();
            await keeping;
            await StopAskingAsync().WaitAsync(cancellationToken);
        }
        catch (Exception e)
        {
            LogStopping(logger, e, name);
        }
    }

    private async Task KeepAsync()
    {
        using var timer = new PeriodicTimer(interval);
        try
        {
            do
            {
                try
                {
                    await AskAsync().WaitAsync(stopped.Token);
                }
                catch (Exception e) when (!stopped.IsCancellationRequested)
                {
                    LogAsking(logger, e, name);
                }
            }
            while (await timer.WaitForNextTickAsync(stopped.Token));
        }
        catch (OperationCanceledException)
        {
            // The silo stops.
        }
    }

    [LoggerMessage(LogLevel.Warning, "{Name} did not stop in good order.")]
    private static partial void LogStopping(ILogger logger, Exception exception, string name);

    [LoggerMessage(LogLevel.Warning, "{Name} does not answer; asking again.")]
    private static partial void LogAsking(ILogger logger, Exception exception, string name);
}

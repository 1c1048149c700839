namespace StainGrid.Grains.Tests;

public class SignalTests
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(10), Patience = TimeSpan.FromMinutes(1);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task All_who_wait_are_woken_and_those_who_come_after_are_not()
    {
        var signal = new Signal();
        signal.Raise();
        Task[] waiting = [signal.WaitAsync(Long, Stop), signal.WaitAsync(Long, Stop)];
        Assert.All(waiting, wait => Assert.False(wait.IsCompleted));
        signal.Raise();
        var later = signal.WaitAsync(Long, Stop);
        await Task.WhenAll(waiting).WaitAsync(Patience, Stop);
        Assert.False(later.IsCompleted);
        signal.Raise();
        await later.WaitAsync(Patience, Stop);
    }

    [Fact]
    public async Task A_silo_that_stops_is_not_waited_for()
    {
        var signal = new Signal();
        using var stopping = new CancellationTokenSource();
        var waiting = signal.WaitAsync(Long, stopping.Token);
        await stopping.CancelAsync();
        await waiting.WaitAsync(Patience, Stop);

        // Who asks again meanwhile waits a little, or would ask as fast as he can.
        long started = System.Diagnostics.Stopwatch.GetTimestamp();
        await signal.WaitAsync(Long, stopping.Token).WaitAsync(Patience, Stop);
        Assert.True(System.Diagnostics.Stopwatch.GetElapsedTime(started) > TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public Task Nobody_waits_longer_than_he_said() =>
        new Signal().WaitAsync(TimeSpan.FromMilliseconds(1), Stop).WaitAsync(Patience, Stop);

    [Fact]
    public async Task What_follows_a_wait_does_not_run_inside_the_raise()
    {
        var signal = new Signal();
        var after = new ThreadLocal<bool>();
        var waited = FollowAsync();
        after.Value = true;
        signal.Raise();
        after.Value = false;
        Assert.False(await waited.WaitAsync(Patience, Stop));

        async Task<bool> FollowAsync()
        {
            await signal.WaitAsync(Long, Stop).ConfigureAwait(false);
            return after.Value;
        }
    }
}

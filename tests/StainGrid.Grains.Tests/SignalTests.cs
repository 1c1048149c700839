namespace StainGrid.Grains.Tests;

public class SignalTests
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(10), Patience = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task All_who_wait_are_woken_and_those_who_come_after_are_not()
    {
        var signal = new Signal();
        signal.Raise();
        Task[] waiting = [signal.WaitAsync(Long), signal.WaitAsync(Long)];
        Assert.All(waiting, wait => Assert.False(wait.IsCompleted));
        signal.Raise();
        var later = signal.WaitAsync(Long);
        await Task.WhenAll(waiting).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.False(later.IsCompleted);
        signal.Raise();
        await later.WaitAsync(Patience, TestContext.Current.CancellationToken);
    }

    [Fact]
    public Task Nobody_waits_longer_than_he_said() =>
        new Signal().WaitAsync(TimeSpan.FromMilliseconds(1)).WaitAsync(Patience, TestContext.Current.CancellationToken);

    [Fact]
    public async Task What_follows_a_wait_does_not_run_inside_the_raise()
    {
        var signal = new Signal();
        var after = new ThreadLocal<bool>();
        var waited = FollowAsync();
        after.Value = true;
        signal.Raise();
        after.Value = false;
        Assert.False(await waited.WaitAsync(Patience, TestContext.Current.CancellationToken));

        async Task<bool> FollowAsync()
        {
            await signal.WaitAsync(Long).ConfigureAwait(false);
            return after.Value;
        }
    }
}

namespace StainGrid.Grains;

/// <summary>Wakes those who wait for the next change of a grain's state, as a long poll does. For the turns of one grain: what
/// waits is woken by the next <see cref="Raise"/> after it began to wait, and runs on in a turn of its own.</summary>
public sealed class Signal
{
    private static readonly TimeSpan Brief = TimeSpan.FromMilliseconds(200);

    private TaskCompletionSource next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Waits for the next <see cref="Raise"/>, at most for <paramref name="most"/>, and only briefly once the silo stops: it
    /// waits for the calls of its grains, and who asks again asks the grain's next silo.</summary>
    public Task WaitAsync(TimeSpan most, CancellationToken stopping = default) => Task.WhenAny(
        next.Task, stopping.IsCancellationRequested && most > Brief ? Task.Delay(Brief, CancellationToken.None) : Task.Delay(most, stopping));

    /// <summary>Wakes all who wait.</summary>
    public void Raise()
    {
        var waiting = next;
        next = new(TaskCreationOptions.RunContinuationsAsynchronously);
        waiting.SetResult();
    }
}

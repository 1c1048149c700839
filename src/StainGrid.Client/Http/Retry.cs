namespace StainGrid.Client;

/// <summary>When to ask again after failures: exponentially later with jitter, as the service says where it does, until patience has an end.</summary>
/// <param name="patience">From the first failure since what succeeded last.</param>
internal sealed class Retry(TimeSpan patience)
{
    private const double First = 0.25, Longest = 10;   // seconds

    private long? failed;
    private int failures;

    /// <summary>Something succeeded: it all begins anew.</summary>
    public void Succeeded() => (failed, failures) = (null, 0);

    /// <summary>The service is there, but what was asked did not succeed: the patience begins anew, the delays go on.</summary>
    public void Heard() => failed = null;

    /// <summary>How long to wait before the next try; null for no more.</summary>
    /// <param name="retryAfter">What the service says; null for nothing.</param>
    public TimeSpan? Next(TimeSpan? retryAfter)
    {
        long now = Environment.TickCount64;
        failed ??= now;
        double exponential = Math.Min(Longest, First * Math.Pow(2, Math.Min(failures++, 10)));
        double seconds = (retryAfter ?? TimeSpan.FromSeconds(exponential / 2)).TotalSeconds + (Random.Shared.NextDouble() * exponential / 2);
        var delay = TimeSpan.FromSeconds(seconds);
        return patience == Timeout.InfiniteTimeSpan || TimeSpan.FromMilliseconds(now - failed.Value) + delay <= patience ? delay : null;
    }
}

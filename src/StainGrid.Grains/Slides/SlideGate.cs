namespace StainGrid.Grains;

/// <summary>Lets a few slides of a silo at a time do what takes memory and cores: preparing (it decodes the whole image) and finishing
/// (the pyramid). Off the grains' scheduler.</summary>
public sealed class SlideGate : IDisposable
{
    private readonly SemaphoreSlim free = new(Math.Max(2, Environment.ProcessorCount / 2));

    /// <summary>Runs <paramref name="work"/> when its turn comes.</summary>
    public async Task<T> RunAsync<T>(Func<Task<T>> work, CancellationToken cancellationToken)
    {
        await free.WaitAsync(cancellationToken);
        try
        {
            return await Task.Run(work, cancellationToken);
        }
        finally
        {
            free.Release();
        }
    }

    /// <summary>At the end of the silo.</summary>
    public void Dispose() => free.Dispose();
}

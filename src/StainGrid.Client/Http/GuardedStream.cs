namespace StainGrid.Client;

/// <summary>Reads another stream, but no more than so many bytes at a time and no longer silent than a limit.</summary>
/// <param name="inner">The stream; disposed of with this one.</param>
/// <param name="maxBytes">The most bytes since the last <see cref="Allow"/>.</param>
/// <param name="silence">How long a read may wait.</param>
internal sealed class GuardedStream(Stream inner, long maxBytes, TimeSpan silence) : ReadOnlyStream
{
    private CancellationTokenSource? timer;
    private long read;   // since the last Allow

    /// <summary>Whether anything came.</summary>
    public bool HasHeard { get; private set; }

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>The count of bytes begins anew.</summary>
    public void Allow() => read = 0;

    /// <exception cref="InvalidDataException">More came than is allowed.</exception>
    /// <exception cref="IOException">Nothing came for too long, or the connection is lost.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (timer is null || !timer.TryReset())
        {
            timer?.Dispose();
            timer = new CancellationTokenSource();
        }

        timer.CancelAfter(silence);
        int count;
        using (cancellationToken.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), timer))
        {
            try
            {
                count = await inner.ReadAsync(buffer, timer.Token);
            }
            catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
            {
                throw new IOException($"Nothing came for {silence.TotalSeconds:0} s.", e);
            }
            catch (OperationCanceledException e)
            {
                throw new OperationCanceledException(e.Message, e, cancellationToken);
            }
        }

        HasHeard |= count > 0;
        return (read += count) <= maxBytes ? count : throw new InvalidDataException($"The answer has more than {maxBytes:N0} bytes.");
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            timer?.Dispose();
            inner.Dispose();
        }

        base.Dispose(disposing);
    }
}

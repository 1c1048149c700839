namespace StainGrid.Client;

/// <summary>Reads another stream, but no more than so many bytes at a time and no longer silent than a limit.</summary>
/// <param name="inner">The stream; disposed of with this one.</param>
/// <param name="maxBytes">The most bytes since the last <see cref="Allow"/>.</param>
/// <param name="silence">How long a read may wait.</param>
internal sealed class GuardedStream(Stream inner, long maxBytes, TimeSpan silence) : Stream
{
    private CancellationTokenSource? timer;
    private long read;   // since the last Allow

    /// <summary>Whether anything came.</summary>
    public bool HasHeard { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

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

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

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

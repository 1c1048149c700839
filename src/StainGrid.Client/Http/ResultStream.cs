using System.Net;
using System.Net.Http.Headers;

namespace StainGrid.Client;

/// <summary>Reads a file of a result as it comes. Where the connection is lost, it goes on behind the last byte, on a new one.</summary>
internal sealed class ResultStream : ReadOnlyStream
{
    private readonly HttpExchange exchange;
    private readonly string address;
    private readonly EntityTagHeaderValue? version;
    private readonly Retry retry;
    private readonly long? length;
    private HttpResponseMessage? response;
    private Stream? body;
    private long position;

    private ResultStream(HttpExchange exchange, string address, HttpResponseMessage response)
    {
        (this.exchange, this.address, this.response, retry) = (exchange, address, response, new Retry(exchange.Options.Patience));

        // A weak tag is not for ranges.
        version = response.Headers.ETag is { IsWeak: false } tag ? tag : null;
        length = response.Content.Headers.ContentLength;
    }

    public static async Task<Stream> OpenAsync(HttpExchange exchange, string address, CancellationToken cancellationToken) =>
        new ResultStream(exchange, address, await exchange.OpenAsync(() => new HttpRequestMessage(HttpMethod.Get, address), cancellationToken));

    public override long Length => length ?? throw new NotSupportedException("The service did not say the length.");

    public override long Position { get => position; set => throw new NotSupportedException(); }

    /// <exception cref="IOException">The connection is lost and did not come back in time, or the file was written again meanwhile.</exception>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            try
            {
                int read = await exchange.TypedAsync(() => ReadOnceAsync(buffer, cancellationToken), cancellationToken);
                position += read;
                retry.Succeeded();
                return read;
            }
            catch (StainGridException e) when (HttpExchange.IsTransient(e) && version is not null && retry.Next(e.RetryAfter) is { } delay)
            {
                Drop();
                await Task.Delay(delay, cancellationToken);
            }
            catch (StainGridException e)
            {
                throw new IOException(e.Message, e);
            }
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            Drop();
        base.Dispose(disposing);
    }

    private async Task<int> ReadOnceAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (position == length)
            return 0;
        if (response is null)
        {
            response = await exchange.OpenOnceAsync(GoOn, cancellationToken);
            if (response.StatusCode != HttpStatusCode.PartialContent || response.Content.Headers.ContentRange?.From != position)
                throw new InvalidDataException("the file was written again while it was read.");
        }

        body ??= exchange.Guard(await response.Content.ReadAsStreamAsync(cancellationToken), long.MaxValue);
        return await body.ReadAsync(buffer, cancellationToken);
    }

    private HttpRequestMessage GoOn() => new(HttpMethod.Get, address)
    {
        Headers = { Range = new RangeHeaderValue(position, null), IfRange = new RangeConditionHeaderValue(version!) },
    };

    private void Drop()
    {
        body?.Dispose();
        response?.Dispose();
        (body, response) = (null, null);
    }
}

using System.Net;
using System.Runtime.CompilerServices;
using StainGrid.Imaging;

namespace StainGrid.Client;

/// <summary>A plate's result as a store that can only be read.</summary>
internal sealed class HttpResultStore(HttpExchange exchange, string plateId) : IBlobStore
{
    private const int FirstBuffer = 1 << 16;

    /// <inheritdoc/>
    public string Name => new Uri(exchange.Server, Root(plateId)).AbsoluteUri.TrimEnd('/');

    /// <summary>The address of a file, below the server's.</summary>
    /// <exception cref="ArgumentException">The key is refused.</exception>
    public static string Address(string plateId, string key)
    {
        BlobKey.Check(key);
        return Root(plateId) + string.Join('/', key.Split('/').Select(Uri.EscapeDataString));
    }

    /// <inheritdoc/>
    public Task<Blob?> ReadBlobAsync(string key, long maxBytes, CancellationToken cancellationToken = default)
    {
        string address = Address(plateId, key);
        return FoundAsync(exchange.AskAsync<Blob?>(
            () => new HttpRequestMessage(HttpMethod.Get, address),
            async (response, stop) =>
            {
                long? length = response.Content.Headers.ContentLength;
                if (length > Math.Min(maxBytes, Array.MaxLength))
                    throw new InvalidDataException($"{key} has {length:N0} bytes, more than the {maxBytes:N0} that fit.");
                await using var body = exchange.Guard(await response.Content.ReadAsStreamAsync(stop), maxBytes);
                using var data = new MemoryStream((int)(length ?? FirstBuffer));
                await body.CopyToAsync(data, stop);
                return new Blob(data.GetBuffer().AsMemory(0, (int)data.Length), response.Headers.ETag?.ToString() ?? "");
            },
            null,
            cancellationToken));
    }

    /// <inheritdoc/>
    public async Task<bool> ExistsAsync(string key, CancellationToken cancellationToken = default)
    {
        string address = Address(plateId, key);
        return await FoundAsync(exchange.AskAsync<object?>(
            () => new HttpRequestMessage(HttpMethod.Head, address), (response, _) => Task.FromResult<object?>(response.StatusCode == HttpStatusCode.OK), null, cancellationToken)) is true;
    }

    /// <inheritdoc/>
    public Task WriteAsync(string key, ReadOnlyMemory<byte> data, CancellationToken cancellationToken = default) => throw ReadOnly();

    /// <inheritdoc/>
    public Task<string> WriteIfAsync(string key, ReadOnlyMemory<byte> data, string? etag, CancellationToken cancellationToken = default) => throw ReadOnly();

    /// <inheritdoc/>
    public Task<bool> CreateAsync(string key, IAsyncEnumerable<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken = default) => throw ReadOnly();

    /// <inheritdoc/>
    public Task DeleteAsync(string key, string? etag = null, CancellationToken cancellationToken = default) => throw ReadOnly();

    /// <inheritdoc/>
    public async IAsyncEnumerable<string> ListAsync(string prefix = "", [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        for (string? last = null; ;)
        {
            string path = $"v1/plates/{plateId}/files?prefix={Uri.EscapeDataString(prefix)}" + (last is null ? "" : "&after=" + Uri.EscapeDataString(last));
            var page = (await exchange.GetAsync<FileList>(path, cancellationToken)).Files ?? [];
            foreach (string key in page)
                yield return key;
            if (page.Count == 0)
                yield break;
            last = page[^1];
        }
    }

    private static string Root(string plateId) => $"v1/plates/{plateId}/zarr/";

    private static NotSupportedException ReadOnly() => new("A plate's result can only be read over HTTP.");

    private static async Task<T?> FoundAsync<T>(Task<T?> asked)
        where T : class
    {
        try
        {
            return await asked;
        }
        catch (StainGridException e) when (e.Error == StainGridError.NotFound)
        {
            return null;
        }
    }

    private sealed record FileList(IReadOnlyList<string>? Files);
}

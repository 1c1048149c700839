using System.Runtime.CompilerServices;
using Azure;
using Azure.Core;
using Azure.Identity;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Blobs.Specialized;

namespace StainGrid.Imaging;

/// <summary>Blobs in an Azure Blob container, below a prefix.</summary>
public sealed class AzureBlobStore : IBlobStore
{
    /// <summary>The metadata of conditional writes: a number of its own for each, by which a writer knows its own blob.</summary>
    private const string WriteId = "staingridwrite";

    /// <summary>The metadata of folders, which show as empty blobs in accounts with a hierarchical namespace.</summary>
    private const string FolderMark = "hdi_isfolder";

    private readonly BlobContainerClient _container;
    private readonly string _prefix;

    /// <summary>A store in a container that exists.</summary>
    /// <param name="container">The container.</param>
    /// <param name="prefix">What all keys start with in the container; empty for none.</param>
    public AzureBlobStore(BlobContainerClient container, string prefix = "")
    {
        ArgumentNullException.ThrowIfNull(container);
        ArgumentNullException.ThrowIfNull(prefix);
        prefix = prefix.Trim('/');
        if (prefix.Length > 0)
            BlobKey.Check(prefix);
        _container = container;
        _prefix = prefix.Length > 0 ? prefix + "/" : "";

        // The query may hold a signature.
        Name = container.Uri.GetLeftPart(UriPartial.Path).TrimEnd('/') + (prefix.Length > 0 ? "/" + prefix : "");
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>The SDK's retries, exponential from 0.2 s to 5 s, six of them, and 30 s for each answer.</summary>
    public static BlobClientOptions ClientOptions() => new()
    {
        Retry =
        {
            Mode = RetryMode.Exponential,
            MaxRetries = 6,
            Delay = TimeSpan.FromSeconds(0.2),
            MaxDelay = TimeSpan.FromSeconds(5),
            NetworkTimeout = TimeSpan.FromSeconds(30),
        },
    };

    /// <inheritdoc/>
    public async Task<Blob?> ReadBlobAsync(string key, long maxBytes, CancellationToken cancellationToken = default)
    {
        try
        {
            var response = await Client(key).DownloadStreamingAsync(cancellationToken: cancellationToken);
            using var result = response.Value;
            long length = result.Details.ContentLength;
            if (length > Math.Min(maxBytes, Array.MaxLength))
                throw FolderBlobStore.TooLarge(Name, key, length, maxBytes);
            byte[] data = new byte[length];
            await result.Content.ReadExactlyAsync(data, cancellationToken);
            BlobMeter.Read(BlobMeter.AzureBlob, length);
            return new Blob(data, result.Details.ETag.ToString());
        }
        catch (RequestFailedException exception) when (exception.ErrorCode == BlobErrorCode.BlobNotFound)
        {
            return null;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("read", key, exception);
        }
    }

    /// <inheritdoc/>
    public Task WriteAsync(string key, ReadOnlyMemory<byte> data, CancellationToken cancellationToken = default) =>
        UploadAsync(key, data, null, cancellationToken);

    /// <inheritdoc/>
    public Task<string> WriteIfAsync(string key, ReadOnlyMemory<byte> data, string? etag, CancellationToken cancellationToken = default) =>
        UploadAsync(key, data, etag is null
            ? new BlobRequestConditions { IfNoneMatch = ETag.All }
            : new BlobRequestConditions { IfMatch = new ETag(etag) }, cancellationToken);

    /// <inheritdoc/>
    public async Task<bool> CreateAsync(string key, IAsyncEnumerable<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(parts);
        if (await ExistsAsync(key, cancellationToken))
            return false;
        var client = _container.GetBlockBlobClient(_prefix + key);
        var blocks = new List<string>();
        var writer = Guid.NewGuid();   // blocks of several writers of one blob are told apart by it
        await foreach (var part in parts.WithCancellation(cancellationToken))
        {
            string block = Convert.ToBase64String([.. writer.ToByteArray(), .. BitConverter.GetBytes(blocks.Count)]);
            try
            {
                await client.StageBlockAsync(block, BinaryData.FromBytes(part).ToStream(), cancellationToken: cancellationToken);
            }
            catch (Exception exception) when (IsFailure(exception))
            {
                throw Failed("write", key, exception);
            }

            blocks.Add(block);
            BlobMeter.Write(BlobMeter.AzureBlob, part.Length);
        }

        try
        {
            var options = new CommitBlockListOptions { Conditions = new BlobRequestConditions { IfNoneMatch = ETag.All } };
            await client.CommitBlockListAsync(blocks, options, cancellationToken);
            return true;
        }
        catch (RequestFailedException exception) when (exception.Status is 409 or 412 || exception.ErrorCode == BlobErrorCode.InvalidBlockList)
        {
            // Another was first, and the service dropped these blocks then; or it was this one, whose answer was lost.
            return !await ExistsAsync(key, cancellationToken) ? throw Failed("write", key, exception) : false;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("write", key, exception);
        }
    }

    /// <inheritdoc/>
    public async Task<bool> ExistsAsync(string key, CancellationToken cancellationToken = default)
    {
        try
        {
            return await Client(key).ExistsAsync(cancellationToken);
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("find", key, exception);
        }
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string key, string? etag = null, CancellationToken cancellationToken = default)
    {
        var conditions = etag is null ? null : new BlobRequestConditions { IfMatch = new ETag(etag) };
        try
        {
            bool deleted = await Client(key).DeleteIfExistsAsync(conditions: conditions, cancellationToken: cancellationToken);
            if (!deleted && etag is not null)
                throw BlobConflictException.For(Name, key);
        }
        catch (RequestFailedException exception) when (exception.Status is 409 or 412 && etag is not null)
        {
            throw BlobConflictException.For(Name, key, exception);
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("delete", key, exception);
        }
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<string> ListAsync(string prefix = "", [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var blob in ListBlobsAsync(prefix, cancellationToken))
            yield return blob.Key;
    }

    /// <summary>Size and version of a blob, or null where there is none.</summary>
    /// <param name="key">The blob's key.</param>
    /// <param name="cancellationToken">Stops the asking.</param>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<BlobInfo?> FindAsync(string key, CancellationToken cancellationToken = default)
    {
        try
        {
            var properties = (await Reader(key).GetPropertiesAsync(cancellationToken: cancellationToken)).Value;

            return properties.Metadata.ContainsKey(FolderMark) ? null : new BlobInfo(key, properties.ContentLength, properties.ETag.ToString()) { Modified = properties.LastModified };
        }
        catch (RequestFailedException exception) when (exception.Status == 404 && exception.ErrorCode != BlobErrorCode.ContainerNotFound)
        {
            return null;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("find", key, exception);
        }
    }

    /// <summary>Copies a blob to a stream without taking it into memory.</summary>
    /// <param name="blob">The blob as it was found.</param>
    /// <param name="destination">Where its bytes go.</param>
    /// <param name="cancellationToken">Stops the copying.</param>
    /// <returns>False where the blob is no longer that version, or no longer there; the stream may then hold a part.</returns>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<bool> DownloadAsync(BlobInfo blob, Stream destination, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(blob);
        try
        {
            var options = new BlobDownloadToOptions { Conditions = new BlobRequestConditions { IfMatch = new ETag(blob.ETag) } };
            await Reader(blob.Key).DownloadToAsync(destination, options, cancellationToken);
            BlobMeter.Read(BlobMeter.AzureBlob, blob.Length);
            return true;
        }
        catch (RequestFailedException exception) when (exception.Status == 412 || exception.ErrorCode == BlobErrorCode.BlobNotFound)
        {
            return false;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("read", blob.Key, exception);
        }
    }

    /// <summary>The blobs whose keys start with a prefix, with sizes and versions, in ordinal order of their keys.</summary>
    /// <param name="prefix">Any start of a key; empty for all.</param>
    /// <param name="cancellationToken">Stops the listing.</param>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async IAsyncEnumerable<BlobInfo> ListBlobsAsync(string prefix = "", [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        await using var blobs = _container.GetBlobsAsync(BlobTraits.Metadata, BlobStates.None, _prefix + prefix, cancellationToken)
            .GetAsyncEnumerator(cancellationToken);
        while (true)
        {
            try
            {
                if (!await blobs.MoveNextAsync())
                    yield break;
            }
            catch (Exception exception) when (IsFailure(exception))
            {
                throw Failed("list", prefix, exception);
            }

            var blob = blobs.Current;
            if (blob.Metadata?.ContainsKey(FolderMark) != true)
                yield return new BlobInfo(blob.Name[_prefix.Length..], blob.Properties.ContentLength ?? 0, blob.Properties.ETag?.ToString() ?? "");
        }
    }

    private static bool IsFailure(Exception exception) =>
        exception is RequestFailedException or AuthenticationFailedException or AggregateException || (exception is IOException && exception is not BlobStoreException);

    private async Task<string> UploadAsync(string key, ReadOnlyMemory<byte> data, BlobRequestConditions? conditions, CancellationToken cancellationToken)
    {
        string id = Guid.NewGuid().ToString("N");
        try
        {
            var options = new BlobUploadOptions { Conditions = conditions };
            if (conditions is not null)
                options.Metadata = new Dictionary<string, string> { [WriteId] = id };
            var response = await Client(key).UploadAsync(BinaryData.FromBytes(data), options, cancellationToken);
            BlobMeter.Write(BlobMeter.AzureBlob, data.Length);
            return response.Value.ETag.ToString();
        }
        catch (RequestFailedException exception) when (exception.Status is 409 or 412 && conditions is not null)
        {
            return await OwnWriteAsync(key, id, cancellationToken) ?? throw BlobConflictException.For(Name, key, exception);
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("write", key, exception);
        }
    }

    /// <summary>The version of a blob where it is the write of that number: its answer was lost and the SDK's retry met it.
    /// Equal bytes would not do: two writers of the same bytes must not both win.</summary>
    private async Task<string?> OwnWriteAsync(string key, string id, CancellationToken cancellationToken)
    {
        try
        {
            var properties = (await Client(key).GetPropertiesAsync(cancellationToken: cancellationToken)).Value;
            return properties.Metadata.TryGetValue(WriteId, out string? found) && found == id ? properties.ETag.ToString() : null;
        }
        catch (RequestFailedException exception) when (exception.Status == 404)
        {
            return null;
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("write", key, exception);
        }
    }

    private BlobClient Client(string key)
    {
        BlobKey.Check(key);
        return _container.GetBlobClient(_prefix + key);
    }

    /// <summary>A blob to read that others wrote: its name may be what is not written here, but cannot lead out of the prefix.</summary>
    private BlobClient Reader(string key) => !key.Split('/').Any(part => part is "" or "." or "..")
        ? _container.GetBlobClient(_prefix + key)
        : throw new BlobStoreException($"{Name}: \"{key}\" is no name of a blob. Check the address.");

    private BlobStoreException Failed(string verb, string key, Exception exception)
    {
        BlobMeter.Failed(BlobMeter.AzureBlob, exception);
        // The library's messages have a page of headers: the first line says it.
        string reason = exception is RequestFailedException { ErrorCode: { Length: > 0 } code, Status: var status }
            ? $"{code} ({status})"
            : exception.GetBaseException().Message.Split('\n')[0].Trim();
        return new BlobStoreException($"{Name}: cannot {verb} {key}: {reason}. Check the container, the rights and the network.", exception);
    }
}

/// <summary>What is known of a blob without its bytes.</summary>
/// <param name="Key">Its key in the store.</param>
/// <param name="Length">Bytes.</param>
/// <param name="ETag">Its version.</param>
public sealed record BlobInfo(string Key, long Length, string ETag)
{
    /// <summary>When it was written last, by the store's clock, in whole seconds; null where that was not asked for.</summary>
    public DateTimeOffset? Modified { get; init; }
}

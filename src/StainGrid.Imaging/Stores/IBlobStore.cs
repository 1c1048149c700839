namespace StainGrid.Imaging;

/// <summary>Named bytes: a folder or an Azure Blob container. Keys are relative, parts separated by '/'; see
/// <see cref="BlobKey"/> for what is refused. A write is seen as a whole or not at all. Safe for concurrent use.</summary>
/// <remarks>Every method throws <see cref="ArgumentException"/> for a refused key and <see cref="BlobStoreException"/>
/// where the store fails (a full disk, no permission, no network).</remarks>
public interface IBlobStore
{
    /// <summary>Where the store is, for people; without secrets.</summary>
    string Name { get; }

    /// <summary>The bytes and the version of a blob, or null where there is none.</summary>
    /// <param name="key">The blob's key.</param>
    /// <param name="maxBytes">The most bytes to take into memory.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="BlobStoreException">The blob is larger than <paramref name="maxBytes"/>, or the store fails.</exception>
    Task<Blob?> ReadBlobAsync(string key, long maxBytes, CancellationToken cancellationToken = default);

    /// <summary>Writes a blob, over an earlier one where there is one.</summary>
    /// <param name="key">The blob's key.</param>
    /// <param name="data">All of its bytes.</param>
    /// <param name="cancellationToken">Stops the writing; the key then holds the old bytes or the new.</param>
    Task WriteAsync(string key, ReadOnlyMemory<byte> data, CancellationToken cancellationToken = default);

    /// <summary>Writes a blob only where it is still the version that was read.</summary>
    /// <param name="key">The blob's key. A key is written either always with a condition or never.</param>
    /// <param name="data">All of its bytes.</param>
    /// <param name="etag">The version that was read; null where there was no blob.</param>
    /// <param name="cancellationToken">Stops the writing; the key then holds the old bytes or the new.</param>
    /// <returns>The new version.</returns>
    /// <exception cref="BlobConflictException">Another writer was first: read again and decide again.</exception>
    Task<string> WriteIfAsync(string key, ReadOnlyMemory<byte> data, string? etag, CancellationToken cancellationToken = default);

    /// <summary>Writes a large blob where there is none yet, holding one part of it in memory at a time.</summary>
    /// <param name="key">The blob's key.</param>
    /// <param name="parts">Its bytes, in parts of 8 MiB at most. What this throws is thrown, and nothing is written then.</param>
    /// <param name="cancellationToken">Stops the writing; the key then holds no blob, or the whole one.</param>
    /// <returns>False where there was a blob already, which stays as it is.</returns>
    Task<bool> CreateAsync(string key, IAsyncEnumerable<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken = default);

    /// <summary>Whether there is a blob.</summary>
    /// <param name="key">The blob's key.</param>
    /// <param name="cancellationToken">Stops the asking.</param>
    Task<bool> ExistsAsync(string key, CancellationToken cancellationToken = default);

    /// <summary>Deletes a blob; nothing happens where there is none.</summary>
    /// <param name="key">The blob's key.</param>
    /// <param name="etag">The version to delete, or null for any.</param>
    /// <param name="cancellationToken">Stops the deleting.</param>
    /// <exception cref="BlobConflictException">The blob is another version, or there is none although
    /// <paramref name="etag"/> names one.</exception>
    Task DeleteAsync(string key, string? etag = null, CancellationToken cancellationToken = default);

    /// <summary>The keys that start with a prefix, in ordinal order.</summary>
    /// <param name="prefix">Any start of a key, also in the middle of a part; empty for all.</param>
    /// <param name="cancellationToken">Stops the listing.</param>
    IAsyncEnumerable<string> ListAsync(string prefix = "", CancellationToken cancellationToken = default);
}

/// <summary>A blob as it was read.</summary>
/// <param name="Data">All of its bytes.</param>
/// <param name="ETag">Its version, for <see cref="IBlobStore.WriteIfAsync"/>.</param>
public sealed record Blob(ReadOnlyMemory<byte> Data, string ETag);

using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace StainGrid.Imaging;

/// <summary>Blobs as files below a folder. A write goes to a file beside its place, to the disk, and is then renamed, so
/// that a crash or a full disk leaves the old bytes or the new. Links below the root are never followed.</summary>
/// <remarks>A version (ETag) is the content's SHA-256. Conditional writes are safe between processes on one machine, by
/// file locks in a folder of the root; do not rely on them over network file systems.</remarks>
public sealed class FolderBlobStore : IBlobStore
{
    private const int LockCount = 64;

    private readonly SemaphoreSlim[] _locks = [.. Enumerable.Range(0, LockCount).Select(_ => new SemaphoreSlim(1))];

    /// <summary>A store below a folder, which is made at the first write.</summary>
    /// <param name="root">The folder; may itself be a link.</param>
    public FolderBlobStore(string root)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        Root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(root));
    }

    /// <summary>The folder's full path.</summary>
    public string Root { get; }

    /// <inheritdoc/>
    public string Name => Root;

    /// <inheritdoc/>
    public async Task<Blob?> ReadBlobAsync(string key, long maxBytes, CancellationToken cancellationToken = default)
    {
        string path = Resolve(key);
        try
        {
            if (!File.Exists(path))
                return null;
            await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1, useAsync: true);
            long length = stream.Length;
            if (length > Math.Min(maxBytes, Array.MaxLength))
                throw TooLarge(Name, key, length, maxBytes);
            byte[] data = new byte[length];
            await stream.ReadExactlyAsync(data, cancellationToken);
            BlobMeter.Read(BlobMeter.Folder, length);
            return new Blob(data, ETag(data));
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
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
        WriteAsync(key, (stream, stop) => stream.WriteAsync(data, stop), partial =>
        {
            File.Move(partial, Resolve(key), overwrite: true);
            return Task.CompletedTask;
        }, cancellationToken);

    /// <inheritdoc/>
    public async Task<bool> CreateAsync(string key, IAsyncEnumerable<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(parts);
        if (await ExistsAsync(key, cancellationToken))
            return false;
        bool created = false;
        await WriteAsync(
            key,
            async (stream, stop) =>
            {
                await foreach (var part in parts.WithCancellation(stop))
                    await stream.WriteAsync(part, stop);
            },
            async partial => created = await LockedAsync(key, () => Task.FromResult(TryMove(partial, Resolve(key))), cancellationToken),
            cancellationToken);
        return created;
    }

    /// <inheritdoc/>
    public Task<string> WriteIfAsync(string key, ReadOnlyMemory<byte> data, string? etag, CancellationToken cancellationToken = default) =>
        LockedAsync(key, async () =>
        {
            await CheckVersionAsync(key, etag, cancellationToken);
            await WriteAsync(key, data, cancellationToken);
            return ETag(data.Span);
        }, cancellationToken);

    /// <inheritdoc/>
    public Task<bool> ExistsAsync(string key, CancellationToken cancellationToken = default)
    {
        string path = Resolve(key);
        cancellationToken.ThrowIfCancellationRequested();
        return Task.FromResult(File.Exists(path));
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string key, string? etag = null, CancellationToken cancellationToken = default)
    {
        string path = Resolve(key);
        if (etag is null)
        {
            Delete();
            return;
        }

        await LockedAsync(key, async () =>
        {
            await CheckVersionAsync(key, etag, cancellationToken);
            Delete();
            return true;
        }, cancellationToken);

        void Delete()
        {
            try
            {
                File.Delete(path);
            }
            catch (DirectoryNotFoundException)
            {
                // Nothing was there.
            }
            catch (Exception exception) when (IsFailure(exception))
            {
                throw Failed("delete", key, exception);
            }
        }
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<string> ListAsync(string prefix = "", [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        int parts = prefix.LastIndexOf('/');
        string folder = Root;
        if (parts >= 0)
        {
            folder = Resolve(prefix[..parts]);
        }

        var keys = new List<string>();
        try
        {
            var options = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint, IgnoreInaccessible = false };
            if (Directory.Exists(folder))
            {
                foreach (string path in Directory.EnumerateFiles(folder, "*", options))
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    string key = Path.GetRelativePath(Root, path).Replace(Path.DirectorySeparatorChar, '/');
                    if (key.StartsWith(prefix, StringComparison.Ordinal) && !key.EndsWith(BlobKey.Partial, StringComparison.Ordinal)
                        && !key.StartsWith(BlobKey.Reserved + "/", StringComparison.Ordinal))
                    {
                        keys.Add(key);
                    }
                }
            }
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("list", prefix, exception);
        }

        keys.Sort(StringComparer.Ordinal);
        foreach (string key in keys)
            yield return key;
        await Task.CompletedTask;
    }

    /// <summary>Deletes the folder with all that is in it; links in it are deleted, not followed.</summary>
    /// <param name="except">The name of a file that stays, and the folder with it; null for none.</param>
    /// <param name="cancellationToken">Stops between the entries of the folder.</param>
    /// <exception cref="BlobStoreException">Something cannot be deleted.</exception>
    internal void DeleteAll(string? except, CancellationToken cancellationToken)
    {
        var root = new DirectoryInfo(Root);
        try
        {
            foreach (var entry in root.Exists ? root.EnumerateFileSystemInfos() : [])
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (entry is DirectoryInfo { LinkTarget: null } folder)
                    folder.Delete(recursive: true);
                else if (entry.Name != except)
                    entry.Delete();
            }

            if (except is null && root is { Exists: true, LinkTarget: null })
                root.Delete();
        }
        catch (DirectoryNotFoundException)
        {
            // Another deleted it meanwhile.
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw Failed("delete", "all of it", exception);
        }
    }

    /// <summary>When a file was written last; null where there is none.</summary>
    internal DateTimeOffset? Modified(string key) => new FileInfo(Resolve(key)) is { Exists: true } file ? file.LastWriteTimeUtc : null;

    internal static BlobStoreException TooLarge(string store, string key, long length, long maxBytes) =>
        new(string.Create(CultureInfo.InvariantCulture,
            $"{store}: {key} has {length:N0} bytes, more than the {maxBytes:N0} that fit. It is damaged or of another kind; write it again."));

    private static string ETag(ReadOnlySpan<byte> data) => Convert.ToHexStringLower(SHA256.HashData(data));

    private static bool IsFailure(Exception exception) =>
        exception is IOException or UnauthorizedAccessException && exception is not BlobStoreException;

    private BlobStoreException Failed(string verb, string key, Exception exception)
    {
        BlobMeter.Failed(BlobMeter.Folder, exception);
        string remedy = exception.HResult is 28 or 122 or unchecked((int)0x80070070)
            ? "Free some space and run again."
            : "Check the disk and the permissions.";
        return new BlobStoreException($"{Root}: cannot {verb} {key}: {exception.Message} {remedy}", exception);
    }

    // To a file beside its place and to the disk, then to its place.
    private async Task WriteAsync(string key, Func<Stream, CancellationToken, ValueTask> write, Func<string, Task> place, CancellationToken cancellationToken)
    {
        string path = Resolve(key);
        string partial = $"{path}.{Guid.NewGuid():N}{BlobKey.Partial}";
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            long length;
            await using (var stream = new FileStream(partial, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, useAsync: true))
            {
                await write(stream, cancellationToken);
                RandomAccess.FlushToDisk(stream.SafeFileHandle);
                length = stream.Length;
            }

            await place(partial);
            BlobMeter.Write(BlobMeter.Folder, length);
        }
        catch (Exception exception)
        {
            TryDelete(partial);
            if (IsFailure(exception))
                throw Failed("write", key, exception);
            throw;
        }
    }

    // Under the key's lock: .NET looks whether the place is free and then renames, and two may both see it free.
    private static bool TryMove(string partial, string path)
    {
        if (File.Exists(path))
        {
            File.Delete(partial);
            return false;
        }

        File.Move(partial, path);
        return true;
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Left behind under a name that no key has.
        }
    }

    /// <summary>The file of a key, none of whose parts below the root is a link.</summary>
    private string Resolve(string key)
    {
        BlobKey.Check(key);
        string path = Root;
        foreach (string part in key.Split('/'))
        {
            path = Path.Combine(path, part);
            if (new FileInfo(path).LinkTarget is not null)
                throw new BlobStoreException($"{Root}: {key} leads over a link ({part}). Replace the link by what it points to.");
        }

        return path;
    }

    private async Task CheckVersionAsync(string key, string? etag, CancellationToken cancellationToken)
    {
        var current = await ReadBlobAsync(key, long.MaxValue, cancellationToken);
        if (current?.ETag != etag)
            throw BlobConflictException.For(Name, key);
    }

    /// <summary>Holds the key's lock, among this process's threads and among processes.</summary>
    private async Task<T> LockedAsync<T>(string key, Func<Task<T>> action, CancellationToken cancellationToken)
    {
        BlobKey.Check(key);
        int slot = SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(key))[0] % LockCount;
        await _locks[slot].WaitAsync(cancellationToken);
        try
        {
            using var held = await LockFileAsync(slot, cancellationToken);
            return await action();
        }
        finally
        {
            _locks[slot].Release();
        }
    }

    private async Task<FileStream> LockFileAsync(int slot, CancellationToken cancellationToken)
    {
        string folder = Path.Combine(Root, BlobKey.Reserved);
        string path = Path.Combine(folder, slot.ToString("00", CultureInfo.InvariantCulture));
        for (var deadline = DateTime.UtcNow.AddSeconds(30); ;)
        {
            try
            {
                Directory.CreateDirectory(folder);
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1);
            }
            catch (IOException exception) when (exception.GetType() == typeof(IOException) && exception.HResult == 11 && DateTime.UtcNow < deadline)
            {
                // EAGAIN: another process holds it.
                await Task.Delay(Random.Shared.Next(2, 20), cancellationToken);
            }
            catch (Exception exception) when (IsFailure(exception))
            {
                throw Failed("lock", path, exception);
            }
        }
    }
}

using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace StainGrid.Imaging.Reading;

/// <summary>Where images are read: a folder, or the blobs below a prefix. What others wrote as a path never leads out of it.</summary>
internal abstract class SourceFolder
{
    /// <summary>The folder for people.</summary>
    public abstract string Name { get; }

    /// <summary>A folder by its path, or a prefix by its address.</summary>
    public static SourceFolder Open(string address, BlobFiles blobs) =>
        BlobAddress.IsBlob(address) ? new BlobFolder(address, blobs) : new DiskFolder(address);

    /// <summary>The address of a file of the folder, as its listing names it.</summary>
    public abstract string Address(string name);

    /// <summary>The address of what a relative path leads to; null where it leads out: absolute, "..", or through a link.</summary>
    public abstract string? Below(string relative);

    /// <summary>The folder that a relative path leads to; null where it leads out.</summary>
    public abstract SourceFolder? Within(string relative);

    /// <summary>A file; null where there is none, or the path leads out.</summary>
    public abstract ValueTask<SourceFile?> FindAsync(string relative, CancellationToken cancellationToken = default);

    /// <summary>A file's bytes; null where there is none, or the path leads out.</summary>
    /// <exception cref="InvalidDataException">It has more than <paramref name="maxBytes"/>.</exception>
    public abstract ValueTask<byte[]?> ReadAsync(string relative, long maxBytes, CancellationToken cancellationToken = default);

    /// <summary>The files below a part of the folder (empty for all of it), in ordinal order, without links.</summary>
    public abstract IAsyncEnumerable<SourceFile> FilesAsync(string part, CancellationToken cancellationToken = default);

    /// <summary>A file's JSON, and whether there is such a file.</summary>
    /// <exception cref="ImageException">It is no JSON, or has more than <paramref name="maxBytes"/>.</exception>
    public async ValueTask<(bool Found, JsonNode? Node)> JsonAsync(string relative, long maxBytes, CancellationToken cancellationToken = default)
    {
        string name = $"{Name}/{relative}";
        try
        {
            var file = await FindAsync(relative, cancellationToken);
            if (file?.Length > maxBytes)
                throw new ImageException($"{name} is larger than {maxBytes >> 20} MB. Check the file.");
            if (file is null || await ReadAsync(relative, maxBytes, cancellationToken) is not { } data)
                return (false, null);
            return (true, JsonNode.Parse(data, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false }));
        }
        catch (Exception exception) when (exception is JsonException or (IOException and not BlobStoreException) or InvalidDataException or UnauthorizedAccessException)
        {
            throw new ImageException($"{name} is not readable as JSON: {exception.Message} Export it again.", exception);
        }
    }
}

/// <summary>A file of a source.</summary>
/// <param name="Name">Its path below the folder, parts separated by '/'.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Version">What changes when it is written again, where the store keeps that.</param>
internal sealed record SourceFile(string Name, long Length, string? Version);

/// <summary>A folder of the file system.</summary>
internal sealed class DiskFolder(string path) : SourceFolder
{
    public override string Name => path;

    public override string Address(string name) => Path.Combine(path, name);

    public override string? Below(string relative) => ImagePath.Below(path, relative);

    public override SourceFolder? Within(string relative) => Below(relative) is { } below ? new DiskFolder(below) : null;

    public override ValueTask<SourceFile?> FindAsync(string relative, CancellationToken cancellationToken) =>
        ValueTask.FromResult(Below(relative) is { } below && new FileInfo(below) is { Exists: true } file ? new SourceFile(relative, file.Length, null) : null);

    // Not truly asynchronous, so that readers of local images need not be.
    public override ValueTask<byte[]?> ReadAsync(string relative, long maxBytes, CancellationToken cancellationToken)
    {
        if (Below(relative) is not { } below || new FileInfo(below) is not { Exists: true } file)
            return ValueTask.FromResult<byte[]?>(null);
        return file.Length <= maxBytes
            ? ValueTask.FromResult<byte[]?>(File.ReadAllBytes(below))
            : throw new InvalidDataException($"it is far larger than it can be ({file.Length:N0} bytes)");
    }

    public override async IAsyncEnumerable<SourceFile> FilesAsync(string part, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.CompletedTask;
        foreach (var file in ImagePath.FilesBelow(part.Length == 0 ? path : Path.Combine(path, part)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return new SourceFile(Path.GetRelativePath(path, file.FullName).Replace(Path.DirectorySeparatorChar, '/'), file.Length, null);
        }
    }
}

/// <summary>The blobs below a prefix.</summary>
internal sealed class BlobFolder : SourceFolder
{
    private readonly string _address, _prefix;
    private readonly AzureBlobStore _store;

    public BlobFolder(string address, BlobFiles blobs)
        : this(address, blobs.Locate(address))
    {
    }

    private BlobFolder(string address, (AzureBlobStore Store, string Key) place)
    {
        _address = address;
        _store = place.Store;
        _prefix = place.Key.Length == 0 ? "" : place.Key + "/";
    }

    public override string Name => BlobAddress.Show(_address).TrimEnd('/');

    public override string Address(string name) => BlobAddress.Append(_address, name);

    public override string? Below(string relative) => Relative(relative) is { } name ? Address(name) : null;

    public override SourceFolder? Within(string relative) =>
        Relative(relative) is { } name ? new BlobFolder(Address(name), (_store, _prefix + name)) : null;

    public override async ValueTask<SourceFile?> FindAsync(string relative, CancellationToken cancellationToken) =>
        Relative(relative) is { } name && await _store.FindAsync(_prefix + name, cancellationToken) is { } blob ? new SourceFile(relative, blob.Length, blob.ETag) : null;

    public override async ValueTask<byte[]?> ReadAsync(string relative, long maxBytes, CancellationToken cancellationToken) =>
        Relative(relative) is { } name && await _store.ReadBlobAsync(_prefix + name, maxBytes, cancellationToken) is { } blob ? blob.Data.ToArray() : null;

    public override async IAsyncEnumerable<SourceFile> FilesAsync(string part, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var blob in _store.ListBlobsAsync(part.Length == 0 ? _prefix : $"{_prefix}{part}/", cancellationToken))
        {
            // A name that would lead elsewhere as a path is not of this folder.
            string name = blob.Key[_prefix.Length..];
            if (Relative(name) == name)
                yield return new SourceFile(name, blob.Length, blob.ETag);
        }
    }

    // The rules of paths in folders; there are no links.
    private static string? Relative(string relative)
    {
        string name = relative.Replace('\\', '/');
        return name.Length > 1024 || name.Any(letter => letter == ':' || char.IsControl(letter)) || name.Split('/').Any(part => part is "" or "." or "..") ? null : name;
    }
}

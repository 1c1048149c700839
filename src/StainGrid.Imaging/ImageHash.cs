using System.Security.Cryptography;
using System.Text;
using StainGrid.Imaging.Reading;

namespace StainGrid.Imaging;

/// <summary>What identifies the source of a result.</summary>
public static class ImageHash
{
    // Requests to a store take long, chunks are small: several at once, of so many bytes together, or a large one alone.
    private const int ChunksAtOnce = 8;
    private const long BytesAtOnce = 64L << 20;

    /// <summary>The SHA-256 of the files' bytes, one after the other, in lower-case hex. For one file it is what
    /// <c>sha256sum</c> prints.</summary>
    /// <param name="paths">The files, in order.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="ImageException">A file cannot be read.</exception>
    public static Task<string> ComputeAsync(IReadOnlyList<string> paths, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(paths);
        return ComputeAsync([.. paths.Select(ImageSource.OfPath)], cancellationToken);
    }

    internal static async Task<string> ComputeAsync(IReadOnlyList<ImageSource> sources, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var source in sources)
        {
            try
            {
                if (source.Folder is null)
                    await AddFileAsync(hash, source.File, cancellationToken);
                else
                    await AddZarrAsync(hash, source.Folder, source.Channel, cancellationToken);
            }
            catch (Exception exception) when (exception is (IOException and not BlobStoreException) or InvalidDataException or UnauthorizedAccessException)
            {
                throw new ImageException($"{source.Shown} cannot be read: {exception.Message} Check the path and the permissions.", exception);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static async Task AddFileAsync(IncrementalHash hash, string path, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[1 << 20];
        await using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1, useAsync: true);
        int read;
        while ((read = await stream.ReadAsync(buffer, cancellationToken)) > 0)
            hash.AppendData(buffer, 0, read);
    }

    // Of an OME-Zarr image: the description and every chunk of level 0, and which channel of it.
    private static async Task AddZarrAsync(IncrementalHash hash, SourceFolder folder, string? channel, CancellationToken cancellationToken)
    {
        var files = new List<SourceFile>();
        await foreach (var file in ZarrImage.FilesAsync(folder, cancellationToken))
            files.Add(file);
        foreach (var file in files)
            hash.AppendData(Encoding.UTF8.GetBytes($"{file.Name}\t{file.Length}\n"));
        hash.AppendData(Encoding.UTF8.GetBytes($"#channel={channel}\n"));
        for (int i = 0; i < files.Count;)
        {
            int first = i;
            for (long bytes = 0; i < files.Count && i < first + ChunksAtOnce && (i == first || bytes + files[i].Length <= BytesAtOnce); i++)
                bytes += files[i].Length;
            foreach (byte[]? data in await Task.WhenAll(files[first..i].Select(file =>
                folder.ReadAsync(file.Name, Math.Min(file.Length, ImageLimits.Default.MaxDecodedBytes), cancellationToken).AsTask())))
                hash.AppendData(data ?? throw new IOException("a chunk is no longer there."));
        }
    }
}

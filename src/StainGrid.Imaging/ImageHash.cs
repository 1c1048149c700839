using System.Security.Cryptography;

namespace StainGrid.Imaging;

/// <summary>What identifies the source of a result.</summary>
public static class ImageHash
{
    /// <summary>The SHA-256 of the files' bytes, one after the other, in lower-case hex. For one file it is what
    /// <c>sha256sum</c> prints.</summary>
    /// <param name="paths">The files, in order.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="ImageException">A file cannot be read.</exception>
    public static async Task<string> ComputeAsync(IReadOnlyList<string> paths, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(paths);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        foreach (string path in paths.SelectMany(Expand))
        {
            try
            {
                var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1, useAsync: true);
                await using (stream)
                {
                    int read;
                    while ((read = await stream.ReadAsync(buffer, cancellationToken)) > 0)
                        hash.AppendData(buffer, 0, read);
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                throw new ImageException($"{path} cannot be read: {exception.Message} Check the path and the permissions.", exception);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());

        // Of an OME-Zarr image: the description and every chunk of level 0, and which channel of it.
        IEnumerable<string> Expand(string path)
        {
            var (folder, channel) = ImagePath.Split(path);
            if (!Directory.Exists(folder))
                return [path];
            var files = Reading.ZarrImage.Files(folder).ToArray();
            foreach (var file in files)
                hash.AppendData(System.Text.Encoding.UTF8.GetBytes($"{Path.GetRelativePath(folder, file.FullName)}\t{file.Length}\n"));
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes($"#channel={channel}\n"));
            return files.Select(file => file.FullName);
        }
    }
}

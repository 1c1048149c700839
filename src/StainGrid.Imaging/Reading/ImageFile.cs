using Microsoft.Win32.SafeHandles;

namespace StainGrid.Imaging.Reading;

/// <summary>A file opened for reading at any position, by any thread, whose every failure is an
/// <see cref="ImageException"/>.</summary>
internal sealed class ImageFile : IDisposable
{
    private readonly SafeFileHandle _handle;

    private ImageFile(string path, string localPath, SafeFileHandle handle, long length)
    {
        Path = path;
        LocalPath = localPath;
        _handle = handle;
        Length = length;
    }

    /// <summary>The image's name for people: the path, or the address of the blob that the file is a copy of.</summary>
    public string Path { get; }

    /// <summary>Where the file is.</summary>
    public string LocalPath { get; }

    public string Name => System.IO.Path.GetFileName(Path);

    public long Length { get; }

    /// <exception cref="ImageException">The file is missing, empty, a folder, or may not be read.</exception>
    public static ImageFile Open(string localPath, string? shown = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(localPath);
        string path = shown ?? localPath, name = System.IO.Path.GetFileName(path);
        try
        {
            var info = new FileInfo(localPath);
            if (Directory.Exists(localPath))
                throw new ImageException($"{path} is a folder, not an image. Name the image files in it.");
            if (!info.Exists)
                throw new ImageException($"{path} does not exist, or its folder may not be read. Check the path.");

            // Pipes and devices say 0 as well: refused here, since opening a pipe waits for a writer.
            long length = info.ResolveLinkTarget(returnFinalTarget: true) is FileInfo target ? target.Length : info.Length;
            if (length == 0)
                throw new ImageException($"{name} is empty (0 bytes). Copy it again.");
            var handle = File.OpenHandle(localPath, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, FileOptions.RandomAccess);
            return new ImageFile(path, localPath, handle, RandomAccess.GetLength(handle));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new ImageException($"{path} cannot be opened: {exception.Message} Check the path and the permissions.", exception);
        }
    }

    /// <summary>Fills the buffer from a position.</summary>
    /// <exception cref="ImageException">The file ends before, or the disk fails.</exception>
    public void ReadExactly(long position, Span<byte> buffer)
    {
        if (position < 0 || position > Length - buffer.Length)
            throw CutOff(position + buffer.Length);
        try
        {
            while (buffer.Length > 0)
            {
                int read = RandomAccess.Read(_handle, buffer, position);
                if (read == 0)
                    throw new ImageException($"{Name} became shorter while it was read. Wait until it is written and run again.");
                buffer = buffer[read..];
                position += read;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{Name} cannot be read: {exception.Message} Check the disk.", exception);
        }
    }

    /// <summary>The file needs at least <paramref name="needed"/> bytes and has fewer.</summary>
    public ImageException CutOff(long needed) => new(string.Create(CultureInfo.InvariantCulture,
        $"{Name} ends at byte {Length:N0} of at least {needed:N0}. The copy was cut off or its header is damaged; copy the file again."));

    /// <summary>The file says something that cannot be.</summary>
    public ImageException Damaged(string what) => new($"{Name} is damaged: {what}. Copy or export it again.");

    /// <summary>The file is sound but of a kind that is not read.</summary>
    public ImageException Unsupported(string what, string remedy) => new($"{Name} {what}. {remedy}");

    public void Dispose() => _handle.Dispose();
}

namespace StainGrid.Imaging;

/// <summary>Paths of images, and paths that others wrote.</summary>
public static class ImagePath
{
    private const string ChannelMark = "#channel=";

    /// <summary>A folder's path and the channel that stands behind it ("plate.zarr/B/7/0#channel=1").</summary>
    public static (string Path, string? Channel) Split(string path)
    {
        int mark = path.LastIndexOf(ChannelMark, StringComparison.Ordinal);
        return mark < 0 || File.Exists(path) ? (path, null) : (path[..mark], path[(mark + ChannelMark.Length)..]);
    }

    /// <summary>Puts together what <see cref="Split"/> takes apart.</summary>
    public static string Join(string path, string? channel) => channel is null ? path : path + ChannelMark + channel;

    /// <summary>A path below a folder, or null where it leads out of it: absolute, "..", or through a link.</summary>
    public static string? Below(string root, string relative)
    {
        if (relative.Length is 0 or > 4096 || relative.Contains('\0') || Path.IsPathRooted(relative))
            return null;
        string path = root;
        foreach (string part in relative.Split('/', '\\'))
        {
            if (part is "" or "." or ".." || part.Contains(':'))
                return null;
            path = Path.Combine(path, part);
            if (new FileInfo(path) is { LinkTarget: not null })
                return null;
        }

        return path;
    }

    /// <summary>The files of a folder and of those in it, links left out, in ordinal order of their paths.</summary>
    public static IEnumerable<FileInfo> FilesBelow(string folder) =>
        new DirectoryInfo(folder).EnumerateFiles("*", new EnumerationOptions
        {
            RecurseSubdirectories = true,
            AttributesToSkip = FileAttributes.ReparsePoint,
            IgnoreInaccessible = false,
            MaxRecursionDepth = 16,
        }).OrderBy(file => file.FullName, StringComparer.Ordinal);
}

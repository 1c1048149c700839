using StainGrid.Imaging.Reading;

namespace StainGrid.Imaging;

/// <summary>Opens microscopy images: grey PNG (8 or 16 bit) and grey TIFF (8 or 16 bit unsigned, 32-bit float; see
/// docs/imaging.md). The kind is told by the content, not by the name.</summary>
public static class ImageReader
{
    private const string Remedy = "Give a grey PNG (8 or 16 bit) or TIFF (8 or 16 bit, or 32-bit float).";

    /// <summary>Opens an image and checks all that its headers say; pixels are decoded when they are read.</summary>
    /// <param name="path">A PNG or TIFF file, or the folder of an OME-Zarr 0.4 image, which may be followed by
    /// "#channel=NUMBER" or "#channel=NAME".</param>
    /// <param name="limits">What the file may ask of memory; <see cref="ImageLimits.Default"/> where null.</param>
    /// <exception cref="ImageException">The file is missing, damaged, too large, or not a grey image that is read here.</exception>
    public static IPlaneImage Open(string path, ImageLimits? limits = null)
    {
        limits ??= ImageLimits.Default;
        return Open(path, limits, new DecodedCache(limits.CacheBytes));
    }

    /// <summary>Opens files of one plane each as one z-stack.</summary>
    /// <param name="paths">The planes' files in the order of the planes; one file that holds a whole stack is taken as it
    /// is.</param>
    /// <param name="limits">What the files together may ask of memory.</param>
    /// <exception cref="ImageException">A file is refused, has several planes, or differs from the first in size or type;
    /// the message names it.</exception>
    public static IPlaneImage OpenStack(IReadOnlyList<string> paths, ImageLimits? limits = null)
    {
        ArgumentNullException.ThrowIfNull(paths);
        ArgumentOutOfRangeException.ThrowIfZero(paths.Count);
        if (paths.Count == 1)
            return Open(paths[0], limits);

        // The planes share the memory that one image may keep.
        limits ??= ImageLimits.Default;
        var cache = new DecodedCache(limits.CacheBytes);
        var planes = new List<IPlaneImage>(paths.Count);
        try
        {
            foreach (string path in paths)
            {
                var plane = Open(path, limits, cache);
                planes.Add(plane);
                if (FileStack.Misfit(planes[0].Info, plane.Info) is { } misfit)
                    throw new ImageException($"{plane.Info.Name} {misfit}. All files of a z-stack must be alike, one plane each.");
            }

            return new FileStack(planes);
        }
        catch
        {
            planes.ForEach(plane => plane.Dispose());
            throw;
        }
    }

    private static PlaneImage Open(string path, ImageLimits limits, DecodedCache cache)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (Directory.Exists(ImagePath.Split(path).Path))
            return ZarrImage.Open(path, limits, cache);
        var file = ImageFile.Open(path);
        try
        {
            Span<byte> start = stackalloc byte[16];
            start = start[..(int)Math.Min(start.Length, file.Length)];
            file.ReadExactly(0, start);
            if (PngImage.IsPng(start))
                return PngImage.Open(file, limits, cache);
            if (TiffDirectories.IsTiff(start))
                return TiffImage.Open(file, limits, cache);
            throw new ImageException($"{file.Name} is {Guess(start)}. {Remedy}");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static string Guess(ReadOnlySpan<byte> start) => start switch
    {
        [0xFF, 0xD8, 0xFF, ..] => "a JPEG, which loses what the model needs",
        [(byte)'G', (byte)'I', (byte)'F', ..] => "a GIF",
        [(byte)'B', (byte)'M', ..] => "a BMP",
        [0xDA, 0xCE, 0xBE, 0x0A, ..] => "a Nikon ND2 file; export it as OME-TIFF (bfconvert)",
        [(byte)'Z', (byte)'I', (byte)'S', (byte)'R', (byte)'A', (byte)'W', ..] => "a Zeiss CZI file; export it as OME-TIFF (bfconvert)",
        [0x89, (byte)'H', (byte)'D', (byte)'F', ..] => "an HDF5 file",
        [(byte)'%', (byte)'P', (byte)'D', (byte)'F', ..] => "a PDF",
        _ when start.ContainsAnyExcept((byte)0) => "not an image that is known here",
        _ => "full of zeros, as after a copy that failed",
    };
}

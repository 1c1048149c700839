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
    public static IPlaneImage Open(string path, ImageLimits? limits = null) => OpenStack([path], limits);

    /// <summary>Opens files of one plane each as one z-stack.</summary>
    /// <param name="paths">The planes' files in the order of the planes; one file that holds a whole stack is taken as it
    /// is.</param>
    /// <param name="limits">What the files together may ask of memory.</param>
    /// <exception cref="ImageException">A file is refused, has several planes, or differs from the first in size or type;
    /// the message names it.</exception>
    public static IPlaneImage OpenStack(IReadOnlyList<string> paths, ImageLimits? limits = null)
    {
        ArgumentNullException.ThrowIfNull(paths);
        return OpenAsync([.. paths.Select(ImageSource.OfPath)], limits, default).GetAwaiter().GetResult();   // complete: files and folders are read at once
    }

    /// <summary>Opens images that may be blobs: PNG and TIFF as local copies, OME-Zarr chunk by chunk from its store.</summary>
    /// <param name="addresses">As the paths of <see cref="OpenStack"/>, or addresses as <see cref="BlobAddress"/> says.</param>
    /// <param name="blobs">Keeps the copies.</param>
    /// <param name="versions">The versions that the blobs must have, as <see cref="SourceImage.Versions"/> said; null for those that
    /// they have now.</param>
    /// <param name="limits">What the files together may ask of memory.</param>
    /// <param name="cancellationToken">Stops the download.</param>
    /// <exception cref="ImageException">A file is refused.</exception>
    /// <exception cref="BlobStoreException">A blob does not exist, is another version, or is too large; or its store fails.</exception>
    public static async Task<SourceImage> OpenStackAsync(IReadOnlyList<string> addresses, BlobFiles blobs,
        IReadOnlyList<string>? versions = null, ImageLimits? limits = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(addresses);
        ArgumentNullException.ThrowIfNull(blobs);
        var sources = new ImageSource[addresses.Count];
        for (int i = 0; i < sources.Length; i++)
            sources[i] = await ImageSource.FindAsync(addresses[i], blobs, cancellationToken);
        int[] files = [.. Enumerable.Range(0, sources.Length).Where(i => sources[i].Folder is null)];
        var lease = await blobs.OpenAsync([.. files.Select(i => addresses[i])], versions is null ? null : [.. files.Select(i => versions[i])], cancellationToken);
        try
        {
            string[] found = [.. sources.Select(_ => "")];
            for (int i = 0; i < files.Length; i++)
            {
                sources[files[i]] = sources[files[i]] with { File = lease.Paths[i] };
                found[files[i]] = lease.Versions[i];
            }

            return new SourceImage(await OpenAsync(sources, limits, cancellationToken), sources, found, lease);
        }
        catch
        {
            lease.Dispose();
            throw;
        }
    }

    private static async Task<IPlaneImage> OpenAsync(ImageSource[] sources, ImageLimits? limits, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfZero(sources.Length);

        // The planes share the memory that one image may keep.
        limits ??= ImageLimits.Default;
        var cache = new DecodedCache(limits.CacheBytes);
        if (sources.Length == 1)
            return await OpenAsync(sources[0], limits, cache, cancellationToken);
        var planes = new List<IPlaneImage>(sources.Length);
        try
        {
            foreach (var source in sources)
            {
                var plane = await OpenAsync(source, limits, cache, cancellationToken);
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

    private static async Task<PlaneImage> OpenAsync(ImageSource source, ImageLimits limits, DecodedCache cache, CancellationToken cancellationToken) =>
        source.Folder is { } folder ? await ZarrImage.OpenAsync(folder, source.Channel, limits, cache, cancellationToken) : OpenFile(source, limits, cache);

    private static PlaneImage OpenFile(ImageSource source, ImageLimits limits, DecodedCache cache)
    {
        var file = ImageFile.Open(source.File, source.Shown);
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

namespace StainGrid.Imaging;

/// <summary>What a file may ask of memory. All is checked before it is allocated.</summary>
public sealed record ImageLimits
{
    /// <summary>The limits that hold where none are given.</summary>
    public static ImageLimits Default { get; } = new();

    /// <summary>The most pixels in a plane; 100,000 x 100,000 by default.</summary>
    public long MaxPixels { get; init; } = 100_000L * 100_000L;

    /// <summary>The most bytes that one piece that only decodes as a whole (a PNG, a compressed strip or tile) may take
    /// when decoded; 1 GiB by default.</summary>
    public long MaxDecodedBytes { get; init; } = 1L << 30;

    /// <summary>The bytes of decoded pieces that an open image keeps for the next read; 256 MiB by default. One piece is
    /// kept even where it alone is larger.</summary>
    public long CacheBytes { get; init; } = 256L << 20;

    /// <summary>Throws where an image is larger than allowed.</summary>
    internal void CheckPlane(string name, long width, long height)
    {
        if (width < 1 || height < 1)
            throw new ImageException($"{name} is {width}x{height} pixels: there is nothing to read. Export the image again.");
        if (width > int.MaxValue || height > int.MaxValue || width > MaxPixels / height)
        {
            throw new ImageException(string.Create(CultureInfo.InvariantCulture,
                $"{name} says it is {width}x{height} pixels, more than the {MaxPixels:N0} allowed in a plane. If that is "
                + $"right, cut it into smaller images; if not, the file is damaged: copy it again."));
        }
    }

    /// <summary>Throws where a piece that decodes as a whole is larger than allowed.</summary>
    internal void CheckDecoded(string name, string what, long bytes, string remedy)
    {
        if (bytes > MaxDecodedBytes || bytes > Array.MaxLength)
        {
            throw new ImageException(string.Create(CultureInfo.InvariantCulture,
                $"{name}: {what} takes {bytes:N0} bytes when decoded, more than the "
                + $"{Math.Min(MaxDecodedBytes, Array.MaxLength):N0} allowed. {remedy}"));
        }
    }
}

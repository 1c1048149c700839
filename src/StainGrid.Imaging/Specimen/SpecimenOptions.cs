namespace StainGrid.Imaging.Specimen;

/// <summary>What synthetic culture to make. The same options give the same bytes on every machine.</summary>
public sealed record SpecimenOptions
{
    /// <summary>The most pixels a plane may have: 2^27. Generating and rendering hold about 16 bytes a pixel.</summary>
    public const long MaxPixels = 1L << 27;

    /// <summary>The longest side, pixels.</summary>
    public const int MaxSide = 1 << 17;

    /// <summary>The most planes.</summary>
    public const int MaxPlanes = 64;

    /// <summary>Width in pixels, 1 to <see cref="MaxSide"/>.</summary>
    public int Width { get; init; } = 1024;

    /// <summary>Height in pixels, 1 to <see cref="MaxSide"/>; width x height at most <see cref="MaxPixels"/>.</summary>
    public int Height { get; init; } = 1024;

    /// <summary>Names the culture: another seed is another culture of the same kind.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Planes along z, 1 to <see cref="MaxPlanes"/>; plane Planes / 2 is in focus.</summary>
    public int Planes { get; init; } = 13;

    /// <summary>Cells and neurites an area, 1 as in the real culture it was compared with; 0 (empty dish) to 4.</summary>
    public double Density { get; init; } = 1;

    /// <summary>Size of a pixel in micrometres, 0.2 to 4: structures keep their size in micrometres. The default is
    /// nominal: with it nuclei have the size in pixels that they have in In Silico Labeling's condition B.</summary>
    public double PixelSizeMicrometres { get; init; } = 0.65;

    /// <summary>Refuses options out of range, before anything is allocated.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of its range; the message says which, and the
    /// range.</exception>
    public void Validate()
    {
        Check(Width is >= 1 and <= MaxSide, nameof(Width), Width, $"1 to {MaxSide} pixels");
        Check(Height is >= 1 and <= MaxSide, nameof(Height), Height, $"1 to {MaxSide} pixels");
        Check((long)Width * Height <= MaxPixels, nameof(Height), $"{Width} x {Height}",
            $"at most {MaxPixels} pixels in all");
        Check(Planes is >= 1 and <= MaxPlanes, nameof(Planes), Planes, $"1 to {MaxPlanes} planes");
        Check(Density is >= 0 and <= 4, nameof(Density), Density, "0 to 4");
        Check(PixelSizeMicrometres is >= 0.2 and <= 4, nameof(PixelSizeMicrometres), PixelSizeMicrometres,
            "0.2 to 4 micrometres");
    }

    private static void Check(bool fine, string name, object value, string range)
    {
        if (!fine)
            throw new ArgumentOutOfRangeException(name, value, $"The specimen's {name} must be {range}.");
    }
}

using StainGrid.Tiling;

namespace StainGrid.Imaging;

/// <summary>An open image of one grey channel and one or more planes, read by region. Safe for concurrent reads.</summary>
public interface IPlaneImage : IDisposable
{
    /// <summary>Size, type and what else the file says of itself.</summary>
    ImageInfo Info { get; }

    /// <summary>Reads a region of a plane as it stands in the file: 0..255, 0..65,535, or the float itself; min-is-white
    /// files are inverted, so that more is always brighter.</summary>
    /// <param name="plane">The plane, 0 to <c>Info.Planes - 1</c>.</param>
    /// <param name="region">Pixels, fully inside the image.</param>
    /// <param name="destination">At least <c>region.Area</c> values, filled row by row.</param>
    /// <exception cref="ArgumentOutOfRangeException">The plane or a part of the region is outside the image.</exception>
    /// <exception cref="ArgumentException">The destination is too short.</exception>
    /// <exception cref="ImageException">The file is damaged there, or a float is not finite.</exception>
    void Read(int plane, Region region, Span<float> destination);
}

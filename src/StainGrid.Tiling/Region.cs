namespace StainGrid.Tiling;

/// <summary>A rectangle of pixels: its top left corner (may be negative) and its size. Half-open: the right and bottom
/// edges are not in it.</summary>
/// <param name="X">Left edge, pixels.</param>
/// <param name="Y">Top edge, pixels.</param>
/// <param name="Width">Width, pixels, at least 0.</param>
/// <param name="Height">Height, pixels, at least 0.</param>
public readonly record struct Region(int X, int Y, int Width, int Height)
{
    /// <summary>The first column right of the region.</summary>
    public int Right => X + Width;

    /// <summary>The first row below the region.</summary>
    public int Bottom => Y + Height;

    /// <summary>Whether the region has no pixel.</summary>
    public bool IsEmpty => Width <= 0 || Height <= 0;

    /// <summary>The number of pixels.</summary>
    public long Area => (long)Width * Height;

    /// <summary>The pixels that are in both regions; an empty region where there is none.</summary>
    public Region Intersect(Region other)
    {
        int x = Math.Max(X, other.X), y = Math.Max(Y, other.Y);
        int right = Math.Min(Right, other.Right), bottom = Math.Min(Bottom, other.Bottom);
        return right > x && bottom > y ? new Region(x, y, right - x, bottom - y) : default;
    }

    /// <summary>The region grown by <paramref name="margin"/> pixels on each side.</summary>
    public Region Inflate(int margin) => new(X - margin, Y - margin, Width + 2 * margin, Height + 2 * margin);
}

using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>Normalised pixels of a rectangle that may reach beyond the slide, where the slide is reflected at its borders (the
/// border pixel is not repeated, as in PyTorch's "reflect", and again and again where the slide is small).</summary>
/// <param name="Region">The rectangle, on the slide.</param>
/// <param name="Pixels">Its pixels, row by row, about -1 to 1.</param>
public sealed record PlaneWindow(Region Region, float[] Pixels)
{
    /// <summary>Reads and normalises a window of a plane.</summary>
    /// <param name="image">The image.</param>
    /// <param name="plane">The plane.</param>
    /// <param name="region">The window; may reach beyond the image on all sides.</param>
    /// <param name="range">The plane's range over the whole slide.</param>
    /// <param name="rule">The model's rule.</param>
    /// <exception cref="ImageException">The image is damaged there.</exception>
    public static PlaneWindow Read(IPlaneImage image, int plane, Region region, PlaneRange range, NormalisationRule rule)
    {
        ArgumentNullException.ThrowIfNull(image);
        int width = image.Info.Width, height = image.Info.Height;
        int[] columns = Sources(region.X, region.Width, width), rows = Sources(region.Y, region.Height, height);
        int left = columns.Min(), top = rows.Min();
        var source = new Region(left, top, columns.Max() - left + 1, rows.Max() - top + 1);
        var pixels = new float[source.Area];
        image.Read(plane, source, pixels);
        range.Normalise(pixels, rule);
        if (source == region)
            return new PlaneWindow(region, pixels);

        var reflected = new float[region.Area];
        for (int y = 0; y < region.Height; y++)
        {
            int from = (rows[y] - top) * source.Width - left, to = y * region.Width;
            for (int x = 0; x < columns.Length; x++)
                reflected[to + x] = pixels[from + columns[x]];
        }

        return new PlaneWindow(region, reflected);
    }

    /// <summary>Copies the 256x256 pixels around a tile.</summary>
    /// <param name="tile">A tile whose surroundings lie in the window.</param>
    /// <param name="context">256 x 256 values.</param>
    public void CopyContext(Tile tile, Span<float> context)
    {
        int x = tile.X - Tile.Margin - Region.X, y = tile.Y - Tile.Margin - Region.Y;
        for (int row = 0; row < Tile.ContextSize; row++)
            Pixels.AsSpan((y + row) * Region.Width + x, Tile.ContextSize).CopyTo(context[(row * Tile.ContextSize)..]);
    }

    /// <summary>The pixel of 0..length-1 that a place beyond the border shows.</summary>
    internal static int Reflect(int place, int length)
    {
        if (length == 1)
            return 0;
        int period = 2 * (length - 1);
        int phase = ((place % period) + period) % period;
        return phase < length ? phase : period - phase;
    }

    private static int[] Sources(int from, int count, int length)
    {
        var sources = new int[count];
        for (int i = 0; i < count; i++)
            sources[i] = Reflect(from + i, length);
        return sources;
    }
}

using System.Buffers.Binary;
using System.Text.Json.Nodes;
using StainGrid.Imaging.Zarr;
using StainGrid.Tiling;

namespace StainGrid.Imaging;

/// <summary>A plane of an image as an OME-Zarr 0.4 image that stands nowhere: its files are made when they are asked for, so that viewers can show what a field was
/// stained from. 16-bit unsigned without compression; 8 bit and floats are stretched to it.</summary>
public sealed class PlaneZarr
{
    private readonly IPlaneImage image;
    private readonly int plane;
    private readonly OmeZarrImage description;
    private readonly double low, factor;
    private readonly ushort[][] smaller;

    /// <summary>Reads the plane once, for the smaller levels.</summary>
    /// <param name="image">The image; it stays the caller's, and open.</param>
    /// <param name="plane">The plane, counted from 0.</param>
    /// <param name="name">The image's name in viewers.</param>
    /// <exception cref="ImageException">The image is damaged, or its plane does not exist.</exception>
    public PlaneZarr(IPlaneImage image, int plane, string name)
    {
        ArgumentNullException.ThrowIfNull(image);
        var info = image.Info;
        if (plane < 0 || plane >= info.Planes)
            throw new ImageException($"{name} has {info.Planes} planes; there is none of number {plane}.");
        (this.image, this.plane) = (image, plane);
        description = new OmeZarrImage(name, info.Width, info.Height, []) { PhysicalSizeX = info.PhysicalSizeX, PhysicalSizeY = info.PhysicalSizeY };
        (low, factor) = info.PixelType == PixelType.Float32 ? RangeOfFloats() : (0, ushort.MaxValue / info.PixelType.Maximum());
        smaller = Shrink();
        var (start, end) = Window();
        description = description with { Channels = [new OmeZarrChannel("INPUT", Start: start, End: end)] };
    }

    /// <summary>A file of the image.</summary>
    /// <param name="key">Its place: .zgroup, .zattrs, LEVEL/.zarray or LEVEL/0/0/0/ROW/COLUMN.</param>
    /// <returns>Its bytes, or null where there is none of this name.</returns>
    /// <exception cref="ImageException">The image is damaged there.</exception>
    public byte[]? Read(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (key == OmeZarrMetadata.GroupKey)
            return OmeZarrMetadata.Group();
        if (key == OmeZarrMetadata.AttributesKey)
            return OmeZarrMetadata.Attributes(description);
        string[] parts = key.Split('/');
        if (!Number(parts[0], description.Levels, out int level))
            return null;
        if (parts is [_, ".zarray"])
        {
            var array = JsonNode.Parse(OmeZarrMetadata.Array(description, level))!.AsObject();
            array["compressor"] = null;
            return OmeZarrMetadata.Bytes(array);
        }

        var (rows, columns) = description.ChunkGrid(level);
        return parts is [_, "0", "0", "0", var y, var x] && Number(y, rows, out int row) && Number(x, columns, out int column) ? Chunk(level, row, column) : null;

        static bool Number(string text, int limit, out int number) =>
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number < limit && text == number.ToString(CultureInfo.InvariantCulture);
    }

    // Chunks at the edge are of full size.
    private byte[] Chunk(int level, int row, int column)
    {
        int side = description.ChunkSize;
        var (width, height) = description.LevelSize(level);
        var region = new Region(column * side, row * side, Math.Min(side, width - column * side), Math.Min(side, height - row * side));
        ushort[] pixels = level == 0 ? ReadRegion(region) : Cut(smaller[level - 1], width, region);
        byte[] chunk = new byte[side * side * sizeof(ushort)];
        for (int y = 0; y < region.Height; y++)
        {
            for (int x = 0; x < region.Width; x++)
                BinaryPrimitives.WriteUInt16LittleEndian(chunk.AsSpan((y * side + x) * sizeof(ushort)), pixels[y * region.Width + x]);
        }

        return chunk;
    }

    private ushort[] ReadRegion(Region region)
    {
        float[] values = new float[region.Area];
        image.Read(plane, region, values);
        var pixels = new ushort[values.Length];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (ushort)Math.Clamp(Math.Round((values[i] - low) * factor), 0, ushort.MaxValue);
        return pixels;
    }

    private static ushort[] Cut(ushort[] level, int width, Region region)
    {
        var pixels = new ushort[region.Area];
        for (int y = 0; y < region.Height; y++)
            level.AsSpan((region.Y + y) * width + region.X, region.Width).CopyTo(pixels.AsSpan(y * region.Width));
        return pixels;
    }

    private (double Low, double Factor) RangeOfFloats()
    {
        var (least, most) = (float.PositiveInfinity, float.NegativeInfinity);
        ForBands(region =>
        {
            float[] values = new float[region.Area];
            image.Read(plane, region, values);
            foreach (float value in values)
                (least, most) = (Math.Min(least, value), Math.Max(most, value));
        });
        return (least, most > least ? ushort.MaxValue / ((double)most - least) : 0);
    }

    // Two rows become one; bands have an even number of them.
    private ushort[][] Shrink()
    {
        if (description.Levels == 1)
            return [];
        var levels = new ushort[description.Levels - 1][];
        for (int level = 1; level < description.Levels; level++)
        {
            var (width, height) = description.LevelSize(level);
            levels[level - 1] = new ushort[(long)width * height];
        }

        var (half, _) = description.LevelSize(1);
        ForBands(region =>
        {
            ushort[] pixels = ReadRegion(region);
            for (int y = 0; y < region.Height; y += 2)
                Halve(pixels, region.Width, y, region.Height, levels[0].AsSpan((region.Y + y) / 2 * half, half));
        });
        for (int level = 2; level < description.Levels; level++)
        {
            var (width, height) = description.LevelSize(level - 1);
            var (next, _) = description.LevelSize(level);
            for (int y = 0; y < height; y += 2)
                Halve(levels[level - 2], width, y, height, levels[level - 1].AsSpan(y / 2 * next, next));
        }

        return levels;

        static void Halve(ushort[] pixels, int width, int y, int height, Span<ushort> row) =>
            Shrinking.Halve(pixels.AsSpan(y * width, width), y + 1 < height ? pixels.AsSpan((y + 1) * width, width) : [], row);
    }

    private void ForBands(Action<Region> act)
    {
        const int Rows = 256;
        for (int y = 0; y < description.Height; y += Rows)
            act(new Region(0, y, description.Width, Math.Min(Rows, description.Height - y)));
    }

    // What viewers show at first: all but a thousandth at each end of the smallest level.
    private (double Start, double End) Window()
    {
        ushort[] pixels = smaller.Length > 0 ? [.. smaller[^1]] : ReadRegion(new Region(0, 0, description.Width, description.Height));
        Array.Sort(pixels);
        var (start, end) = (pixels[pixels.Length / 1000], pixels[^(1 + pixels.Length / 1000)]);
        return end > start ? (start, end) : (0, ushort.MaxValue);
    }
}

using System.Numerics;

namespace StainGrid.Imaging.Specimen;

/// <summary>Blurs with the edge pixels repeated outside. Element-wise vector arithmetic in a fixed order: no sum depends on
/// the vector's width or the number of cores.</summary>
internal static class Blur
{
    /// <summary>Rows <paramref name="top"/> to top + rows - 1 (may lie outside: edge rows are repeated) of the Gaussian blur
    /// of <paramref name="map"/> [height, width], into <paramref name="result"/> [rows, width].</summary>
    public static void Gaussian(float[] map, int width, int height, float[] taps, int top, int rows, float[] result)
    {
        int radius = taps.Length / 2;
        var padded = new float[width + 2 * radius];
        for (int row = 0; row < rows; row++)
        {
            var inner = padded.AsSpan(radius, width);
            inner.Clear();
            for (int k = 0; k < taps.Length; k++)
                AddScaled(map.AsSpan(Math.Clamp(top + row + k - radius, 0, height - 1) * width, width), taps[k], inner);
            padded.AsSpan(0, radius).Fill(inner[0]);
            padded.AsSpan(radius + width).Fill(inner[^1]);
            var output = result.AsSpan(row * width, width);
            output.Clear();
            for (int k = 0; k < taps.Length; k++)
                AddScaled(padded.AsSpan(k, width), taps[k], output);
        }
    }

    /// <summary>Three box blurs, near a Gaussian of sigma about <paramref name="radius"/>, in place, whatever its width.</summary>
    public static void Wide(float[] map, int width, int height, int radius)
    {
        for (int pass = 0; pass < 3; pass++)
        {
            Parallel.For(0, height, () => new float[width], (y, _, line) =>
            {
                var row = map.AsSpan(y * width, width);
                row.CopyTo(line);
                double sum = line[0] * (double)radius;
                for (int x = 0; x <= radius; x++)
                    sum += line[Math.Min(x, width - 1)];
                for (int x = 0; x < width; x++)
                {
                    row[x] = (float)(sum / (2 * radius + 1));
                    sum += line[Math.Min(x + radius + 1, width - 1)] - (double)line[Math.Max(x - radius, 0)];
                }

                return line;
            }, _ => { });
            const int Columns = 64;
            Parallel.For(0, (width + Columns - 1) / Columns, () => new float[Columns * height], (band, _, copy) =>
            {
                int x0 = band * Columns, columns = Math.Min(Columns, width - x0);
                for (int y = 0; y < height; y++)
                    map.AsSpan(y * width + x0, columns).CopyTo(copy.AsSpan(y * Columns));
                Span<double> sums = stackalloc double[Columns];
                for (int y = -radius; y <= radius; y++)
                {
                    int from = Math.Clamp(y, 0, height - 1) * Columns;
                    for (int x = 0; x < columns; x++)
                        sums[x] += copy[from + x];
                }

                for (int y = 0; y < height; y++)
                {
                    int next = Math.Min(y + radius + 1, height - 1) * Columns, last = Math.Max(y - radius, 0) * Columns;
                    for (int x = 0; x < columns; x++)
                    {
                        map[y * width + x0 + x] = (float)(sums[x] / (2 * radius + 1));
                        sums[x] += copy[next + x] - (double)copy[last + x];
                    }
                }

                return copy;
            }, _ => { });
        }
    }

    private static void AddScaled(ReadOnlySpan<float> source, float factor, Span<float> target)
    {
        int i = 0;
        var factors = new Vector<float>(factor);
        for (; i <= target.Length - Vector<float>.Count; i += Vector<float>.Count)
            (new Vector<float>(target[i..]) + new Vector<float>(source[i..]) * factors).CopyTo(target[i..]);
        for (; i < target.Length; i++)
            target[i] += source[i] * factor;
    }
}

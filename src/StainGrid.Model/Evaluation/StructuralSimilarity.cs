namespace StainGrid.Model;

/// <summary>
/// The structural similarity index of Wang, Bovik, Sheikh and Simoncelli ("Image quality assessment: from error visibility to structural similarity",
/// IEEE Transactions on Image Processing 13, 2004): windows of 11x11 weighted by a Gaussian of standard deviation 1.5, K1 = 0.01, K2 = 0.03,
/// L = 255. Only windows that lie fully in the image count.
/// </summary>
public static class StructuralSimilarity
{
    /// <summary>The side of a window, pixels.</summary>
    public const int Window = 11;

    private const double Sigma = 1.5;
    private const double Range = 255;
    private const double C1 = 0.01 * Range * 0.01 * Range;
    private const double C2 = 0.03 * Range * 0.03 * Range;

    // Of two pixels x and y: x, y, xx, yy, xy.
    private const int Quantities = 5;

    private static readonly double[] Gaussian = MakeGaussian();

    /// <summary>The sum of the index over all windows of two images, and how many there are (none where a side is below 11). The mean over
    /// the windows is what is called the SSIM. Eleven rows are held besides the images.</summary>
    /// <param name="first">Width x height levels, row by row.</param>
    /// <param name="second">The other image; the order of the two does not matter.</param>
    /// <param name="width">Width, pixels.</param>
    /// <param name="height">Height, pixels.</param>
    /// <exception cref="ArgumentException">An image has another number of pixels.</exception>
    public static (double Sum, long Windows) Sum(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, int width, int height)
    {
        if (first.Length != (long)width * height || second.Length != first.Length)
            throw new ArgumentException($"Images of {first.Length} and {second.Length} pixels cannot be compared as {width}x{height}.");
        int columns = width - Window + 1, rows = height - Window + 1;
        if (columns < 1 || rows < 1)
            return (0, 0);

        // The Gaussian is a product of one along x and one along y: rows are filtered once, and eleven of them make a row of windows.
        double[][] filtered = [.. Enumerable.Range(0, Window).Select(_ => new double[Quantities * columns])];
        double[] means = new double[Quantities * columns];
        double sum = 0;
        for (int y = 0; y < height; y++)
        {
            FilterRow(first.Slice(y * width, width), second.Slice(y * width, width), filtered[y % Window]);
            if (y < Window - 1)
                continue;
            Array.Clear(means);
            for (int k = 0; k < Window; k++)
            {
                double[] row = filtered[(y + 1 + k) % Window];
                for (int i = 0; i < means.Length; i++)
                    means[i] += Gaussian[k] * row[i];
            }

            for (int x = 0; x < columns; x++)
                sum += Index(means.AsSpan(x * Quantities, Quantities));
        }

        return (sum, (long)columns * rows);
    }

    private static void FilterRow(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, double[] filtered)
    {
        Array.Clear(filtered);
        for (int column = 0; column < filtered.Length / Quantities; column++)
        {
            var sums = filtered.AsSpan(column * Quantities, Quantities);
            for (int k = 0; k < Window; k++)
            {
                double weight = Gaussian[k], a = first[column + k], b = second[column + k];
                sums[0] += weight * a;
                sums[1] += weight * b;
                sums[2] += weight * a * a;
                sums[3] += weight * b * b;
                sums[4] += weight * a * b;
            }
        }
    }

    // The paper's equation 13.
    private static double Index(ReadOnlySpan<double> means)
    {
        double a = means[0], b = means[1];
        double varianceA = means[2] - a * a, varianceB = means[3] - b * b, covariance = means[4] - a * b;
        return (2 * a * b + C1) * (2 * covariance + C2) / ((a * a + b * b + C1) * (varianceA + varianceB + C2));
    }

    private static double[] MakeGaussian()
    {
        double[] weights = [.. Enumerable.Range(-(Window / 2), Window).Select(x => Math.Exp(-x * x / (2 * Sigma * Sigma)))];
        double sum = weights.Sum();
        return [.. weights.Select(weight => weight / sum)];
    }
}

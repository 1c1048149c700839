namespace StainGrid.Model;

/// <summary>
/// How many pixels have each pair of a true and a predicted level. It is all that correlation, errors, confusion, and draws of random pixels
/// need, so images are added one after the other and not kept: 512 KiB for any number of pixels. Sums are whole numbers, hence exact, and do
/// not depend on the order.
/// </summary>
public sealed class JointHistogram
{
    /// <summary>The levels of an image, 0..255.</summary>
    public const int Levels = 256;

    private readonly long[] counts = new long[Levels * Levels];   // row: a true level

    /// <summary>The pixels that were added.</summary>
    public long Pixels { get; private set; }

    /// <summary>Adds an image.</summary>
    /// <param name="predicted">The predicted levels.</param>
    /// <param name="truth">The true level of each of these pixels.</param>
    /// <exception cref="ArgumentException">The images differ in size.</exception>
    public void Add(ReadOnlySpan<byte> predicted, ReadOnlySpan<byte> truth)
    {
        if (predicted.Length != truth.Length)
            throw new ArgumentException($"Images of {predicted.Length} and {truth.Length} pixels cannot be compared.");
        for (int i = 0; i < truth.Length; i++)
            counts[truth[i] * Levels + predicted[i]]++;
        Pixels += truth.Length;
    }

    /// <summary>Adds what another one counted.</summary>
    public void Add(JointHistogram other)
    {
        ArgumentNullException.ThrowIfNull(other);
        for (int i = 0; i < counts.Length; i++)
            counts[i] += other.counts[i];
        Pixels += other.Pixels;
    }

    /// <summary>Pearson's correlation coefficient over all pixels, -1 to 1; null where an image is flat.</summary>
    public double? Pearson()
    {
        var moments = default(Moments);
        for (int i = 0; i < counts.Length; i++)
            moments.Add(i / Levels, i % Levels, counts[i]);
        return moments.Pearson;
    }

    /// <summary>Pearson's correlation coefficient over random pixels, several times, as in the paper's table III.</summary>
    /// <param name="draws">How many times, at least 2.</param>
    /// <param name="pixels">Random pixels a time, each out of all pixels (with replacement).</param>
    /// <param name="seed">The seed: the same gives the same.</param>
    /// <returns>Mean and standard deviation (of a sample: n - 1); null where a draw is flat or there is no pixel.</returns>
    public SampledPearson? PearsonOfRandomPixels(int draws, int pixels, int seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(draws, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(pixels, 1);
        if (Pixels == 0)
            return null;

        // A random pixel is a random rank among the pixels in the order of their pairs.
        int[] pairs = [.. Enumerable.Range(0, counts.Length).Where(i => counts[i] > 0)];
        var ends = new long[pairs.Length];
        long below = 0;
        for (int i = 0; i < pairs.Length; i++)
            ends[i] = below += counts[pairs[i]];

        var random = new Random(seed);
        var results = new double[draws];
        for (int draw = 0; draw < draws; draw++)
        {
            var moments = default(Moments);
            for (int pixel = 0; pixel < pixels; pixel++)
            {
                int place = Array.BinarySearch(ends, random.NextInt64(Pixels) + 1);   // the first end at or above the rank, counted from 1
                int pair = pairs[place < 0 ? ~place : place];
                moments.Add(pair / Levels, pair % Levels, 1);
            }

            if (moments.Pearson is not { } pearson)
                return null;
            results[draw] = pearson;
        }

        double mean = results.Average();
        return new SampledPearson(mean, Math.Sqrt(results.Sum(result => (result - mean) * (result - mean)) / (draws - 1)));
    }

    /// <summary>Mean absolute difference, levels; null without pixels.</summary>
    public double? MeanAbsoluteError() => MeanOf(difference => difference);

    /// <summary>Root of the mean squared difference, levels; null without pixels.</summary>
    public double? RootMeanSquareError() => MeanOf(difference => difference * difference) is { } mean ? Math.Sqrt(mean) : null;

    /// <summary>The confusion matrix over equal bins of the intensity: level l is in bin l bins / 256, rounded down.</summary>
    /// <param name="bins">How many, 1 to 256.</param>
    public ConfusionMatrix Confusion(int bins = ConfusionMatrix.Bins)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bins, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bins, Levels);
        long[][] matrix = [.. Enumerable.Range(0, bins).Select(_ => new long[bins])];
        for (int i = 0; i < counts.Length; i++)
            matrix[i / Levels * bins / Levels][i % Levels * bins / Levels] += counts[i];
        return new ConfusionMatrix(matrix);
    }

    private double? MeanOf(Func<long, long> ofDifference)
    {
        long sum = 0;
        for (int i = 0; i < counts.Length; i++)
            sum += counts[i] * ofDifference(Math.Abs(i / Levels - i % Levels));
        return Pixels > 0 ? (double)sum / Pixels : null;
    }

    // Sums over pixels of two levels, their squares and their product.
    private struct Moments
    {
        private long n, x, y, xx, yy, xy;

        public void Add(int first, int second, long count)
        {
            n += count;
            x += count * first;
            y += count * second;
            xx += count * first * first;
            yy += count * second * second;
            xy += count * first * second;
        }

        public readonly double? Pearson
        {
            get
            {
                Int128 varianceX = (Int128)n * xx - (Int128)x * x, varianceY = (Int128)n * yy - (Int128)y * y;
                return varianceX == 0 || varianceY == 0 ? null
                    : (double)((Int128)n * xy - (Int128)x * y) / (Math.Sqrt((double)varianceX) * Math.Sqrt((double)varianceY));
            }
        }
    }
}

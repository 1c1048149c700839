namespace StainGrid.Model;

/// <summary>How often the truth lies in a central interval of the predicted distribution.</summary>
/// <param name="Interval">The interval's nominal probability, such as 0.9: from the 5 to the 95 percent quantile, both levels included.</param>
/// <param name="Held">The mean probability that the predicted distributions give it, at least the nominal one, since levels are whole; null without pixels.</param>
/// <param name="Covered">The share of pixels whose true level lies in it; a calibrated model has <paramref name="Held"/>. Null without pixels.</param>
public sealed record IntervalCoverage(double Interval, double? Held, double? Covered);

/// <summary>Sums for <see cref="IntervalCoverage"/>, pixels added part by part.</summary>
public sealed class Calibration
{
    private readonly double[] held = new double[Intervals.Count];
    private readonly long[] covered = new long[Intervals.Count];

    /// <summary>The nominal probabilities.</summary>
    public static IReadOnlyList<double> Intervals { get; } = [0.5, 0.8, 0.9, 0.95];

    /// <summary>The pixels that were added.</summary>
    public long Pixels { get; private set; }

    /// <summary>The coverage of each interval.</summary>
    public IReadOnlyList<IntervalCoverage> Coverage => [.. Intervals.Select((interval, i) =>
        Pixels > 0 ? new IntervalCoverage(interval, held[i] / Pixels, (double)covered[i] / Pixels) : new IntervalCoverage(interval, null, null))];

    /// <summary>Adds pixels.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="heldSums">For each interval the sum over them of its probability.</param>
    /// <param name="coveredCounts">For each interval how many have their true level in it.</param>
    public void Add(long pixels, ReadOnlySpan<double> heldSums, ReadOnlySpan<long> coveredCounts)
    {
        Pixels += pixels;
        for (int i = 0; i < held.Length; i++)
        {
            held[i] += heldSums[i];
            covered[i] += coveredCounts[i];
        }
    }

    /// <summary>Adds what another one counted.</summary>
    public void Add(Calibration other)
    {
        ArgumentNullException.ThrowIfNull(other);
        Add(other.Pixels, other.held, other.covered);
    }
}

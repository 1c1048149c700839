namespace StainGrid.Model;

/// <summary>How many pixels of each bin of the true intensity were predicted in each bin (the paper's table V, figures 4 to 6).</summary>
/// <param name="Counts">A row a true bin, from dark to bright, of as many columns: the predicted bins.</param>
public sealed record ConfusionMatrix(IReadOnlyList<IReadOnlyList<long>> Counts)
{
    /// <summary>The paper's number of bins.</summary>
    public const int Bins = 10;

    /// <summary>For each true bin the share of its pixels that were predicted in it (recall); null for a bin without pixels.</summary>
    public IReadOnlyList<double?> BinAccuracy => [.. Counts.Select((_, bin) => Share(bin, bin))];

    /// <summary>The share of all pixels that were predicted in their bin; null without pixels.</summary>
    public double? Accuracy
    {
        get
        {
            long all = Counts.Sum(row => row.Sum());
            return all > 0 ? (double)Counts.Select((row, bin) => row[bin]).Sum() / all : null;
        }
    }

    /// <summary>The share of a true bin's pixels that were predicted in another; null for a bin without pixels.</summary>
    public double? Share(int truth, int predicted)
    {
        long all = Counts[truth].Sum();
        return all > 0 ? (double)Counts[truth][predicted] / all : null;
    }

    /// <summary>The levels of a bin, as "0-25".</summary>
    public string BinName(int bin)
    {
        int bins = Counts.Count;
        return string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{First(bin)}-{First(bin + 1) - 1}");

        int First(int place) => (place * JointHistogram.Levels + bins - 1) / bins;
    }
}

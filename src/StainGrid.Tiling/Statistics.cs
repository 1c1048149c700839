namespace StainGrid.Tiling;

/// <summary>What is stored of a pixel's distribution over 256 levels. Definitions: In Silico Labeling (Christiansen et al.,
/// Cell 2018), with C levels and probabilities p_i.</summary>
public enum Statistic
{
    /// <summary>sum p_i i / (C-1).</summary>
    Mean,

    /// <summary>The square root of the distribution's variance, in units of the label's range.</summary>
    StandardDeviation,

    /// <summary>count(cumulative sum &lt; 0.5) / (C-1), averaged over the tiles.</summary>
    Median,

    /// <summary>argmax / (C-1), averaged over the tiles.</summary>
    Mode,

    /// <summary>-sum p_i ln p_i / ln C, averaged over the tiles: 0 certain, 1 uniform.</summary>
    Entropy,
}

/// <summary>What is summed over tiles. Each value lies in 0 to 1.</summary>
public enum MapLayer
{
    /// <summary>First moment, sum p_i x_i with x_i = i / (C-1).</summary>
    Mean,

    /// <summary>Second moment, sum p_i x_i^2.</summary>
    SecondMoment,

    /// <summary>The tile's median.</summary>
    Median,

    /// <summary>The tile's mode.</summary>
    Mode,

    /// <summary>The tile's entropy.</summary>
    Entropy,
}

/// <summary>Which sums the wanted statistics need, and how a statistic comes from them.</summary>
public static class Statistics
{
    /// <summary>The layers that <paramref name="statistics"/> need, each once, in the order of <see cref="MapLayer"/>.</summary>
    public static IReadOnlyList<MapLayer> Layers(IEnumerable<Statistic> statistics) =>
        [.. statistics.SelectMany(LayersOf).Distinct().Order()];

    /// <summary>The statistic of merged pixels, 0 to 1.</summary>
    /// <param name="statistic">Which one.</param>
    /// <param name="layers">The layers that were summed, as <see cref="Layers"/> gives them.</param>
    /// <param name="sums">The sums of the layer at a place in <paramref name="layers"/>, for each pixel.</param>
    /// <param name="scales">For each pixel what makes a sum the weighted average over the tiles.</param>
    /// <param name="values">For each pixel the statistic.</param>
    public static void Compute(Statistic statistic, IReadOnlyList<MapLayer> layers, Func<int, int[]> sums, ReadOnlySpan<double> scales, Span<float> values)
    {
        ArgumentNullException.ThrowIfNull(sums);
        var first = sums(IndexOf(layers, LayersOf(statistic)[0])).AsSpan(0, values.Length);
        scales = scales[..values.Length];
        if (statistic != Statistic.StandardDeviation)
        {
            for (int i = 0; i < values.Length; i++)
                values[i] = (float)(first[i] * scales[i]);
            return;
        }

        var second = sums(IndexOf(layers, MapLayer.SecondMoment)).AsSpan(0, values.Length);
        for (int i = 0; i < values.Length; i++)
        {
            double mean = first[i] * scales[i];
            values[i] = (float)Math.Sqrt(Math.Max(0, second[i] * scales[i] - mean * mean));
        }
    }

    private static MapLayer[] LayersOf(Statistic statistic) => statistic switch
    {
        Statistic.Mean => [MapLayer.Mean],
        Statistic.StandardDeviation => [MapLayer.Mean, MapLayer.SecondMoment],
        Statistic.Median => [MapLayer.Median],
        Statistic.Mode => [MapLayer.Mode],
        Statistic.Entropy => [MapLayer.Entropy],
        _ => throw new ArgumentOutOfRangeException(nameof(statistic), statistic, "No such statistic."),
    };

    private static int IndexOf(IReadOnlyList<MapLayer> layers, MapLayer layer)
    {
        for (int i = 0; i < layers.Count; i++)
        {
            if (layers[i] == layer)
                return i;
        }

        throw new ArgumentException($"The map does not hold the layer {layer}.", nameof(layers));
    }
}

namespace StainGrid.Tiling;

/// <summary>The tiles along one axis of a slide and their whole-number blending weights. A tile's weight at a pixel is the
/// product of its weights along x and y.</summary>
public sealed class AxisTiling
{
    private const int GaussianPeak = 32;

    private readonly int stride;
    private readonly Blend blend;
    private readonly int[] totals;

    /// <summary>Plans an axis: tiles at 0, stride, 2 strides and so on, the last one flush with the end; a single tile that
    /// overhangs where the axis is shorter than a tile.</summary>
    /// <param name="length">Pixels along the axis, at least 1.</param>
    /// <param name="stride">Distance of neighbouring tiles, pixels, at most <see cref="Tile.Size"/>.</param>
    /// <param name="blend">How overlapping tiles are weighted.</param>
    public AxisTiling(int length, int stride, Blend blend)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(stride, Tile.Size);
        Length = length;
        this.stride = stride;
        this.blend = blend;
        Count = length <= Tile.Size ? 1 : 1 + (length - Tile.Size + stride - 1) / stride;
        totals = SumWeights();
    }

    /// <summary>Pixels along the axis.</summary>
    public int Length { get; }

    /// <summary>Tiles along the axis.</summary>
    public int Count { get; }

    /// <summary>For each pixel the sum of the weights of all tiles over it; at least 1 everywhere.</summary>
    public ReadOnlySpan<int> TotalWeights => totals;

    /// <summary>First pixel of tile <paramref name="tile"/>.</summary>
    public int Origin(int tile) =>
        tile == Count - 1 ? Math.Max(0, Length - Tile.Size) : tile * stride;

    /// <summary>Writes the weights of a tile's 128 pixels along this axis.</summary>
    /// <param name="tile">Number of the tile.</param>
    /// <param name="weights">128 weights, each at least 0.</param>
    public void CopyWeights(int tile, Span<int> weights)
    {
        switch (blend)
        {
            case Blend.Gaussian:
                const double Sigma = Tile.Size / 6.0;
                for (int i = 0; i < Tile.Size; i++)
                {
                    double z = (i - (Tile.Size - 1) / 2.0) / Sigma;
                    weights[i] = Math.Max(1, (int)Math.Round(GaussianPeak * Math.Exp(-0.5 * z * z)));
                }

                break;
            case Blend.CentreCrop:
                int origin = Origin(tile);
                int from = tile == 0 ? 0 : BorderBetween(tile - 1);
                int to = tile == Count - 1 ? int.MaxValue : BorderBetween(tile);
                for (int i = 0; i < Tile.Size; i++)
                    weights[i] = origin + i >= from && origin + i < to ? 1 : 0;
                break;
            default:
                weights[..Tile.Size].Fill(1);
                break;
        }
    }

    /// <summary>The tiles that cover a pixel of <paramref name="from"/> (inclusive) to <paramref name="to"/> (exclusive).</summary>
    /// <returns>The first of them and the one after the last.</returns>
    public (int First, int End) TilesOver(int from, int to)
    {
        int first = Math.Clamp((from - Tile.Size) / stride, 0, Count - 1);
        while (first < Count - 1 && Origin(first) + Tile.Size <= from)
            first++;
        int end = first;
        while (end < Count && Origin(end) < to)
            end++;
        return (first, end);
    }

    // The pixel where tile's part ends and its right neighbour's begins: half-way between their centres.
    private int BorderBetween(int tile) => (Origin(tile) + Origin(tile + 1) + Tile.Size) / 2;

    private int[] SumWeights()
    {
        var sums = new int[Length];
        Span<int> weights = stackalloc int[Tile.Size];
        for (int tile = 0; tile < Count; tile++)
        {
            CopyWeights(tile, weights);
            int origin = Origin(tile);
            for (int i = 0; i < Tile.Size && origin + i < Length; i++)
                sums[origin + i] += weights[i];
        }

        return sums;
    }
}

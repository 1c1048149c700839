namespace StainGrid.Tiling;

/// <summary>The weighted fixed-point sums over the tiles of a block. Whole numbers, so that adding maps in any order, and
/// any grouping of the tiles, gives the same bytes.</summary>
/// <param name="Block">Number of the block.</param>
/// <param name="Extent">The pixels it holds, on the slide.</param>
/// <param name="Weights">For each pixel, row by row, the sum of the tiles' weights.</param>
/// <param name="Sums">One array a label and layer (label after label), for each pixel the sum of weight times value, the
/// value in fixed point with <see cref="TilingPlan.FixedPointBits"/> fractional bits.</param>
public sealed record ProbabilityMap(int Block, Region Extent, int[] Weights, IReadOnlyList<int[]> Sums)
{
    /// <summary>An empty map.</summary>
    /// <param name="block">Number of the block.</param>
    /// <param name="extent">The pixels it holds.</param>
    /// <param name="channels">Labels times layers.</param>
    public static ProbabilityMap Empty(int block, Region extent, int channels)
    {
        var sums = new int[channels][];
        for (int channel = 0; channel < channels; channel++)
            sums[channel] = new int[extent.Area];
        return new ProbabilityMap(block, extent, new int[extent.Area], sums);
    }

    /// <summary>Adds a tile's predictions.</summary>
    /// <param name="plan">The slide's plan.</param>
    /// <param name="tile">The tile; its part outside <see cref="Extent"/> is left out.</param>
    /// <param name="values">Channels x 128 x 128 fixed-point values.</param>
    public void Add(TilingPlan plan, Tile tile, ReadOnlySpan<int> values)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Span<int> weightsX = stackalloc int[Tile.Size], weightsY = stackalloc int[Tile.Size], weights = stackalloc int[Tile.Size];
        plan.X.CopyWeights(tile.Column, weightsX);
        plan.Y.CopyWeights(tile.Row, weightsY);
        var inside = new Region(tile.X, tile.Y, Tile.Size, Tile.Size).Intersect(Extent);
        int left = inside.X - tile.X;
        for (int y = inside.Y; y < inside.Bottom; y++)
        {
            int weightY = weightsY[y - tile.Y];
            if (weightY == 0)
                continue;
            for (int x = 0; x < inside.Width; x++)
                weights[x] = weightsX[left + x] * weightY;

            int target = (y - Extent.Y) * Extent.Width + inside.X - Extent.X;
            PixelRows.Add(Weights.AsSpan(target, inside.Width), weights);
            for (int channel = 0; channel < Sums.Count; channel++)
            {
                var source = values.Slice((channel * Tile.Size + y - tile.Y) * Tile.Size + left, inside.Width);
                PixelRows.AddProducts(Sums[channel].AsSpan(target, inside.Width), weights, source);
            }
        }
    }

    /// <summary>Adds another map's pixels that lie in this one.</summary>
    public void Add(ProbabilityMap other)
    {
        ArgumentNullException.ThrowIfNull(other);
        var shared = Extent.Intersect(other.Extent);
        for (int channel = -1; channel < Sums.Count; channel++)
        {
            int[] target = Numbers(channel), source = other.Numbers(channel);
            for (int y = shared.Y; y < shared.Bottom; y++)
                PixelRows.Add(target.AsSpan(Place(shared.X, y), shared.Width), source.AsSpan(other.Place(shared.X, y), shared.Width));
        }
    }

    /// <summary>Takes another map's pixels that lie in this one, in the place of its own.</summary>
    public void CopyFrom(ProbabilityMap other)
    {
        ArgumentNullException.ThrowIfNull(other);
        var shared = Extent.Intersect(other.Extent);
        for (int channel = -1; channel < Sums.Count; channel++)
        {
            int[] target = Numbers(channel), source = other.Numbers(channel);
            for (int y = shared.Y; y < shared.Bottom; y++)
                source.AsSpan(other.Place(shared.X, y), shared.Width).CopyTo(target.AsSpan(Place(shared.X, y)));
        }
    }

    /// <summary>The part of the map that lies in <paramref name="region"/>; the map itself where that is all of it.</summary>
    public ProbabilityMap Crop(Region region)
    {
        var part = Extent.Intersect(region);
        if (part == Extent)
            return this;
        int pixels = checked((int)part.Area);
        var sums = new int[Sums.Count][];
        for (int channel = 0; channel < sums.Length; channel++)
            sums[channel] = GC.AllocateUninitializedArray<int>(pixels);
        var crop = new ProbabilityMap(Block, part, GC.AllocateUninitializedArray<int>(pixels), sums);
        crop.CopyFrom(this);
        return crop;
    }

    // The weights are channel -1.
    private int[] Numbers(int channel) => channel < 0 ? Weights : Sums[channel];

    private int Place(int x, int y) => (y - Extent.Y) * Extent.Width + x - Extent.X;
}

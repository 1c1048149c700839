using System.Buffers;

namespace StainGrid.Tiling;

/// <summary>A finished square of the output.</summary>
/// <param name="Row">Number of its row of chunks.</param>
/// <param name="Column">Number of its column of chunks.</param>
/// <param name="Region">Its pixels on the slide.</param>
/// <param name="Values">For each label and statistic (label after label) the pixels, row by row, 0 to 1.</param>
/// <param name="Check">What was checked while merging.</param>
public sealed record StitchedChunk(int Row, int Column, Region Region, IReadOnlyList<float[]> Values, StitchCheck Check);

/// <summary>What merging found, to be added up over the chunks of a slide.</summary>
/// <param name="Pixels">Pixels merged.</param>
/// <param name="MisweightedPixels">Pixels whose weights do not sum to what the plan says; 0 in a right output.</param>
/// <param name="SeamStep">Sum over neighbouring pixels across a block's edge of the difference of the first statistic.</param>
/// <param name="SeamCount">How many such pairs.</param>
/// <param name="InnerStep">The same for all other neighbours.</param>
/// <param name="InnerCount">How many such pairs.</param>
public readonly record struct StitchCheck(
    long Pixels, long MisweightedPixels, double SeamStep, long SeamCount, double InnerStep, long InnerCount)
{
    /// <summary>The mean step across block edges over the mean step elsewhere: about 1 where no seam is to be seen; null where
    /// the slide has no block edge inside a chunk or is flat.</summary>
    public double? SeamScore => SeamCount > 0 && InnerStep > 0 ? SeamStep / SeamCount / (InnerStep / InnerCount) : null;

    /// <summary>The check of both parts together.</summary>
    public static StitchCheck operator +(StitchCheck left, StitchCheck right) => new(
        left.Pixels + right.Pixels, left.MisweightedPixels + right.MisweightedPixels,
        left.SeamStep + right.SeamStep, left.SeamCount + right.SeamCount,
        left.InnerStep + right.InnerStep, left.InnerCount + right.InnerCount);

    /// <summary>The same as the operator, for languages without it.</summary>
    public static StitchCheck Add(StitchCheck left, StitchCheck right) => left + right;
}

/// <summary>Merges the maps of blocks into the chunks of a band of a slide. A chunk waits until the maps of all blocks over it
/// are there; only their parts in the chunk are held until then. A map that comes twice counts once.</summary>
public sealed class ChunkStitcher
{
    private readonly TilingPlan plan;
    private readonly int planes;
    private readonly int chunkSize;
    private readonly IReadOnlyList<Statistic> statistics;
    private readonly IReadOnlyList<MapLayer> layers;
    private readonly double fixedPointScale;
    private readonly Dictionary<(int Row, int Column), Dictionary<int, ProbabilityMap>> waiting = [];
    private readonly HashSet<(int Row, int Column)> done = [];

    /// <summary>Prepares to merge a slide or a band of it.</summary>
    /// <param name="plan">The slide's plan.</param>
    /// <param name="planes">How many planes each map is summed over.</param>
    /// <param name="chunkSize">Side of a chunk, pixels.</param>
    /// <param name="statistics">What is wanted of each label.</param>
    public ChunkStitcher(TilingPlan plan, int planes, int chunkSize, IReadOnlyList<Statistic> statistics)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentOutOfRangeException.ThrowIfLessThan(chunkSize, 1);
        this.plan = plan;
        this.planes = planes;
        this.chunkSize = chunkSize;
        this.statistics = statistics;
        layers = Statistics.Layers(statistics);
        fixedPointScale = 1.0 / (1L << plan.FixedPointBits(planes));
    }

    /// <summary>Chunks that have a part and wait for others.</summary>
    public int WaitingChunks => waiting.Count;

    /// <summary>Leaves a chunk out that is written already.</summary>
    public void Skip(int row, int column)
    {
        done.Add((row, column));
        waiting.Remove((row, column));
    }

    /// <summary>Takes a map and returns the chunks within <paramref name="band"/> that are complete with it.</summary>
    /// <param name="map">A block's map, or its part in the band.</param>
    /// <param name="band">The pixels that this stitcher owns; whole chunks.</param>
    public IReadOnlyList<StitchedChunk> Add(ProbabilityMap map, Region band)
    {
        ArgumentNullException.ThrowIfNull(map);
        var finished = new List<StitchedChunk>();
        var part = map.Extent.Intersect(band);
        for (int row = part.Y / chunkSize; row * chunkSize < part.Bottom; row++)
        {
            for (int column = part.X / chunkSize; column * chunkSize < part.Right; column++)
            {
                if (done.Contains((row, column)))
                    continue;
                var region = new Region(column * chunkSize, row * chunkSize, chunkSize, chunkSize).Intersect(plan.Slide);
                waiting.TryGetValue((row, column), out var parts);
                if (plan.BlocksOver(region).All(block => block == map.Block || parts?.ContainsKey(block) == true))
                {
                    // The map that completes a chunk is most of it, and need not be kept.
                    parts?.Remove(map.Block);
                    finished.Add(Merge(row, column, region, map, parts is null ? [] : parts.Values));
                    waiting.Remove((row, column));
                    done.Add((row, column));
                    continue;
                }

                if (parts is null)
                    waiting[(row, column)] = parts = [];
                parts[map.Block] = map.Crop(region);
            }
        }

        return finished;
    }

    private StitchedChunk Merge(int row, int column, Region region, ProbabilityMap last, IReadOnlyCollection<ProbabilityMap> parts)
    {
        int pixels = checked((int)region.Area), labels = last.Sums.Count / layers.Count;
        var values = new float[labels * statistics.Count][];
        for (int i = 0; i < values.Length; i++)
            values[i] = GC.AllocateUninitializedArray<float>(pixels);

        // The sums and scales of one chunk after the other lie in the same memory.
        double[] scales = ArrayPool<double>.Shared.Rent(pixels);
        int[] weights = ArrayPool<int>.Shared.Rent(pixels);
        int[][] sums = [.. Enumerable.Range(0, last.Sums.Count).Select(_ => ArrayPool<int>.Shared.Rent(pixels))];
        try
        {
            var sum = new ProbabilityMap(-1, region, weights, sums);
            if (last.Extent.Intersect(region) != region)
            {
                foreach (int[] numbers in sums.Prepend(weights))
                    numbers.AsSpan(0, pixels).Clear();
            }

            sum.CopyFrom(last);
            foreach (var part in parts)
                sum.Add(part);

            long misweighted = Scale(region, weights, scales);
            for (int channel = 0; channel < values.Length; channel++)
            {
                var (label, statistic) = Math.DivRem(channel, statistics.Count);
                Statistics.Compute(statistics[statistic], layers, i => sums[label * layers.Count + i], scales, values[channel]);
            }

            return new StitchedChunk(row, column, region, values, Check(region, values, misweighted));
        }
        finally
        {
            ArrayPool<double>.Shared.Return(scales);
            foreach (int[] numbers in sums.Prepend(weights))
                ArrayPool<int>.Shared.Return(numbers);
        }
    }

    // For each pixel what makes a sum the average; counts those whose weights are not what the plan says.
    private long Scale(Region region, int[] weights, double[] scales)
    {
        long misweighted = 0;
        var totalsX = plan.X.TotalWeights.Slice(region.X, region.Width);
        for (int y = 0; y < region.Height; y++)
        {
            int totalY = plan.Y.TotalWeights[region.Y + y] * planes;
            var row = weights.AsSpan(y * region.Width, region.Width);
            var scale = scales.AsSpan(y * region.Width, region.Width);
            for (int x = 0; x < row.Length; x++)
            {
                if (row[x] != totalsX[x] * totalY)
                    misweighted++;
                scale[x] = fixedPointScale / Math.Max(1, row[x]);
            }
        }

        return misweighted;
    }

    private StitchCheck Check(Region region, float[][] values, long misweighted)
    {
        var blocks = plan.BlocksOver(region).Select(plan.Block).ToArray();
        int[] seamsX = Edges(region.X, region.Width, blocks.Select(block => (block.Extent.X, block.Extent.Right)));
        int[] seamsY = Edges(region.Y, region.Height, blocks.Select(block => (block.Extent.Y, block.Extent.Bottom)));
        double seam = 0, inner = 0;
        for (int channel = 0; channel < values.Length; channel += statistics.Count)
        {
            ReadOnlySpan<float> image = values[channel];
            for (int y = 0; y < region.Height; y++)
            {
                var row = image.Slice(y * region.Width, region.Width);
                int from = 1;
                foreach (int edge in seamsX)
                {
                    inner += PixelRows.Steps(row[from..edge], row[(from - 1)..]);
                    seam += Math.Abs(row[edge] - row[edge - 1]);
                    from = edge + 1;
                }

                inner += PixelRows.Steps(row[from..], row[(from - 1)..]);
                if (y == 0)
                    continue;
                double steps = PixelRows.Steps(row, image.Slice((y - 1) * region.Width, region.Width));
                if (Array.BinarySearch(seamsY, y) >= 0)
                    seam += steps;
                else
                    inner += steps;
            }
        }

        long images = (values.Length + statistics.Count - 1) / statistics.Count;
        long seams = images * ((long)seamsX.Length * region.Height + (long)seamsY.Length * region.Width);
        long pairs = images * ((region.Width - 1L) * region.Height + region.Width * (region.Height - 1L));
        return new StitchCheck(region.Area, misweighted, seam, seams, inner, pairs - seams);
    }

    // The pixels of an axis part that are the first of a block, or the first beyond one.
    private static int[] Edges(int from, int length, IEnumerable<(int Start, int End)> blocks) =>
        [.. blocks.SelectMany(block => (int[])[block.Start - from, block.End - from]).Where(edge => edge > 0 && edge < length).Distinct().Order()];
}

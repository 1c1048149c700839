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
                if (!waiting.TryGetValue((row, column), out var parts))
                    waiting[(row, column)] = parts = [];
                parts[map.Block] = map.Crop(region);
                if (!plan.BlocksOver(region).All(parts.ContainsKey))
                    continue;
                waiting.Remove((row, column));
                done.Add((row, column));
                finished.Add(Merge(row, column, region, parts.Values));
            }
        }

        return finished;
    }

    private StitchedChunk Merge(int row, int column, Region region, IEnumerable<ProbabilityMap> parts)
    {
        ProbabilityMap? sum = null;
        foreach (var part in parts)
        {
            sum ??= ProbabilityMap.Empty(-1, region, part.Sums.Count);
            sum.Add(part);
        }

        int labels = sum!.Sums.Count / layers.Count;
        var values = new float[labels * statistics.Count][];
        for (int i = 0; i < values.Length; i++)
            values[i] = new float[region.Area];

        long misweighted = 0;
        double[] scales = new double[region.Area];
        for (int y = 0; y < region.Height; y++)
        {
            for (int x = 0; x < region.Width; x++)
            {
                int at = y * region.Width + x;
                int weight = sum.Weights[at];
                if (weight != plan.X.TotalWeights[region.X + x] * plan.Y.TotalWeights[region.Y + y] * planes)
                    misweighted++;
                scales[at] = fixedPointScale / Math.Max(1, weight);
            }
        }

        for (int channel = 0; channel < values.Length; channel++)
        {
            var (label, statistic) = Math.DivRem(channel, statistics.Count);
            Statistics.Compute(statistics[statistic], layers, i => sum.Sums[label * layers.Count + i], scales, values[channel]);
        }

        return new StitchedChunk(row, column, region, values, Check(region, values, misweighted));
    }

    private StitchCheck Check(Region region, float[][] values, long misweighted)
    {
        bool[] seamX = Edges(region.X, region.Width, plan.BlockColumns, i => plan.Block(i).Extent.X, i => plan.Block(i).Extent.Right);
        bool[] seamY = Edges(region.Y, region.Height, plan.BlockRows,
            i => plan.Block(i * plan.BlockColumns).Extent.Y, i => plan.Block(i * plan.BlockColumns).Extent.Bottom);
        double seam = 0, inner = 0;
        long seamCount = 0, innerCount = 0;
        for (int channel = 0; channel < values.Length; channel += statistics.Count)
        {
            float[] image = values[channel];
            for (int y = 0; y < region.Height; y++)
            {
                for (int x = 0; x < region.Width; x++)
                {
                    int at = y * region.Width + x;
                    if (x > 0)
                        Count(Math.Abs(image[at] - image[at - 1]), seamX[x]);
                    if (y > 0)
                        Count(Math.Abs(image[at] - image[at - region.Width]), seamY[y]);
                }
            }
        }

        return new StitchCheck(region.Area, misweighted, seam, seamCount, inner, innerCount);

        void Count(double step, bool atSeam)
        {
            if (atSeam)
            {
                seam += step;
                seamCount++;
            }
            else
            {
                inner += step;
                innerCount++;
            }
        }
    }

    // Which pixels of an axis part are the first of a block, or the first beyond one.
    private static bool[] Edges(int from, int length, int blocks, Func<int, int> start, Func<int, int> end)
    {
        var edges = new bool[length];
        for (int block = 0; block < blocks; block++)
        {
            foreach (int edge in (ReadOnlySpan<int>)[start(block) - from, end(block) - from])
            {
                if (edge > 0 && edge < length)
                    edges[edge] = true;
            }
        }

        return edges;
    }
}

namespace StainGrid.Tiling.Tests;

public class ChunkStitcherTests
{
    private static readonly Statistic[] AllStatistics = Enum.GetValues<Statistic>();

    // A stand-in for the network's outputs: any function of the tile and pixel, so that neighbouring tiles disagree.
    private static double Prediction(Tile tile, int channel, int x, int y) =>
        0.5 + 0.5 * Math.Sin(tile.Column * 1.7 + tile.Row * 2.3 + channel + x * 0.05 + y * 0.031);

    private static double Layer(Tile tile, int label, MapLayer layer, int x, int y) => layer switch
    {
        MapLayer.Mean => Prediction(tile, label, x, y),
        MapLayer.SecondMoment => Math.Pow(Prediction(tile, label, x, y), 2) * 0.5 + 0.5 * Prediction(tile, label, x, y),
        _ => Prediction(tile, label * 10 + (int)layer, x, y),
    };

    private static List<ProbabilityMap> Maps(TilingPlan plan, int labels)
    {
        var layers = Statistics.Layers(AllStatistics);
        var maps = new List<ProbabilityMap>();
        var values = new int[labels * layers.Count * Tile.Size * Tile.Size];
        for (int index = 0; index < plan.BlockCount; index++)
        {
            var block = plan.Block(index);
            var map = ProbabilityMap.Empty(index, block.Extent, labels * layers.Count);
            foreach (var tile in plan.Tiles(block))
            {
                for (int i = 0; i < values.Length; i++)
                {
                    var (channel, pixel) = Math.DivRem(i, Tile.Size * Tile.Size);
                    double value = Layer(tile, channel / layers.Count, layers[channel % layers.Count], pixel % Tile.Size, pixel / Tile.Size);
                    values[i] = (int)Math.Round(value * (1 << plan.FixedPointBits(1)));
                }

                map.Add(plan, tile, values);
            }

            maps.Add(map);
        }

        return maps;
    }

    private static Dictionary<(int, int), StitchedChunk> Stitch(TilingPlan plan, IEnumerable<ProbabilityMap> maps, int chunk)
    {
        var stitcher = new ChunkStitcher(plan, 1, chunk, AllStatistics);
        var chunks = maps.SelectMany(map => stitcher.Add(map, plan.Slide)).ToDictionary(c => (c.Row, c.Column));
        Assert.Equal(0, stitcher.WaitingChunks);
        return chunks;
    }

    [Theory]
    [InlineData(300, 210, 64, Blend.Uniform, 2, 100)]
    [InlineData(301, 170, 40, Blend.Gaussian, 3, 64)]
    [InlineData(90, 400, 100, Blend.CentreCrop, 1, 128)]
    [InlineData(1, 1, 64, Blend.Uniform, 8, 512)]
    public void Stitched_pixels_are_the_weighted_averages_over_the_tiles(
        int width, int height, int stride, Blend blend, int side, int chunk)
    {
        const int Labels = 2;
        var plan = new TilingPlan(width, height, new TilingOptions(stride, blend, side));
        var chunks = Stitch(plan, Maps(plan, Labels), chunk);
        Assert.Equal((long)width * height, chunks.Values.Sum(c => c.Region.Area));

        var tiles = Enumerable.Range(0, plan.BlockCount).SelectMany(b => plan.Tiles(plan.Block(b))).ToList();
        var wx = tiles.Select(t => Weights(plan.X, t.Column)).ToList();
        var wy = tiles.Select(t => Weights(plan.Y, t.Row)).ToList();
        double precision = 2.0 / (1 << plan.FixedPointBits(1));
        foreach (var part in chunks.Values)
        {
            Assert.Equal(0, part.Check.MisweightedPixels);
            for (int y = part.Region.Y; y < part.Region.Bottom; y += 17)
            {
                for (int x = part.Region.X; x < part.Region.Right; x += 13)
                {
                    for (int label = 0; label < Labels; label++)
                    {
                        double weight = 0;
                        var sums = new double[Enum.GetValues<MapLayer>().Length];
                        for (int t = 0; t < tiles.Count; t++)
                        {
                            int tx = x - tiles[t].X, ty = y - tiles[t].Y;
                            if (tx is < 0 or >= Tile.Size || ty is < 0 or >= Tile.Size)
                                continue;
                            double w = wx[t][tx] * wy[t][ty];
                            weight += w;
                            for (int layer = 0; layer < sums.Length; layer++)
                                sums[layer] += w * Layer(tiles[t], label, (MapLayer)layer, tx, ty);
                        }

                        double mean = sums[0] / weight;
                        double[] expected =
                            [mean, Math.Sqrt(Math.Max(0, sums[1] / weight - mean * mean)), sums[2] / weight, sums[3] / weight, sums[4] / weight];
                        int at = (y - part.Region.Y) * part.Region.Width + x - part.Region.X;
                        for (int s = 0; s < AllStatistics.Length; s++)
                        {
                            double tolerance = AllStatistics[s] == Statistic.StandardDeviation ? Math.Sqrt(precision) : precision;
                            Assert.Equal(expected[s], part.Values[label * AllStatistics.Length + s][at], tolerance);
                        }
                    }
                }
            }
        }

        static int[] Weights(AxisTiling axis, int tile)
        {
            var weights = new int[Tile.Size];
            axis.CopyWeights(tile, weights);
            return weights;
        }
    }

    [Fact]
    public void Stitching_the_same_maps_in_any_order_twice_or_by_bands_gives_the_same_bytes()
    {
        var plan = new TilingPlan(500, 420, new TilingOptions(48, Blend.Gaussian, 3));
        var maps = Maps(plan, 1);
        var expected = Stitch(plan, maps, 128);
        var random = new Random(3);
        for (int trial = 0; trial < 5; trial++)
        {
            var shuffled = maps.Concat(maps).OrderBy(_ => random.Next()).ToList();
            AssertSame(expected, Stitch(plan, shuffled, 128));

            var stitchers = Enumerable.Range(0, 2).Select(_ => new ChunkStitcher(plan, 1, 128, AllStatistics)).ToArray();
            Region[] bands = [new(0, 0, 500, 256), new(0, 256, 500, 164)];
            var byBands = shuffled.SelectMany(map => Enumerable.Range(0, 2)
                .SelectMany(b => map.Crop(bands[b]) is { Extent.IsEmpty: false } part ? stitchers[b].Add(part, bands[b]) : []));
            AssertSame(expected, byBands.ToDictionary(c => (c.Row, c.Column)));
        }
    }

    [Fact]
    public void The_size_of_the_blocks_does_not_change_a_byte()
    {
        Dictionary<(int, int), StitchedChunk>? expected = null;
        foreach (int side in (int[])[1, 2, 3, 8])
        {
            var plan = new TilingPlan(333, 290, new TilingOptions(50, Blend.Gaussian, side));
            var chunks = Stitch(plan, Maps(plan, 2), 100);
            AssertSame(expected ??= chunks, chunks);
        }
    }

    [Theory]
    [InlineData(1, 1, 64, 1, 512)]
    [InlineData(300, 210, 64, 2, 100)]
    [InlineData(201, 227, 50, 3, 77)]
    [InlineData(260, 150, 128, 1, 129)]
    public void Chunks_and_their_checks_are_those_of_plain_loops(int width, int height, int stride, int side, int chunk)
    {
        var plan = new TilingPlan(width, height, new TilingOptions(stride, Blend.Gaussian, side));
        var layers = Statistics.Layers(AllStatistics);
        var maps = Maps(plan, 2);
        var random = new Random(5);
        maps[0].Weights[random.Next(maps[0].Weights.Length)]++;
        foreach (var actual in Stitch(plan, maps.OrderBy(_ => random.Next()), chunk).Values)
        {
            var region = actual.Region;
            long misweighted = 0, seamCount = 0, innerCount = 0;
            double seam = 0, inner = 0;
            for (int y = region.Y; y < region.Bottom; y++)
            {
                for (int x = region.X; x < region.Right; x++)
                {
                    var over = maps.Where(map => !map.Extent.Intersect(new Region(x, y, 1, 1)).IsEmpty).ToList();
                    int weight = over.Sum(map => map.Weights[At(map.Extent, x, y)]);
                    if (weight != plan.X.TotalWeights[x] * plan.Y.TotalWeights[y])
                        misweighted++;
                    double scale = 1.0 / (1L << plan.FixedPointBits(1)) / weight;
                    for (int label = 0; label < 2; label++)
                    {
                        double Layer(MapLayer layer) =>
                            over.Sum(map => map.Sums[label * layers.Count + layers.ToList().IndexOf(layer)][At(map.Extent, x, y)]) * scale;
                        double mean = Layer(MapLayer.Mean), deviation = Math.Sqrt(Math.Max(0, Layer(MapLayer.SecondMoment) - mean * mean));
                        float[] expected = [(float)mean, (float)deviation, (float)Layer(MapLayer.Median), (float)Layer(MapLayer.Mode), (float)Layer(MapLayer.Entropy)];
                        for (int s = 0; s < expected.Length; s++)
                            Assert.Equal(expected[s], actual.Values[label * AllStatistics.Length + s][At(region, x, y)]);
                        Step(label, x - 1, y, maps.Any(map => map.Extent.X == x || map.Extent.Right == x));
                        Step(label, x, y - 1, maps.Any(map => map.Extent.Y == y || map.Extent.Bottom == y));
                    }

                    void Step(int label, int otherX, int otherY, bool atSeam)
                    {
                        if (otherX < region.X || otherY < region.Y)
                            return;
                        float[] image = actual.Values[label * AllStatistics.Length];
                        double step = Math.Abs(image[At(region, x, y)] - image[At(region, otherX, otherY)]);
                        if (atSeam)
                            (seam, seamCount) = (seam + step, seamCount + 1);
                        else
                            (inner, innerCount) = (inner + step, innerCount + 1);
                    }
                }
            }

            Assert.Equal((region.Area, misweighted, seamCount, innerCount),
                (actual.Check.Pixels, actual.Check.MisweightedPixels, actual.Check.SeamCount, actual.Check.InnerCount));
            Assert.Equal(seam, actual.Check.SeamStep, 1e-9 * (1 + seam));
            Assert.Equal(inner, actual.Check.InnerStep, 1e-9 * (1 + inner));
        }

        static int At(Region region, int x, int y) => (y - region.Y) * region.Width + x - region.X;
    }

    [Fact]
    public void A_missing_block_leaves_its_chunks_waiting()
    {
        var plan = new TilingPlan(600, 200, new TilingOptions(64, Blend.Uniform, 2));
        var stitcher = new ChunkStitcher(plan, 1, 128, AllStatistics);
        var chunks = Maps(plan, 1).Where(map => map.Block != 1).SelectMany(map => stitcher.Add(map, plan.Slide)).ToList();
        var untouched = plan.Block(1).Extent;
        Assert.NotEmpty(chunks);
        Assert.All(chunks, chunk => Assert.True(chunk.Region.Intersect(untouched).IsEmpty));
        Assert.True(stitcher.WaitingChunks > 0);
    }

    [Fact]
    public void A_tile_that_is_counted_twice_is_found()
    {
        var plan = new TilingPlan(200, 128, new TilingOptions(64, Blend.Uniform, 8));
        var map = Maps(plan, 1)[0];
        map.Add(plan, plan.Tiles(plan.Block(0)).First(), new int[map.Sums.Count * Tile.Size * Tile.Size]);
        var chunk = Assert.Single(new ChunkStitcher(plan, 1, 512, AllStatistics).Add(map, plan.Slide));
        Assert.Equal(Tile.Size * Tile.Size, chunk.Check.MisweightedPixels);
    }

    [Fact]
    public void A_step_at_the_edge_of_a_block_shows_in_the_seam_score()
    {
        var plan = new TilingPlan(512, 512, new TilingOptions(128, Blend.Uniform, 2));
        Assert.InRange(Score(plan, (x, y) => (x * 7919 + y * 104729) % 1000), 0.8, 1.2);
        Assert.True(Score(plan, (x, y) => x % 10 + (x >= 256 ? 500 : 0)) > 10);

        static double Score(TilingPlan plan, Func<int, int, int> image)
        {
            var stitcher = new ChunkStitcher(plan, 1, 512, [Statistic.Mean]);
            var check = default(StitchCheck);
            for (int index = 0; index < plan.BlockCount; index++)
            {
                var map = ProbabilityMap.Empty(index, plan.Block(index).Extent, 1);
                for (int i = 0; i < map.Weights.Length; i++)
                {
                    map.Weights[i] = 1;
                    map.Sums[0][i] = image(map.Extent.X + i % map.Extent.Width, map.Extent.Y + i / map.Extent.Width) << 10;
                }

                foreach (var chunk in stitcher.Add(map, plan.Slide))
                    check += chunk.Check;
            }

            return check.SeamScore!.Value;
        }
    }

    private static void AssertSame(Dictionary<(int, int), StitchedChunk> expected, Dictionary<(int, int), StitchedChunk> actual)
    {
        Assert.Equal(expected.Keys.Order(), actual.Keys.Order());
        foreach (var (key, chunk) in expected)
        {
            Assert.Equal(chunk.Region, actual[key].Region);
            for (int i = 0; i < chunk.Values.Count; i++)
                Assert.True(chunk.Values[i].AsSpan().SequenceEqual(actual[key].Values[i]), $"Chunk {key}, image {i} differs.");
        }
    }
}

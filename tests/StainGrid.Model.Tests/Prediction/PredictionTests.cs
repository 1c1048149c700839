using StainGrid.Imaging;
using StainGrid.Tiling;
using TorchSharp;

namespace StainGrid.Model.Tests.Prediction;

public class PredictionTests
{
    private static readonly MapLayer[] AllLayers = Enum.GetValues<MapLayer>();

    [Fact]
    public void The_statistics_are_those_that_In_Silico_Labeling_defines()
    {
        const int Levels = 256, Pixels = 40;
        var random = new Random(2);
        var logits = new float[Levels * Pixels];
        for (int i = 0; i < logits.Length; i++)
            logits[i] = (float)(random.NextDouble() * (i % Pixels) - 0.001 * Math.Pow(i / Pixels - 6 * (i % Pixels), 2));
        using var tensor = torch.tensor(logits, [1, Levels, 5, 8]);
        using var statistics = DistributionStatistics.Of(tensor, AllLayers);
        Assert.Equal([1, 5, 5, 8], statistics.shape);
        float[] actual = statistics.data<float>().ToArray();
        for (int pixel = 0; pixel < Pixels; pixel++)
        {
            var weights = Enumerable.Range(0, Levels).Select(level => Math.Exp(logits[level * Pixels + pixel])).ToArray();
            double total = weights.Sum(), mean = 0, second = 0, entropy = 0, cumulative = 0;
            int below = 0, mode = 0;
            for (int level = 0; level < Levels; level++)
            {
                double p = weights[level] / total, x = level / 255.0;
                mean += p * x;
                second += p * x * x;
                entropy -= p > 0 ? p * Math.Log(p) : 0;
                cumulative += p;
                below += cumulative < 0.5 ? 1 : 0;
                mode = weights[level] > weights[mode] ? level : mode;
            }

            double[] expected = [mean, second, below / 255.0, mode / 255.0, entropy / Math.Log(Levels)];
            for (int layer = 0; layer < expected.Length; layer++)
                Assert.Equal(expected[layer], actual[layer * Pixels + pixel], 1e-5);
        }
    }

    [Theory]
    [InlineData(Precision.Float32)]
    [InlineData(Precision.BFloat16)]
    public async Task A_tile_s_result_does_not_depend_on_its_place_in_the_batch_or_on_its_neighbours(Precision precision)
    {
        using var model = Small(Resampling.Attention);
        using var image = Noise(200, 128, 1);
        var plan = new TilingPlan(200, 128, new TilingOptions(36, Blend.Uniform, 8));
        var block = plan.Block(0);
        Assert.Equal(3, block.TileCount);
        var options = new PredictionOptions([0, 1], AllLayers, plan.FixedPointBits(1)) { BatchSize = 4 };
        var window = PlaneWindow.Read(image, 0, block.Input, new PlaneRange(0, 1000), model.Metadata.Normalisation);
        using var threads = new ComputeThreads(model.Device);
        using var predictor = new TilePredictor(model, threads, precision);
        var together = await predictor.PredictAsync(plan, block, [window], options, cancellationToken: TestContext.Current.CancellationToken);
        var apart = ProbabilityMap.Empty(0, block.Extent, options.Channels);
        var single = new TilingPlan(200, 128, new TilingOptions(36, Blend.Uniform, 1));
        for (int index = single.BlockCount - 1; index >= 0; index--)
            apart.Add(await predictor.PredictAsync(single, single.Block(index), [window], options, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(together.Weights, apart.Weights);
        for (int channel = 0; channel < options.Channels; channel++)
            Assert.True(together.Sums[channel].AsSpan().SequenceEqual(apart.Sums[channel]), $"Channel {channel} differs.");
    }

    [Theory]
    [InlineData(Precision.Float32)]
    [InlineData(Precision.BFloat16)]
    public async Task The_bytes_do_not_depend_on_the_number_of_threads(Precision precision)
    {
        using var model = StainModel.Create(new NetworkOptions(), [new("FIRST", 0, 65_535, "FF0000")], seed: 1);
        using var image = Noise(192, 128, 1);
        var plan = new TilingPlan(192, 128, new TilingOptions(64));
        var options = new PredictionOptions([0], AllLayers, plan.FixedPointBits(1)) { BatchSize = 1 };
        var window = PlaneWindow.Read(image, 0, plan.Block(0).Input, new PlaneRange(0, 1000), model.Metadata.Normalisation);
        var maps = new List<ProbabilityMap>();
        foreach (var (torchs, ours) in ((int, int)[])[(1, 1), (2, 1), (3, 2)])
        {
            // torch's number is a thread's own: on one of the pool other tests would find it.
            using var threads = await Task.Factory.StartNew(() => Threads(torchs, ours), TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            int told = 0;
            using var predictor = new TilePredictor(model, threads, precision);
            maps.Add(await predictor.PredictAsync(plan, plan.Block(0), [window], options, (tiles, _) => told += tiles, TestContext.Current.CancellationToken));
            Assert.Equal(plan.Block(0).TileCount, told);
        }

        foreach (var map in maps.Skip(1))
        {
            Assert.Equal(maps[0].Weights, map.Weights);
            for (int channel = 0; channel < options.Channels; channel++)
                Assert.True(maps[0].Sums[channel].AsSpan().SequenceEqual(map.Sums[channel]), $"Channel {channel} differs.");
        }

        ComputeThreads Threads(int torchs, int ours)
        {
            int before = torch.get_num_threads();
            torch.set_num_threads(torchs);
            var threads = new ComputeThreads(model.Device, ours);
            int after = torch.get_num_threads();
            torch.set_num_threads(before);
            Assert.Equal(torchs, after);
            return threads;
        }
    }

    [Fact]
    public async Task A_batch_that_fails_ends_its_block_and_not_the_threads()
    {
        using var model = Small(Resampling.Convolution);
        using var image = Noise(300, 300, 1);
        var plan = new TilingPlan(300, 300, new TilingOptions(64));
        using var threads = new ComputeThreads(model.Device, 3);
        var options = new PredictionOptions([0], AllLayers, plan.FixedPointBits(1)) { BatchSize = 1 };
        using var predictor = new TilePredictor(model, threads);
        var window = PlaneWindow.Read(image, 0, plan.Block(0).Input, new PlaneRange(0, 1000), model.Metadata.Normalisation);
        using var cancellation = new CancellationTokenSource();
        int batches = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => predictor.PredictAsync(plan, plan.Block(0), [window], options, (_, _) => { batches++; cancellation.Cancel(); }, cancellation.Token));
        Assert.InRange(batches, 1, threads.Count);
        await Assert.ThrowsAsync<InvalidDataException>(() => predictor.PredictAsync(plan, plan.Block(0), [window], options, (_, _) => throw new InvalidDataException(), TestContext.Current.CancellationToken));
        Assert.Equal(16, plan.Block(0).TileCount);
        await predictor.PredictAsync(plan, plan.Block(0), [window], options, (_, _) => batches += 100, TestContext.Current.CancellationToken);
        Assert.InRange(batches, 1601, 1600 + threads.Count);
    }

    [Fact]
    public async Task The_next_call_s_items_run_beside_the_last_ones_of_the_call_before()
    {
        using var threads = new ComputeThreads(torch.CPU, 2);
        using var next = new ManualResetEventSlim();
        var order = new List<int>();
        var first = threads.RunAsync(1, (_, _) => Assert.True(next.Wait(TimeSpan.FromMinutes(5))));
        await threads.RunAsync(3, (_, item) =>
        {
            order.Add(item);   // the other thread is taken: one at a time
            if (item == 2)
                next.Set();
        });
        await first;
        Assert.Equal([0, 1, 2], order);
    }

    [Theory]
    [InlineData(150, 140, 1, 64, Blend.Gaussian)]
    [InlineData(100, 60, 2, 64, Blend.Uniform)]
    [InlineData(190, 128, 1, 50, Blend.CentreCrop)]
    public void A_slide_is_the_weighted_average_of_its_tiles_seen_one_by_one(int width, int height, int planes, int stride, Blend blend)
    {
        using var model = Small(Resampling.Convolution);
        using var image = Noise(width, height, planes);
        var slide = SlidePredictor.Predict(model, image, [.. Enumerable.Range(0, planes)], [1], [Statistic.Mean],
            new TilingOptions(stride, blend), cancellationToken: TestContext.Current.CancellationToken);

        // The plain way: every tile by itself, its patches cut from the reflected plane, summed in double.
        var x = new AxisTiling(width, stride, blend);
        var y = new AxisTiling(height, stride, blend);
        var sum = new double[width * height];
        var weight = new double[width * height];
        int[] wx = new int[Tile.Size], wy = new int[Tile.Size];
        for (int plane = 0; plane < planes; plane++)
        {
            var range = PlaneRange.Measure(image, plane, model.Metadata.Normalisation, TestContext.Current.CancellationToken);
            for (int row = 0; row < y.Count; row++)
            {
                for (int column = 0; column < x.Count; column++)
                {
                    var place = new Region(x.Origin(column), y.Origin(row), Tile.Size, Tile.Size);
                    var pixels = PlaneWindow.Read(image, plane, place.Inflate(Tile.Margin), range, model.Metadata.Normalisation).Pixels;
                    using var scope = torch.NewDisposeScope();
                    using var gradients = torch.no_grad();
                    var patches = MultiScalePatches.Cut(torch.tensor(pixels, [1, 1, 256, 256]), [128, 256, 64]);
                    var p = model.Network.Logits(model.Network.Features(patches), 1).softmax(1);
                    float[] mean = (p * torch.linspace(0, 1, 256).view(1, 256, 1, 1)).sum(1).data<float>().ToArray();
                    x.CopyWeights(column, wx);
                    y.CopyWeights(row, wy);
                    for (int i = 0; i < mean.Length; i++)
                    {
                        int sx = place.X + i % Tile.Size, sy = place.Y + i / Tile.Size;
                        if (sx >= width || sy >= height)
                            continue;
                        double w = wx[i % Tile.Size] * wy[i / Tile.Size];
                        sum[sy * width + sx] += w * mean[i];
                        weight[sy * width + sx] += w;
                    }
                }
            }
        }

        double worst = 0;
        for (int i = 0; i < sum.Length; i++)
            worst = Math.Max(worst, Math.Abs(sum[i] / weight[i] - slide.Values[0][i]));
        Assert.InRange(worst, 0, 1e-5);
        Assert.True(slide.Values[0].Max() - slide.Values[0].Min() > 1e-3);
    }

    private static StainModel Small(Resampling resampling) => StainModel.Create(
        new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = resampling }, [FluorescenceLabels.DapiConfocal, FluorescenceLabels.NfhConfocal], 9);

    private static FunctionImage Noise(int width, int height, int planes)
    {
        var random = new Random(3);
        var pixels = Enumerable.Range(0, width * height * planes).Select(_ => (float)random.Next(1000)).ToArray();
        return new FunctionImage(width, height, planes, PixelType.UInt16, (plane, x, y) => pixels[(plane * height + y) * width + x]);
    }
}

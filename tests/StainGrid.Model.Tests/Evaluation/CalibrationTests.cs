using StainGrid.Imaging;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests.Evaluation;

public class CalibrationTests
{
    [Theory]
    [InlineData(12, 0, 0, 0, 0)]
    [InlineData(13, 0, 0, 1, 1)]   // the 2.5 and 97.5 percent quantiles are 13 and 18
    [InlineData(14, 0, 1, 1, 1)]
    [InlineData(15, 1, 1, 1, 1)]
    [InlineData(16, 1, 1, 1, 1)]
    [InlineData(17, 0, 1, 1, 1)]
    [InlineData(18, 0, 0, 0, 1)]
    [InlineData(19, 0, 0, 0, 0)]
    public void The_intervals_of_a_hand_made_distribution(int truth, params int[] covered)
    {
        // Levels 12 to 18: cumulative 0.01, 0.08, 0.20, 0.50, 0.80, 0.955, 1.
        double[] p = [0.01, 0.07, 0.12, 0.30, 0.30, 0.155, 0.045];
        var logits = full([1, 256, 1, 1], -1000.0, dtype: ScalarType.Float32);
        for (int i = 0; i < p.Length; i++)
            logits[0, 12 + i, 0, 0] = (float)Math.Log(p[i]);
        var calibration = new Calibration();
        TileCalibration.Add(calibration, logits, tensor(new long[] { truth }, [1, 1, 1]));

        // 25 to 75 %: 15..16; 10 to 90 %: 14..17; 5 to 95 %: 13..17; 2.5 to 97.5 %: 13..18.
        double[] held = [0.60, 0.12 + 0.60 + 0.155, 0.07 + 0.12 + 0.60 + 0.155, 0.99];
        Assert.Equal(1, calibration.Pixels);
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal(held[i], calibration.Coverage[i].Held!.Value, 1e-6);
            Assert.Equal(covered[i], calibration.Coverage[i].Covered);
        }
    }

    [Fact]
    public void Truth_drawn_from_random_distributions_is_covered_as_they_say()
    {
        const int Side = 60;
        var random = new Random(4);
        using var scope = NewDisposeScope();
        float[] values = [.. Enumerable.Range(0, 256 * Side * Side).Select(_ => (float)(random.NextDouble() * 6))];
        var logits = tensor(values, [1, 256, Side, Side]);
        float[] p = logits.softmax(1).data<float>().ToArray();
        long[] truth = new long[Side * Side];
        double[] held = new double[4];
        long[] covered = new long[4];
        for (int pixel = 0; pixel < truth.Length; pixel++)
        {
            double[] levels = [.. Enumerable.Range(0, 256).Select(level => (double)p[level * truth.Length + pixel])];
            double left = random.NextDouble() * levels.Sum();
            while (truth[pixel] < 255 && (left -= levels[truth[pixel]]) > 0)
                truth[pixel]++;
            if (pixel % 7 == 0)
            {
                truth[pixel] = -1;
                continue;
            }

            for (int i = 0; i < 4; i++)
            {
                // The plain way: walk up until the tail is passed, and down from the top likewise.
                double tail = (1 - Calibration.Intervals[i]) / 2, sum = 0;
                int low = 0, high = 0;
                while (sum + levels[low] < tail)
                    sum += levels[low++];
                sum = 0;
                while (sum + levels[high] < 1 - tail)
                    sum += levels[high++];
                held[i] += levels[low..(high + 1)].Sum();
                covered[i] += truth[pixel] >= low && truth[pixel] <= high ? 1 : 0;
            }
        }

        var calibration = new Calibration();
        TileCalibration.Add(calibration, logits, tensor(truth, [1, Side, Side]));
        long counted = truth.Count(level => level >= 0);
        Assert.Equal(counted, calibration.Pixels);
        for (int i = 0; i < 4; i++)
        {
            var coverage = calibration.Coverage[i];
            Assert.Equal(held[i] / counted, coverage.Held!.Value, 1e-3);         // sums in another precision may take the next level
            Assert.Equal((double)covered[i] / counted, coverage.Covered!.Value, 2.0 / counted);
            Assert.InRange(coverage.Held!.Value, coverage.Interval, coverage.Interval + 0.03);
            Assert.Equal(coverage.Held!.Value, coverage.Covered!.Value, 4 * Math.Sqrt(0.25 / counted));
        }
    }

    [Theory]
    [InlineData(300, 129, 2)]
    [InlineData(64, 40, 1)]
    [InlineData(256, 128, 1)]
    public void Every_pixel_of_a_slide_counts_once_for_each_plane(int width, int height, int planes)
    {
        using var model = StainModel.Create(
            new NetworkOptions { StemChannels = 4, Growth = 2, EncoderLayers = [1], DecoderLayers = [1], BottomLayers = 1, Resampling = Resampling.Convolution },
            [FluorescenceLabels.DapiConfocal, FluorescenceLabels.NfhConfocal], 1);
        using var image = new FunctionImage(width, height, planes, PixelType.UInt16, (plane, x, y) => (x * 37 + y * 101 + plane * 7) % 1000);
        byte[] truth = [.. Enumerable.Range(0, width * height).Select(i => (byte)(i * 31))];
        int told = 0;
        var calibrations = TileCalibration.Measure(model, image, [.. Enumerable.Range(0, planes)], [1, 0], [truth, truth], tiles => told += tiles, TestContext.Current.CancellationToken);
        Assert.Equal(TileCalibration.TileCount(width, height, planes), told);
        Assert.All(calibrations, calibration => Assert.Equal((long)width * height * planes, calibration.Pixels));

        // The plain way, tile by tile over the slide, with the levels of all its pixels.
        var expected = new Calibration();
        for (int plane = 0; plane < planes; plane++)
        {
            var range = PlaneRange.Measure(image, plane, model.Metadata.Normalisation, TestContext.Current.CancellationToken);
            int[] left = Starts(width), top = Starts(height);
            for (int y = 0; y < top.Length; y++)
            {
                for (int x = 0; x < left.Length; x++)
                {
                    using var scope = NewDisposeScope();
                    using var gradients = no_grad();
                    var place = new Region(left[x], top[y], Tile.Size, Tile.Size);
                    float[] pixels = PlaneWindow.Read(image, plane, place.Inflate(Tile.Margin), range, model.Metadata.Normalisation).Pixels;
                    var logits = model.Network.Logits(model.Network.Features(MultiScalePatches.Cut(tensor(pixels, [1, 1, 256, 256]), [128, 256, 64])), 1);
                    long[] levels = new long[128 * 128];
                    for (int i = 0; i < levels.Length; i++)
                    {
                        int px = place.X + i % 128, py = place.Y + i / 128;
                        bool own = px < width && py < height && Owner(left, px) == x && Owner(top, py) == y;
                        levels[i] = own ? truth[py * width + px] : -1;
                    }

                    TileCalibration.Add(expected, logits, tensor(levels, [1, 128, 128]));
                }
            }
        }

        Assert.Equal(expected.Pixels, calibrations[0].Pixels);
        for (int i = 0; i < 4; i++)
        {
            Assert.Equal(expected.Coverage[i].Held!.Value, calibrations[0].Coverage[i].Held!.Value, 1e-5);
            Assert.Equal(expected.Coverage[i].Covered!.Value, calibrations[0].Coverage[i].Covered!.Value, 1e-3);
        }

        Assert.NotEqual(calibrations[0].Coverage[0], calibrations[1].Coverage[0]);

        static int[] Starts(int length) => length <= 128 ? [0] : [.. Enumerable.Range(0, (length + 127) / 128).Select(i => Math.Min(i * 128, length - 128))];

        // The tile whose centre is nearest; of two as near, the right one.
        static int Owner(int[] starts, int pixel) => Enumerable.Range(0, starts.Length).Last(i => i == 0 || pixel >= (starts[i - 1] + starts[i] + 128) / 2);
    }
}

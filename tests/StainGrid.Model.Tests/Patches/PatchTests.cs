using StainGrid.Imaging;
using StainGrid.Tiling;
using TorchSharp;

namespace StainGrid.Model.Tests.Patches;

public class PatchTests
{
    [Fact]
    public void Patches_are_crops_around_the_centre_shrunk_by_area_and_grown_bilinearly()
    {
        const int Side = Tile.ContextSize;
        var random = new Random(5);
        var context = Enumerable.Range(0, Side * Side).Select(_ => random.NextSingle() * 2 - 1).ToArray();
        using var contexts = torch.tensor(context, [1, 1, Side, Side]);
        using var patches = MultiScalePatches.Cut(contexts, [128, 256, 64]);
        Assert.Equal([1, 3, 128, 128], patches.shape);
        float[] actual = patches.data<float>().ToArray();
        double worst = 0;
        for (int y = 0; y < 128; y++)
        {
            for (int x = 0; x < 128; x++)
            {
                double area = (At(2 * x, 2 * y) + At(2 * x + 1, 2 * y) + At(2 * x, 2 * y + 1) + At(2 * x + 1, 2 * y + 1)) / 4;
                Compare(0, At(64 + x, 64 + y));
                Compare(1, area);
                Compare(2, Bilinear((x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5));

                void Compare(int scale, double expected) =>
                    worst = Math.Max(worst, Math.Abs(expected - actual[(scale * 128 + y) * 128 + x]));
            }
        }

        Assert.InRange(worst, 0, 1e-6);

        double At(int x, int y) => context[y * Side + x];

        // Of the 64x64 crop at (96, 96), whose border pixels go on beyond it.
        double Bilinear(double x, double y)
        {
            x = Math.Max(0, x);
            y = Math.Max(0, y);
            int x0 = (int)x, y0 = (int)y, x1 = Math.Min(63, x0 + 1), y1 = Math.Min(63, y0 + 1);
            double fx = x - x0, fy = y - y0;
            return (1 - fy) * ((1 - fx) * At(96 + x0, 96 + y0) + fx * At(96 + x1, 96 + y0))
                + fy * ((1 - fx) * At(96 + x0, 96 + y1) + fx * At(96 + x1, 96 + y1));
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 3)]
    [InlineData(40, 130)]
    [InlineData(300, 257)]
    public void Beyond_the_border_the_slide_is_reflected(int width, int height)
    {
        using var image = new FunctionImage(width, height, 1, PixelType.UInt16, (_, x, y) => (x * 7 + y * 13) % 1000);
        var rule = new NormalisationRule { Clamp = false };
        var region = new Region(-70, -65, width + 200, height + 170);
        var window = PlaneWindow.Read(image, 0, region, new PlaneRange(0, 1000), rule);
        int wrong = 0;
        for (int y = 0; y < region.Height; y++)
        {
            for (int x = 0; x < region.Width; x++)
            {
                int sx = Walk(region.X + x, width), sy = Walk(region.Y + y, height);
                float expected = ((sx * 7 + sy * 13) % 1000) / 1000f * 2 - 1;
                wrong += Math.Abs(expected - window.Pixels[y * region.Width + x]) < 1e-6 ? 0 : 1;
            }
        }

        Assert.Equal(0, wrong);

        // Step by step to the place, turning round at each border.
        static int Walk(int place, int length)
        {
            if (length == 1)
                return 0;
            int at = 0, step = place >= 0 ? 1 : -1;
            for (int i = 0; i < Math.Abs(place); i++)
            {
                if (at + step < 0 || at + step >= length)
                    step = -step;
                at += step;
            }

            return at;
        }
    }

    [Theory]
    [InlineData(PixelType.UInt8)]
    [InlineData(PixelType.UInt16)]
    [InlineData(PixelType.Float32)]
    public void A_plane_s_range_is_its_percentiles(PixelType type)
    {
        var random = new Random(11);
        var pixels = Enumerable.Range(0, 500 * 301).Select(_ => type switch
        {
            PixelType.UInt8 => random.Next(256),
            PixelType.UInt16 => random.Next(65_536),
            _ => (float)(random.NextDouble() * 3e-4 - 1e-4),
        }).ToArray();
        using var image = new FunctionImage(500, 301, 2, type, (plane, x, y) => plane == 1 ? pixels[y * 500 + x] : 0);
        var range = PlaneRange.Measure(image, 1, new NormalisationRule { LowPercentile = 2, HighPercentile = 97.5 }, TestContext.Current.CancellationToken);
        var sorted = pixels.Order().ToArray();
        double tolerance = type == PixelType.Float32 ? 3e-4 / 65_000 : 0;
        Assert.Equal(sorted[(int)Math.Round(0.02 * (sorted.Length - 1))], range.Low, tolerance);
        Assert.Equal(sorted[(int)Math.Round(0.975 * (sorted.Length - 1))], range.High, tolerance);
        Assert.Equal(new PlaneRange(0, 0), PlaneRange.Measure(image, 0, new NormalisationRule(), TestContext.Current.CancellationToken));
    }
}

using NetVips;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests;

/// <summary>Pixels to test with, and the other decoder (libvips).</summary>
internal static class TestImages
{
    /// <summary>Smooth shapes with noise, so that compression and predictors have something to do.</summary>
    public static double[] Plane(int width, int height, int bits, int seed = 1)
    {
        var random = new Random(seed);
        double[] plane = new double[width * height];
        double maximum = bits == 8 ? 255 : 65_535;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                double value = 0.5 + 0.3 * Math.Sin(x * 0.13 + seed) * Math.Cos(y * 0.07) + 0.1 * random.NextDouble();
                plane[y * width + x] = bits == 32 ? (float)((value - 0.4) * 1e4) : Math.Floor(value * maximum);
            }
        }

        return plane;
    }

    /// <summary>A page as libvips decodes it, the whole of it.</summary>
    public static float[] Vips(string path, int page = 0)
    {
        using var image = path.EndsWith(".png", StringComparison.Ordinal)
            ? Image.Pngload(path, failOn: Enums.FailOn.Error)
            : Image.Tiffload(path, page: page, failOn: Enums.FailOn.Warning);
        Assert.Equal(1, image.Bands);
        using var floats = image.Cast(Enums.BandFormat.Float);
        return floats.WriteToMemory<float>();
    }

    public static float[] ReadAll(IPlaneImage image, int plane = 0)
    {
        float[] pixels = new float[image.Info.Width * image.Info.Height];
        image.Read(plane, new Region(0, 0, image.Info.Width, image.Info.Height), pixels);
        return pixels;
    }

    /// <summary>Regions at random places, and those of one pixel, of one row, of one column, and the whole.</summary>
    public static IEnumerable<Region> Regions(int width, int height, int count = 40, int seed = 7)
    {
        yield return new Region(0, 0, width, height);
        yield return new Region(width - 1, height - 1, 1, 1);
        yield return new Region(0, height / 2, width, 1);
        yield return new Region(width / 2, 0, 1, height);
        yield return new Region(width / 2, height / 2, 0, 0);
        var random = new Random(seed);
        for (int i = 0; i < count; i++)
        {
            int x = random.Next(width), y = random.Next(height);
            yield return new Region(x, y, 1 + random.Next(width - x), 1 + random.Next(height - y));
        }
    }

    /// <summary>Reads random regions of a plane and compares each with the same part of the whole.</summary>
    public static void AssertRegionsEqual(IPlaneImage image, int plane, float[] whole)
    {
        int width = image.Info.Width;
        foreach (var region in Regions(width, image.Info.Height))
        {
            float[] pixels = new float[region.Area];
            image.Read(plane, region, pixels);
            for (int y = 0; y < region.Height; y++)
            {
                var expected = whole.AsSpan((region.Y + y) * width + region.X, region.Width);
                if (!expected.SequenceEqual(pixels.AsSpan(y * region.Width, region.Width)))
                    Assert.Fail($"{image.Info.Name}: {region} differs in row {y}.");
            }
        }
    }

    /// <summary>Opens and reads all of an image, which must be refused in one line that names the file.</summary>
    public static string Refusal(string path, ImageLimits? limits = null)
    {
        var exception = Assert.Throws<ImageException>(() =>
        {
            using var image = ImageReader.Open(path, limits);
            for (int plane = 0; plane < image.Info.Planes; plane++)
                ReadAll(image, plane);
        });
        Assert.Contains(System.IO.Path.GetFileName(path), exception.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', exception.Message);
        return exception.Message;
    }
}

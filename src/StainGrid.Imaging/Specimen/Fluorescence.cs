namespace StainGrid.Imaging.Specimen;

/// <summary>A layer as a confocal max projection shows it.</summary>
internal static class Fluorescence
{
    private const float FullScale = 52_000;
    private const int StripRows = 128;

    /// <summary>The label's image, [height, width], 16 bits.</summary>
    /// <param name="scene">The structures.</param>
    /// <param name="layer">The stain.</param>
    /// <param name="options">The specimen's size and seed.</param>
    /// <param name="dark">The level where there is no stain.</param>
    /// <param name="haze">How much that level wanders over the field.</param>
    /// <param name="noise">Standard deviation of the noise at the dark level.</param>
    public static ushort[] Image(
        CultureScene scene, SceneLayer layer, SpecimenOptions options, float dark, float haze, float noise)
    {
        int width = options.Width, height = options.Height;
        var map = SceneRenderer.Render(scene, layer, width, height);
        var taps = StableMath.GaussianTaps(1);
        var image = new ushort[map.Length];
        ulong seed = StableMath.Mix(options.Seed * 31 + (ulong)layer);
        Parallel.For(0, (height + StripRows - 1) / StripRows, strip =>
        {
            int top = strip * StripRows, rows = Math.Min(StripRows, height - top);
            var soft = new float[rows * width];
            Blur.Gaussian(map, width, height, taps, top, rows, soft);
            for (int row = 0; row < rows; row++)
            {
                int y = top + row;
                for (int x = 0; x < width; x++)
                {
                    float stain = MathF.Max(0, soft[row * width + x]);
                    // Dense stain saturates softly, as a max projection of crossing structures is less than their sum.
                    float level = dark + FullScale * stain / (1 + 0.25f * stain)
                        + haze * StableMath.ValueNoise(x / 45f, y / 45f, seed);
                    level += noise * (1 + 3 * MathF.Sqrt(stain)) * StableMath.Normal(StableMath.Mix(seed + 1 + (ulong)((long)y * width + x) * 0x9E3779B97F4A7C15UL));
                    image[y * width + x] = (ushort)Math.Clamp(level + 0.5f, 0, 65535);
                }
            }
        });
        return image;
    }
}

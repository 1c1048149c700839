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
        var buffer = () => new float[Math.Min(StripRows, height) * width];
        Parallel.For(0, (height + StripRows - 1) / StripRows, buffer, (strip, _, soft) =>
        {
            int top = strip * StripRows, rows = Math.Min(StripRows, height - top);
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
                    float random = StableMath.NormalAt(seed + 1, (long)y * width + x);
                    level += noise * (1 + 3 * MathF.Sqrt(stain)) * random;
                    image[y * width + x] = (ushort)Math.Clamp(level + 0.5f, 0, 65535);
                }
            }

            return soft;
        }, _ => { });
        return image;
    }
}

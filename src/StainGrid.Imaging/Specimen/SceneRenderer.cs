namespace StainGrid.Imaging.Specimen;

/// <summary>Draws a layer of a <see cref="CultureScene"/>. Bands of rows are drawn in parallel; every pixel gets its
/// structures in the scene's order, so the sums do not depend on the number of cores.</summary>
internal static class SceneRenderer
{
    private const int BandRows = 128;

    /// <summary>The layer as a map, [height, width] in row order; at least one column and row.</summary>
    public static float[] Render(CultureScene scene, SceneLayer layer, int width, int height)
    {
        var map = new float[checked(width * height)];
        var blobs = scene.Blobs(layer);
        var fibres = scene.Fibres(layer);
        Parallel.For(0, (height + BandRows - 1) / BandRows, band =>
        {
            int top = band * BandRows, bottom = Math.Min(height, top + BandRows);
            foreach (var blob in blobs)
                Draw(blob, map, width, top, bottom, stain: layer >= SceneLayer.Dapi);
            foreach (var fibre in fibres)
                Draw(fibre, map, width, top, bottom);
        });
        return map;
    }

    private static void Draw(Blob blob, float[] map, int width, int top, int bottom, bool stain)
    {
        float reach = MathF.Max(blob.A, blob.B) * (1 + blob.Wobble) + 1;
        int y0 = Math.Max(top, (int)(blob.Y - reach)), y1 = Math.Min(bottom - 1, (int)(blob.Y + reach) + 1);
        int x0 = Math.Max(0, (int)(blob.X - reach)), x1 = Math.Min(width - 1, (int)(blob.X + reach) + 1);
        float wobbleScale = 1 / (0.7f * blob.B);
        for (int y = y0; y <= y1; y++)
        {
            for (int x = x0; x <= x1; x++)
            {
                float dx = x - blob.X, dy = y - blob.Y;
                float u = (dx * blob.AxisX + dy * blob.AxisY) / blob.A, v = (dy * blob.AxisX - dx * blob.AxisY) / blob.B;
                float square = u * u + v * v;
                if (square >= 2.25f)
                    continue;
                if (blob.Wobble > 0)
                {
                    float noise = StableMath.ValueNoise(dx * wobbleScale, dy * wobbleScale, blob.Seed);
                    square *= 1 + 1.2f * blob.Wobble * noise;
                }

                if (square >= 1)
                    continue;
                float shape = 1 - square;
                if (blob.Profile == BlobProfile.Dome)
                    shape = MathF.Sqrt(shape);
                else
                {
                    shape = MathF.Min(1, shape * 2.5f);
                    shape = shape * shape * (3 - 2 * shape);
                }

                if (blob.Texture > 0)
                    shape *= 1 + blob.Texture * StableMath.ValueNoise(dx / blob.Grain, dy / blob.Grain, blob.Seed + 1);
                // Light paths add up; in a max projection the brighter structure hides most of the other.
                ref float pixel = ref map[y * width + x];
                float amount = blob.Amount * shape;
                pixel = stain && amount > 0
                    ? MathF.Max(pixel, amount) + 0.25f * MathF.Min(pixel, amount)
                    : pixel + amount;
            }
        }
    }

    /// <summary>A round Gaussian at each point: one pixel apart they add up to a smooth ridge with no joints.</summary>
    private static void Draw(FibreInLayer shown, float[] map, int width, int top, int bottom)
    {
        var fibre = shown.Fibre;
        // Fibre.Top and Bottom allow for 4 sigma, and 2 pixels more: no stamp reaches further (2.9 sigma of a fibre up to
        // 1.15 times as wide, and rounding).
        if (fibre.Bottom < top - 2 || fibre.Top > bottom + 2)
            return;
        Span<float> across = stackalloc float[256];
        foreach (var point in fibre.Points)
        {
            float sigma = point.Sigma * shown.WidthFactor;
            int radius = Math.Min(127, (int)(2.9f * sigma) + 1);
            int cx = (int)MathF.Floor(point.X + 0.5f), cy = (int)MathF.Floor(point.Y + 0.5f);
            int y0 = Math.Max(top, cy - radius), y1 = Math.Min(bottom - 1, cy + radius);
            int x0 = Math.Max(0, cx - radius), x1 = Math.Min(width - 1, cx + radius);
            if (y0 > y1 || x0 > x1)
                continue;
            double inverse = -0.5 / ((double)sigma * sigma);
            for (int x = x0; x <= x1; x++)
                across[x - x0] = (float)StableMath.ExpNegative((x - point.X) * (x - point.X) * inverse);
            // 1 / (sqrt(2 pi) sigma): the ridge's height is the amount.
            float height = shown.Amount * point.Strength * 0.39894228f / sigma;
            for (int y = y0; y <= y1; y++)
            {
                float weight = height * (float)StableMath.ExpNegative((y - point.Y) * (y - point.Y) * inverse);
                var row = map.AsSpan(y * width + x0, x1 - x0 + 1);
                for (int i = 0; i < row.Length; i++)
                    row[i] += weight * across[i];
            }
        }
    }
}

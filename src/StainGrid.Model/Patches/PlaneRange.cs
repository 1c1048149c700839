using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>The two intensities of a plane that a <see cref="NormalisationRule"/> maps to -1 and 1, found once over the whole
/// slide so that all of its tiles share them.</summary>
/// <param name="Low">Intensity at the low percentile.</param>
/// <param name="High">Intensity at the high percentile.</param>
public readonly record struct PlaneRange(float Low, float High)
{
    private const int Bins = 1 << 16;
    private const int StripPixels = 1 << 22;

    /// <summary>Measures a plane, strip by strip. A percentile p of n pixels is the value of rank round(p/100 (n-1)): exact for
    /// 8 and 16 bit, to 1/65,536 of the plane's range for floats.</summary>
    /// <param name="image">The image.</param>
    /// <param name="plane">The plane.</param>
    /// <param name="rule">The percentiles.</param>
    /// <param name="cancellationToken">Stops between strips.</param>
    /// <exception cref="ImageException">The image is damaged.</exception>
    public static PlaneRange Measure(IPlaneImage image, int plane, NormalisationRule rule, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(rule);
        float least = 0, step = 1;
        if (image.Info.PixelType == PixelType.Float32)
        {
            least = float.PositiveInfinity;
            float most = float.NegativeInfinity;
            ForEachStrip(image, plane, strip =>
            {
                foreach (float value in strip)
                {
                    least = Math.Min(least, value);
                    most = Math.Max(most, value);
                }
            }, cancellationToken);
            step = (most - least) / (Bins - 1);
            if (!(step > 0))
                return new PlaneRange(least, least);
        }

        var counts = new long[Bins];
        ForEachStrip(image, plane, strip =>
        {
            foreach (float value in strip)
                counts[(int)Math.Clamp(MathF.Round((value - least) / step), 0, Bins - 1)]++;
        }, cancellationToken);
        long pixels = (long)image.Info.Width * image.Info.Height;
        return new PlaneRange(AtPercentile(rule.LowPercentile), AtPercentile(rule.HighPercentile));

        float AtPercentile(double percentile)
        {
            long rank = (long)Math.Round(percentile / 100 * (pixels - 1)), below = 0;
            for (int bin = 0; bin < Bins; bin++)
            {
                below += counts[bin];
                if (below > rank)
                    return least + bin * step;
            }

            return least + (Bins - 1) * step;
        }
    }

    /// <summary>Maps intensities in place to the network's -1..1 (see <see cref="NormalisationRule.Map"/>).</summary>
    public void Normalise(Span<float> intensities, NormalisationRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        foreach (ref float value in intensities)
            value = (float)rule.Map(value, Low, High);
    }

    private static void ForEachStrip(IPlaneImage image, int plane, SpanAction strip, CancellationToken cancellationToken)
    {
        int width = image.Info.Width, height = image.Info.Height;
        int rows = Math.Clamp(StripPixels / width, 1, height);
        var pixels = new float[width * rows];
        for (int y = 0; y < height; y += rows)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var region = new Region(0, y, width, Math.Min(rows, height - y));
            image.Read(plane, region, pixels);
            strip(pixels.AsSpan(0, (int)region.Area));
        }
    }

    private delegate void SpanAction(ReadOnlySpan<float> values);
}

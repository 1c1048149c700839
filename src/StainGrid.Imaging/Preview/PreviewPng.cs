using System.Numerics;

namespace StainGrid.Imaging;

/// <summary>Pictures for people: panels side by side, each a coloured sum of channels with a caption, shrunk by a whole
/// factor to fit. For looking at; the data are in the OME-Zarr.</summary>
public static class PreviewPng
{
    private const int Gap = 8;
    private const byte Ground = 24;

    /// <summary>Writes the panels as an 8-bit RGB PNG. The same panels give the same bytes.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="panels">One or more panels, from left to right and top to bottom.</param>
    /// <param name="columns">Panels in a row; 0 for all in one row.</param>
    /// <param name="maxPanelSide">The longest side of a panel, pixels; a larger one is shrunk by area means.</param>
    /// <exception cref="ArgumentException">There is no panel, or a channel has more or fewer pixels than its panel.</exception>
    /// <exception cref="ImageException">The file cannot be written.</exception>
    public static void Write(string path, IReadOnlyList<PreviewPanel> panels, int columns = 0, int maxPanelSide = 1024)
    {
        ArgumentNullException.ThrowIfNull(panels);
        ArgumentOutOfRangeException.ThrowIfZero(panels.Count);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxPanelSide);
        if (columns <= 0)
            columns = panels.Count;
        foreach (var panel in panels)
            panel.Check();

        // One factor for all, so that panels of one size stay so.
        int factor = panels.Max(panel => (Math.Max(panel.Width, panel.Height) - 1) / maxPanelSide + 1);
        int caption = panels.Any(panel => panel.Caption.Length > 0) ? Lettering.Height + 2 * Gap : Gap;
        int cellWidth = panels.Max(panel => (panel.Width - 1) / factor + 1), cellHeight = panels.Max(panel => (panel.Height - 1) / factor + 1);
        int rows = (panels.Count - 1) / columns + 1;
        columns = Math.Min(columns, panels.Count);
        int width = columns * (cellWidth + Gap) + Gap, height = rows * (cellHeight + caption) + Gap;
        if ((long)width * height * 3 > Array.MaxLength)
            throw new ArgumentException($"The picture would have {width}x{height} pixels; give a smaller {nameof(maxPanelSide)}.", nameof(maxPanelSide));

        byte[] picture = new byte[width * height * 3];
        picture.AsSpan().Fill(Ground);
        for (int i = 0; i < panels.Count; i++)
        {
            int left = i % columns * (cellWidth + Gap) + Gap, top = i / columns * (cellHeight + caption) + caption;
            Draw(panels[i], factor, picture, width, left, top);
            Lettering.Draw(panels[i].Caption, picture, width, left, top - Gap - Lettering.Height, cellWidth);
        }

        PngWriter.WriteRgb8(path, picture, width, height);
    }

    private static void Draw(PreviewPanel panel, int factor, byte[] picture, int stride, int left, int top)
    {
        int width = (panel.Width - 1) / factor + 1, height = (panel.Height - 1) / factor + 1;
        double[] line = new double[width * 3];
        for (int y = 0; y < height; y++)
        {
            line.AsSpan().Clear();
            foreach (var channel in panel.Channels)
            {
                var pixels = channel.Pixels.Span;
                int colour = int.Parse(channel.Color, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                double scale = channel.High > channel.Low ? 1.0 / (channel.High - channel.Low) : 0;
                for (int x = 0; x < width; x++)
                {
                    double sum = 0;
                    int bottom = Math.Min((y + 1) * factor, panel.Height), right = Math.Min((x + 1) * factor, panel.Width);
                    for (int fromY = y * factor; fromY < bottom; fromY++)
                    {
                        for (int fromX = x * factor; fromX < right; fromX++)
                            sum += pixels[fromY * panel.Width + fromX];
                    }

                    double mean = sum / ((bottom - y * factor) * (right - x * factor));
                    double share = Math.Clamp((mean - channel.Low) * scale, 0, 1);
                    line[3 * x] += share * (colour >> 16);
                    line[3 * x + 1] += share * ((colour >> 8) & 255);
                    line[3 * x + 2] += share * (colour & 255);
                }
            }

            var target = picture.AsSpan(((top + y) * stride + left) * 3, width * 3);
            for (int i = 0; i < line.Length; i++)
                target[i] = double.IsNaN(line[i]) ? (byte)0 : (byte)Math.Min(255, line[i] + 0.5);
        }
    }
}

/// <summary>One picture in a row of them.</summary>
/// <param name="Caption">What stands above it; ASCII letters are drawn as capitals, other characters as blanks.</param>
/// <param name="Width">Width, pixels.</param>
/// <param name="Height">Height, pixels.</param>
/// <param name="Channels">What is summed up, each in its colour.</param>
public sealed record PreviewPanel(string Caption, int Width, int Height, IReadOnlyList<PreviewChannel> Channels)
{
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Width);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Height);
        foreach (var channel in Channels)
        {
            if (channel.Pixels.Length != (long)Width * Height)
                throw new ArgumentException($"{Caption}: {Width}x{Height} pixels are due; {channel.Pixels.Length} were given.");
            if (channel.Color.Length != 6 || !channel.Color.All(char.IsAsciiHexDigit))
                throw new ArgumentException($"{Caption}: the colour {channel.Color} is not RRGGBB.");
        }
    }
}

/// <summary>One channel of a panel.</summary>
/// <param name="Pixels">Width x height values, row by row.</param>
/// <param name="Low">The value shown black.</param>
/// <param name="High">The value shown in full colour.</param>
/// <param name="Color">RRGGBB in hex.</param>
public sealed record PreviewChannel(ReadOnlyMemory<float> Pixels, double Low, double High, string Color = "FFFFFF")
{
    /// <summary>The window that shows a picture well: its 0.5 and 99.7 percentiles.</summary>
    /// <param name="pixels">The pixels, at least one.</param>
    public static (double Low, double High) Window<T>(ReadOnlySpan<T> pixels)
        where T : INumber<T>
    {
        var sorted = pixels.ToArray();
        Array.Sort(sorted);
        double low = double.CreateChecked(sorted[(int)(0.005 * (sorted.Length - 1))]), high = double.CreateChecked(sorted[(int)(0.997 * (sorted.Length - 1))]);
        return (low, Math.Max(low + 1, high));
    }

    /// <summary>A channel of 16-bit values.</summary>
    /// <param name="pixels">Width x height values, row by row.</param>
    /// <param name="low">The value shown black.</param>
    /// <param name="high">The value shown in full colour.</param>
    /// <param name="color">RRGGBB in hex.</param>
    public static PreviewChannel FromUInt16(ReadOnlySpan<ushort> pixels, double low, double high, string color = "FFFFFF")
    {
        float[] values = new float[pixels.Length];
        for (int i = 0; i < values.Length; i++)
            values[i] = pixels[i];
        return new PreviewChannel(values, low, high, color);
    }
}

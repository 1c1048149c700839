namespace StainGrid.Imaging;

/// <summary>A line of a plot.</summary>
/// <param name="Name">What the legend calls it.</param>
/// <param name="Points">Its points in the order they are joined; those that are not finite are left out.</param>
public sealed record PlotLine(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>A pair of axes with lines.</summary>
/// <param name="Title">What stands above; letters as <see cref="PreviewPanel"/>'s caption.</param>
/// <param name="Lines">The lines.</param>
public sealed record PlotPanel(string Title, IReadOnlyList<PlotLine> Lines);

/// <summary>Lines over a common quantity, such as losses over steps, panel below panel. It needs no font, which a machine may lack, and the same
/// points give the same bytes.</summary>
public static class LinePlotPng
{
    private const int Width = 960;
    private const int PanelHeight = 320;
    private const int Gap = 12;
    private const int Left = 96;
    private const int Top = 2 * (Lettering.Height + Gap);
    private const int Bottom = Lettering.Height + 2 * Gap;
    private const int LegendWidth = 240;
    private const int TicksWanted = 5;
    private static readonly (byte Red, byte Green, byte Blue) s_ground = (24, 24, 24);
    private static readonly (byte Red, byte Green, byte Blue) s_grid = (64, 64, 64);

    // Told apart by those who see no red or green too (Okabe and Ito's).
    private static readonly (byte Red, byte Green, byte Blue)[] s_colours =
        [(86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178), (200, 200, 200)];

    /// <summary>Writes the plot as an 8-bit RGB PNG.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="across">What the lines run over; stands below.</param>
    /// <param name="panels">The panels, from top to bottom.</param>
    /// <exception cref="ImageException">The file cannot be written.</exception>
    public static void Write(string path, string across, IReadOnlyList<PlotPanel> panels)
    {
        ArgumentNullException.ThrowIfNull(across);
        ArgumentNullException.ThrowIfNull(panels);
        int height = Math.Max(1, panels.Count) * PanelHeight;
        byte[] picture = new byte[Width * height * 3];
        for (int pixel = 0; pixel < Width * height; pixel++)
            Set(picture, pixel, s_ground);
        for (int panel = 0; panel < panels.Count; panel++)
            Draw(picture, panel * PanelHeight, across, panels[panel]);
        PngWriter.WriteRgb8(path, picture, Width, height);
    }

    /// <summary>Round numbers from below the least to above the most, a few of them.</summary>
    internal static double[] Ticks(double least, double most)
    {
        double largest = Math.Max(Math.Abs(least), Math.Abs(most)), span = most > least ? Math.Max(most - least, largest * 1e-6) : largest > 0 ? largest : 1;
        double raw = span / TicksWanted, power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
        double step = power * (raw / power) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 };
        double first = Math.Floor(least / step);
        return [.. Enumerable.Range(0, (int)Math.Max(1, Math.Ceiling(most / step) - first) + 1).Select(i => (first + i) * step)];
    }

    private static void Draw(byte[] picture, int top, string across, PlotPanel panel)
    {
        Lettering.Draw(panel.Title, picture, Width, Gap, top + Gap, Width - Gap);
        var points = panel.Lines.SelectMany(line => Finite(line.Points)).ToArray();
        if (points.Length == 0)
            return;
        double[] columns = Ticks(points.Min(point => point.X), points.Max(point => point.X)), rows = Ticks(points.Min(point => point.Y), points.Max(point => point.Y));
        int right = Width - LegendWidth, upper = top + Top, lower = top + PanelHeight - Bottom;
        foreach (double row in rows)
        {
            for (int x = Left; x <= right; x++)
                Set(picture, Y(row) * Width + x, s_grid);
            string text = Number(row, rows);
            Lettering.Draw(text, picture, Width, Math.Max(0, Left - Gap - Lettering.Width(text)), Y(row) - Lettering.Height / 2, Left);
        }

        foreach (double column in columns)
        {
            for (int y = upper; y <= lower; y++)
                Set(picture, y * Width + X(column), s_grid);
            string text = Number(column, columns);
            Lettering.Draw(text, picture, Width, X(column) - Lettering.Width(text) / 2, lower + Gap, Width);
        }

        Lettering.Draw(across, picture, Width, right + Gap, lower + Gap, LegendWidth - Gap);
        for (int i = 0; i < panel.Lines.Count; i++)
        {
            var colour = s_colours[i % s_colours.Length];
            (int X, int Y)? before = null;
            foreach (var (x, y) in Finite(panel.Lines[i].Points))
            {
                var here = (X(x), Y(y));
                Join(picture, before ?? here, here, colour);
                before = here;
            }

            int line = upper + i * (Lettering.Height + Gap);
            if (line + Lettering.Height > lower)
                continue;
            Join(picture, (right + Gap, line + Lettering.Height / 2), (right + 3 * Gap, line + Lettering.Height / 2), colour);
            Lettering.Draw(panel.Lines[i].Name, picture, Width, right + 4 * Gap, line, LegendWidth - 4 * Gap);
        }

        int X(double x) => Left + (int)Math.Round((x - columns[0]) / (columns[^1] - columns[0]) * (right - Left));
        int Y(double y) => lower - (int)Math.Round((y - rows[0]) / (rows[^1] - rows[0]) * (lower - upper));
    }

    private static IEnumerable<(double X, double Y)> Finite(IReadOnlyList<(double X, double Y)> points) => points.Where(point => double.IsFinite(point.X) && double.IsFinite(point.Y));

    // As many decimals as tell the ticks apart.
    private static string Number(double value, double[] ticks)
    {
        int decimals = Math.Clamp((int)Math.Ceiling(-Math.Log10(ticks[1] - ticks[0]) - 1e-9), 0, 9);
        return value.ToString($"F{decimals}", System.Globalization.CultureInfo.InvariantCulture);
    }

    private static void Join(byte[] picture, (int X, int Y) from, (int X, int Y) to, (byte Red, byte Green, byte Blue) colour)
    {
        int steps = Math.Max(1, Math.Max(Math.Abs(to.X - from.X), Math.Abs(to.Y - from.Y)));
        for (int i = 0; i <= steps; i++)
        {
            int pixel = (from.Y + (to.Y - from.Y) * i / steps) * Width + from.X + (to.X - from.X) * i / steps;
            Set(picture, pixel, colour);
            Set(picture, pixel + 1, colour);
            Set(picture, pixel + Width, colour);
        }
    }

    private static void Set(byte[] picture, int pixel, (byte Red, byte Green, byte Blue) colour) =>
        (picture[3 * pixel], picture[3 * pixel + 1], picture[3 * pixel + 2]) = colour;
}

namespace StainGrid.Imaging;

/// <summary>Pictures of tables of shares: a cell a number, in percent, the brighter the larger.</summary>
public static class HeatMapPng
{
    private const int Gap = 8;
    private const int CellHeight = 32;
    private const int LineHeight = Lettering.Height + Gap;
    private const byte Ground = 24;
    private const byte Dark = 16;

    // From the ground to yellow by way of blue and green, so that more is brighter in grey too.
    private static readonly (double Red, double Green, double Blue)[] s_colours = [(32, 32, 48), (40, 72, 140), (40, 140, 140), (120, 200, 90), (250, 232, 60)];

    /// <summary>Writes the table as an 8-bit RGB PNG. The same table gives the same bytes.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <param name="title">What stands above; letters as <see cref="PreviewPanel"/>'s caption.</param>
    /// <param name="rows">What stands left of each row.</param>
    /// <param name="columns">What stands above each column.</param>
    /// <param name="share">The share of a row and column, 0 to 1; null for an empty cell.</param>
    /// <exception cref="ImageException">The file cannot be written.</exception>
    public static void Write(string path, string title, IReadOnlyList<string> rows, IReadOnlyList<string> columns, Func<int, int, double?> share)
    {
        ArgumentNullException.ThrowIfNull(title);
        ArgumentNullException.ThrowIfNull(rows);
        ArgumentNullException.ThrowIfNull(columns);
        ArgumentNullException.ThrowIfNull(share);
        int left = rows.Select(Lettering.Width).DefaultIfEmpty(0).Max() + 2 * Gap, top = 2 * LineHeight + Gap;
        int cellWidth = Math.Max(Lettering.Width("100.0"), columns.Select(Lettering.Width).DefaultIfEmpty(0).Max()) + Gap;
        int width = Math.Max(left + columns.Count * cellWidth, Gap + Lettering.Width(title)) + Gap, height = top + rows.Count * CellHeight + Gap;
        byte[] picture = new byte[width * height * 3];
        picture.AsSpan().Fill(Ground);
        Lettering.Draw(title, picture, width, Gap, Gap, width);
        for (int column = 0; column < columns.Count; column++)
            Centre(columns[column], column, top - LineHeight, Lettering.Light);
        for (int row = 0; row < rows.Count; row++)
        {
            int cellTop = top + row * CellHeight, textTop = cellTop + (CellHeight - Lettering.Height) / 2;
            Lettering.Draw(rows[row], picture, width, left - Gap - Lettering.Width(rows[row]), textTop, left);
            for (int column = 0; column < columns.Count; column++)
            {
                if (share(row, column) is not { } value)
                    continue;
                Fill(left + column * cellWidth, cellTop, Colour(value));
                Centre((100 * value).ToString("F1", CultureInfo.InvariantCulture), column, textTop, value > 0.5 ? Dark : Lettering.Light);
            }
        }

        PngWriter.WriteRgb8(path, picture, width, height);

        void Centre(string text, int column, int textTop, byte ink) =>
            Lettering.Draw(text, picture, width, left + column * cellWidth + (cellWidth - Lettering.Width(text)) / 2, textTop, cellWidth, ink);

        void Fill(int x, int y, (byte Red, byte Green, byte Blue) colour)
        {
            for (int line = 1; line < CellHeight; line++)   // a line of ground between the cells
            {
                for (int column = 1; column < cellWidth; column++)
                    (picture[((y + line) * width + x + column) * 3], picture[((y + line) * width + x + column) * 3 + 1], picture[((y + line) * width + x + column) * 3 + 2]) = colour;
            }
        }
    }

    private static (byte Red, byte Green, byte Blue) Colour(double share)
    {
        double place = Math.Clamp(share, 0, 1) * (s_colours.Length - 1);
        int from = Math.Min((int)place, s_colours.Length - 2);
        double part = place - from;
        var (a, b) = (s_colours[from], s_colours[from + 1]);
        return (Mix(a.Red, b.Red), Mix(a.Green, b.Green), Mix(a.Blue, b.Blue));

        byte Mix(double first, double second) => (byte)Math.Round(first + part * (second - first));
    }
}

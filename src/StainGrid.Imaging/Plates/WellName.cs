namespace StainGrid.Imaging;

/// <summary>The names of rows (A to ZZ) and wells (B07).</summary>
internal static class WellName
{
    public const int MaxRow = 26 * 27, MaxColumn = 999;

    /// <summary>A row's name: 1 is A, 27 is AA.</summary>
    public static string Row(int number) => number <= 26
        ? ((char)('A' + number - 1)).ToString()
        : string.Create(2, number, (name, n) => (name[0], name[1]) = ((char)('A' + (n - 1) / 26 - 1), (char)('A' + (n - 1) % 26)));

    /// <summary>A row's number, from its letters or its digits; 0 where it is none.</summary>
    public static int RowNumber(string name)
    {
        if (Number(name, MaxRow) is > 0 and var number)
            return number;
        if (name.Length is 0 or > 2 || !name.All(char.IsAsciiLetter))
            return 0;
        return name.Aggregate(0, (sum, letter) => sum * 26 + (letter & ~0x20) - 'A' + 1);
    }

    /// <summary>A column's number; 0 where it is none.</summary>
    public static int ColumnNumber(string name) => Number(name, MaxColumn);

    /// <summary>A well's row and column, from "B7", "b07" or "AF48"; (0, 0) where it is none.</summary>
    public static (int Row, int Column) Parse(string well)
    {
        int letters = well.TakeWhile(char.IsAsciiLetter).Count();
        var (row, column) = letters == 0 ? (0, 0) : (RowNumber(well[..letters]), ColumnNumber(well[letters..]));
        return row > 0 && column > 0 ? (row, column) : (0, 0);
    }

    private static int Number(string text, int maximum) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number <= maximum ? number : 0;
}

using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>Columns of a field, half-open.</summary>
/// <param name="From">The first column.</param>
/// <param name="To">The column after the last one.</param>
public readonly record struct ColumnRange(int From, int To);

/// <summary>Ways to part data into what is trained on, what is looked at while training, and what is held out. No pixel is ever in two
/// parts, nor in the context of one: a side reads nothing outside of its <see cref="FieldPart.Region"/>, not even for its patches.</summary>
public static class DataSplits
{
    /// <summary>By wells: all fields of a well are on one side.</summary>
    /// <param name="fields">The fields.</param>
    /// <param name="test">The wells that are held out: a well's name (A4), in all conditions, or with its condition (B/A4).</param>
    /// <param name="validation">The wells for validation, named alike; may be empty.</param>
    /// <exception cref="ImageException">A well is not in the data, or on two sides.</exception>
    public static DataSplit ByWell(IReadOnlyList<PairedField> fields, IReadOnlyCollection<string> test, IReadOnlyCollection<string> validation)
    {
        ArgumentNullException.ThrowIfNull(fields);
        ArgumentNullException.ThrowIfNull(test);
        ArgumentNullException.ThrowIfNull(validation);
        foreach (string well in test.Concat(validation))
        {
            if (!fields.Any(field => Is(field, well)))
            {
                string[] wells = [.. fields.Select(Well).Distinct(StringComparer.OrdinalIgnoreCase).Take(20)];
                throw new ImageException($"The data has no well {well}; it has {string.Join(", ", wells)}. Choose of them.");
            }
        }

        if (fields.FirstOrDefault(field => test.Any(well => Is(field, well)) && validation.Any(well => Is(field, well))) is { } both)
            throw new ImageException($"The well {Well(both)} is chosen for test and for validation. Choose one.");
        return Of(fields, field => test.Any(well => Is(field, well)) ? Side.Test : validation.Any(well => Is(field, well)) ? Side.Validation : Side.Train);

        static bool Is(PairedField field, string well) => field.Well.Length > 0
            && (well.Equals(field.Well, StringComparison.OrdinalIgnoreCase) || well.Equals(Well(field), StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>By columns of each field: the held-out ones, those for validation, and all between and beside them to train on.</summary>
    /// <param name="fields">The fields; their headers are read.</param>
    /// <param name="test">The columns that are held out.</param>
    /// <param name="validation">The columns for validation, or null.</param>
    /// <returns>The split. Rests of fewer than 128 columns are on no side, since no tile fits into them.</returns>
    /// <exception cref="ImageException">Columns overlap or are not in a field, or a side would have fewer than 128; or a file is damaged.</exception>
    public static DataSplit ByRegion(IReadOnlyList<PairedField> fields, ColumnRange test, ColumnRange? validation = null) =>
        ByRegion(fields, test, validation, SizeOf);

    internal static DataSplit ByRegion(
        IReadOnlyList<PairedField> fields, ColumnRange test, ColumnRange? validation, Func<PairedField, (int Width, int Height)> sizeOf)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (validation is { } other && other.From < test.To && test.From < other.To)
            throw new ImageException($"Columns {Text(test)} are for test and {Text(other)} for validation: they overlap. Choose others.");
        List<FieldPart> trains = [], validations = [], tests = [];
        foreach (var field in fields)
        {
            var (width, height) = sizeOf(field);
            if (height < Tile.Size)
                throw new ImageException($"{field.Name} has {height} rows; {Tile.Size} are the least. Leave it out.");
            tests.Add(Part(test, "test"));
            if (validation is { } chosen)
                validations.Add(Part(chosen, "validation"));
            int from = 0, count = trains.Count;
            foreach (var held in ((ColumnRange[])[test, validation ?? test, new(width, width)]).OrderBy(range => range.From))
            {
                if (held.From - from >= Tile.Size)
                    trains.Add(new FieldPart(field, new Region(from, 0, held.From - from, height)));
                from = held.To;
            }

            if (trains.Count == count)
            {
                throw new ImageException($"{field.Name} has {width} columns: beside what is held out there are nowhere {Tile.Size}, the least to train on. "
                    + "Hold out fewer.");
            }

            FieldPart Part(ColumnRange range, string side) =>
                range.From < 0 || range.To > width || range.From >= range.To ? throw new ImageException(
                    $"{field.Name} has {width} columns; {Text(range)} for {side} are not in it. Choose columns of 0 to {width}.")
                : range.To - range.From < Tile.Size ? throw new ImageException(
                    $"{field.Name}: columns {Text(range)} for {side} are {range.To - range.From}; {Tile.Size} are the least. Choose more.")
                : new FieldPart(field, new Region(range.From, 0, range.To - range.From, height));
        }

        return Checked(new DataSplit(trains, validations, tests));

        static string Text(ColumnRange range) => string.Create(CultureInfo.InvariantCulture, $"{range.From} to {range.To}");
    }

    /// <summary>By wells that a seed chooses: at least one for a share above 0. The same wells and seed give the same split, whatever the
    /// order of the fields.</summary>
    /// <param name="fields">The fields; one without a well counts as a well of its own.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="test">The share of wells that is held out, 0 up to 1.</param>
    /// <param name="validation">The share of wells for validation, 0 up to 1.</param>
    /// <exception cref="ImageException">No well would be left to train on.</exception>
    public static DataSplit Random(IReadOnlyList<PairedField> fields, ulong seed, double test, double validation)
    {
        ArgumentNullException.ThrowIfNull(fields);
        if (!(test >= 0 && validation >= 0 && test + validation < 1))
            throw new ImageException(string.Create(CultureInfo.InvariantCulture, $"The shares {test} for test and {validation} for validation must be 0 or more and together below 1."));

        // Ordered by a hash, not by a generator's shuffle, which another version of it might do otherwise.
        string[] wells = [.. fields.Select(Group).Distinct(StringComparer.Ordinal).OrderBy(
            well => Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{seed}\n{well}")))), StringComparer.Ordinal)];
        int tests = Count(test), validations = Count(validation);
        if (tests + validations >= wells.Length)
        {
            throw new ImageException($"The data has {wells.Length} wells: with {tests} for test and {validations} for validation none is left to train on. "
                + "Split by region, or take more data.");
        }

        var sides = wells.Select((well, i) => (well, Side: i < tests ? Side.Test : i < tests + validations ? Side.Validation : Side.Train))
            .ToDictionary(well => well.well, well => well.Side, StringComparer.Ordinal);
        return Of(fields, field => sides[Group(field)]);

        int Count(double share) => share == 0 ? 0 : Math.Max(1, (int)Math.Round(share * wells.Length));

        static string Group(PairedField field) => field.Well.Length > 0 ? $"well {Well(field).ToUpperInvariant()}" : $"field {field.Name}";
    }

    /// <summary>Nothing where figures can be given by a split: it has what is trained on and what is held out, and no pixel in both.</summary>
    /// <exception cref="ImageException">They cannot; the message says what to do.</exception>
    public static void RequireFigures(DataSplit split)
    {
        ArgumentNullException.ThrowIfNull(split);
        if (split.Test.Count == 0)
            throw new ImageException("The split holds nothing out, so that no figures can be given. Hold out wells or columns.");
        if (split.Train.Count == 0)
            throw new ImageException("The split has nothing to train on. Hold out fewer wells or columns.");
        Checked(split);
    }

    /// <summary>The split, where no pixel is in it twice.</summary>
    /// <exception cref="ImageException">A pixel is in two parts.</exception>
    internal static DataSplit Checked(DataSplit split)
    {
        var parts = split.Train.Select(part => (part, Side: "train")).Concat(split.Validation.Select(part => (part, Side: "validation")))
            .Concat(split.Test.Select(part => (part, Side: "test")));
        foreach (var field in parts.GroupBy(part => part.part.Field.Name, StringComparer.Ordinal))
        {
            var seen = new List<(FieldPart Part, string Side)>();
            foreach (var (part, side) in field)
            {
                foreach (var (other, otherSide) in seen)
                {
                    if (part.Region is not { } region || other.Region is not { } otherRegion || !region.Intersect(otherRegion).IsEmpty)
                        throw new ImageException($"{field.Key} is in the split twice with the same pixels, for {otherSide} and for {side}. Make the split again.");
                }

                seen.Add((part, side));
            }
        }

        return split;
    }

    /// <summary>A field's size, from the header of its first file.</summary>
    internal static (int Width, int Height) SizeOf(PairedField field)
    {
        using var image = ImageReader.Open(field.Planes[0]);
        return (image.Info.Width, image.Info.Height);
    }

    private static DataSplit Of(IReadOnlyList<PairedField> fields, Func<PairedField, Side> sideOf)
    {
        var sides = fields.ToLookup(sideOf, field => new FieldPart(field, null));
        return Checked(new DataSplit([.. sides[Side.Train]], [.. sides[Side.Validation]], [.. sides[Side.Test]]));
    }

    private static string Well(PairedField field) => field.Condition.Length > 0 ? $"{field.Condition}/{field.Well}" : field.Well;

    private enum Side
    {
        Train,
        Validation,
        Test,
    }
}

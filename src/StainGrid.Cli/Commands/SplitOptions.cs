using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Cli;

/// <summary>The options that say what of paired data is held out.</summary>
internal sealed class SplitOptions
{
    private const double Share = 0.1;

    public Option<string?> Split { get; } = new("--split") { Description = "A split.json, as a run writes it.", HelpName = "FILE" };

    public Option<ColumnRange?> TestColumns { get; } = new("--test-columns")
    {
        Description = "Hold these columns of each field out (half-open), and train on the others.",
        HelpName = "FROM:TO",
        CustomParser = Columns,
    };

    public Option<ColumnRange?> ValidationColumns { get; } = new("--validation-columns") { Description = "Columns for validation, besides.", HelpName = "FROM:TO", CustomParser = Columns };

    public Option<string[]> TestWells { get; } = new("--test-wells") { Description = "Hold these wells out (A4, or with the condition B/A4).", HelpName = "WELL", AllowMultipleArgumentsPerToken = true };

    public Option<string[]> ValidationWells { get; } = new("--validation-wells") { Description = "Wells for validation, besides.", HelpName = "WELL", AllowMultipleArgumentsPerToken = true };

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[Split, TestColumns, ValidationColumns, TestWells, ValidationWells])
            command.Add(option);
        command.Validators.Add(result =>
        {
            bool columns = result.GetResult(TestColumns) is not null, wells = result.GetResult(TestWells) is not null;
            if ((result.GetResult(Split) is not null ? 1 : 0) + (columns ? 1 : 0) + (wells ? 1 : 0) > 1)
                result.AddError("Give one of --split, --test-columns and --test-wells.");
            if (result.GetResult(ValidationColumns) is not null && !columns || result.GetResult(ValidationWells) is not null && !wells)
                result.AddError("Columns and wells for validation go with those for test: give --test-columns or --test-wells too.");
        });
    }

    /// <summary>The split that is asked for; else one by wells: a tenth for test and a tenth for validation.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="fields">The data's fields.</param>
    /// <param name="file">A split's file, where the command line names none.</param>
    /// <param name="seed">What chooses the wells.</param>
    /// <exception cref="ImageException">It cannot be made.</exception>
    public DataSplit Of(ParseResult parsed, IReadOnlyList<PairedField> fields, string? file, int seed)
    {
        if (parsed.GetValue(TestColumns) is { } columns)
            return DataSplits.ByRegion(fields, columns, parsed.GetValue(ValidationColumns));
        if (parsed.GetValue(TestWells) is { Length: > 0 } wells)
            return DataSplits.ByWell(fields, wells, parsed.GetValue(ValidationWells) ?? []);
        if ((parsed.GetValue(Split) ?? file) is { } path)
            return SplitFile.Read(path, fields);
        if (fields.Select(field => (field.Condition, field.Well)).Distinct().Count() < 3)
            throw new ImageException("The data has fewer than three wells, so that none can be held out. Hold columns out: --test-columns FROM:TO, of at least 128.");
        return DataSplits.Random(fields, (ulong)seed, Share, Share);
    }

    private static ColumnRange? Columns(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        string[] parts = text.Split(':');
        if (parts.Length == 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int from) && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int to))
            return new ColumnRange(from, to);
        result.AddError($"{text} is no range of columns; write FROM:TO, such as 640:768.");
        return null;
    }
}

using System.Text.RegularExpressions;

namespace StainGrid.Imaging;

/// <summary>What a file's name tells.</summary>
internal sealed record NamedImage(int Row, int Column, int Field, int? Plane, string? Channel);

/// <summary>How the names of a folder's images tell well, field, plane and channel. Matched against the path below the
/// folder, with '/' between its parts.</summary>
internal sealed class NamePattern
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromSeconds(3);   // of a wall clock: a busy machine stalls too

    private readonly Regex _regex;
    private readonly Regex? _ignored;

    /// <summary>Tells wells by a regular expression; others' files that match <paramref name="ignored"/> go unmentioned.</summary>
    public NamePattern(string name, string regex, string? ignored = null, RegexOptions options = RegexOptions.IgnoreCase)
    {
        Name = name;
        _regex = new Regex(regex, options | RegexOptions.CultureInvariant, s_timeout);
        _ignored = ignored is null ? null : new Regex(ignored, RegexOptions.CultureInvariant | RegexOptions.IgnoreCase, s_timeout);
    }

    public static IReadOnlyList<NamePattern> Presets { get; } =
    [
        // In Silico Labeling, both dialects: the transmitted planes. Fluorescence, masks and predictions are its other files.
        new("isl", @"(?:^|[,/])well(?:,value)?-(?<well>[A-Z]{1,2}\d{1,2})(?:,[^/]*)?,z_depth(?:,value)?-(?<plane>\d{1,4}),channel(?:,value)?-"
            + @"(?<channel>PHASE_CONTRAST|BRIGHTFIELD|BRIGHT_FIELD|DIC)(?:,is_mask-false)?(?:,kind,value-ORIGINAL)?\.(?:png|tiff?)$",
            @"(?:^|[,/])well(?:,value)?-[A-Z]{1,2}\d{1,2},.*channel(?:,value)?-"),

        // Opera Phenix, Operetta (Harmony).
        new("phenix", @"(?:^|/)r(?<row>\d{2})c(?<column>\d{2})f(?<field>\d{2,4})p(?<plane>\d{2,4})-ch(?<channel>\d{1,2})(?:sk\d+)?(?:fk\d+)?(?:fl\d+)?\.tiff?$"),

        // MetaXpress: sites, wavelengths, an identifier at the end, z steps in folders or names. Thumbnails are its other files.
        new("imagexpress", @"(?:(?:^|/)ZStep_(?<plane>\d{1,4})/(?:[^/]*/)*)?[^/]*_(?<well>[A-Z]{1,2}\d{2})(?:_s(?<field>\d{1,4}))?(?:_z(?<plane>\d{1,4}))?"
            + @"(?:_w(?<channel>\d{1,2}?))?(?:[0-9A-F]{8}-[0-9A-F-]{27})?(?:_z(?<plane>\d{1,4}))?\.tiff?$",
            @"_[A-Z]{1,2}\d{2}[^/]*_thumb[^/]*\.tiff?$"),

        // Yokogawa CellVoyager.
        new("cv8000", @"_(?<well>[A-Z]{1,2}\d{2})_T\d{4}F(?<field>\d{3,4})L\d{2}A\d{2}Z(?<plane>\d{2,3})C(?<channel>\d{2})\.(?:tiff?|png)$"),
    ];

    public string Name { get; }

    /// <summary>A preset, or a regular expression with named groups.</summary>
    public static NamePattern Parse(string pattern)
    {
        if (Presets.FirstOrDefault(preset => preset.Name.Equals(pattern, StringComparison.OrdinalIgnoreCase)) is { } known)
            return known;
        string presets = string.Join(", ", Presets.Select(preset => preset.Name));
        if (pattern.Length > 2000)
            throw new ImageException($"The pattern has {pattern.Length} characters; at most 2,000 are taken. Shorten it.");
        NamePattern own;
        try
        {
            own = new NamePattern(pattern, pattern, options: RegexOptions.None);
        }
        catch (ArgumentException exception)
        {
            throw new ImageException($"The pattern \"{pattern}\" is neither a preset ({presets}) nor a regular expression: {exception.Message} Correct it.", exception);
        }

        string[] groups = own._regex.GetGroupNames();
        if (!groups.Contains("well") && !(groups.Contains("row") && groups.Contains("column")))
        {
            throw new ImageException($"The pattern \"{pattern}\" is no preset ({presets}) and has no group (?<well>..), nor (?<row>..) and (?<column>..): "
                + "it cannot tell wells. Add them.");
        }

        return own;
    }

    /// <summary>What a name tells; null where it does not match.</summary>
    public NamedImage? Match(string path)
    {
        try
        {
            var match = _regex.Match(path);
            if (!match.Success)
                return null;
            var (row, column) = match.Groups["well"] is { Success: true } well
                ? WellName.Parse(well.Value)
                : (WellName.RowNumber(match.Groups["row"].Value), WellName.ColumnNumber(match.Groups["column"].Value));
            return row > 0 && column > 0 && Number("field", out int field) && Number("plane", out int plane)
                ? new NamedImage(row, column, Math.Max(field, 0), plane < 0 ? null : plane, match.Groups["channel"] is { Success: true } channel ? channel.Value : null)
                : null;

            // -1 where the pattern has no such group here.
            bool Number(string group, out int number)
            {
                number = -1;
                return match.Groups[group] is not { Success: true } found
                    || int.TryParse(found.Value, NumberStyles.None, CultureInfo.InvariantCulture, out number);
            }
        }
        catch (RegexMatchTimeoutException exception)
        {
            throw TooSlow(path, exception);
        }
    }

    /// <summary>Whether a name that does not match is of a file that comes with the images.</summary>
    public bool Ignores(string path)
    {
        try
        {
            return _ignored?.IsMatch(path) == true;
        }
        catch (RegexMatchTimeoutException exception)
        {
            throw TooSlow(path, exception);
        }
    }

    private ImageException TooSlow(string path, RegexMatchTimeoutException exception) =>
        new($"The pattern \"{Name}\" takes more than {s_timeout.TotalSeconds:0} s on the name {path}. Write it without nested repetition.", exception);
}

using System.Globalization;

namespace StainGrid.Model;

/// <summary>What a file's name of the In Silico Labeling data set tells. Keys and values are joined by hyphens, or by ",value-":
/// "well-A4,z_depth-3,channel-PHASE_CONTRAST,is_mask-false" and "well-A4,z_depth-3,channel,value-PHASE_CONTRAST,is_mask-false,
/// kind,value-ORIGINAL" are the two dialects.</summary>
/// <param name="Lab">The laboratory, such as Finkbeiner.</param>
/// <param name="Condition">The condition as the data set names it, such as kevan_0_8.</param>
/// <param name="Date">The day, as 2015-10-05, with the time where it is told and not midnight; empty where it is not told.</param>
/// <param name="Well">The well, such as A4 or r02c05.</param>
internal sealed record IslName(string Lab, string Condition, string Date, string Well)
{
    /// <summary>The field's name: lab/condition/well/date.</summary>
    public string Field => string.Join('/', ((string[])[Lab, Condition, Well, Date]).Where(part => part.Length > 0));

    /// <summary>The plane's number; null where none is told.</summary>
    public int? Plane { get; init; }

    /// <summary>Whether it is a projection of all planes (MAXPROJECT).</summary>
    public bool IsProjection { get; init; }

    /// <summary>PHASE_CONTRAST, DAPI_CONFOCAL or another; null for images of several channels.</summary>
    public string? Channel { get; init; }

    /// <summary>Whether it is a mask.</summary>
    public bool IsMask { get; init; }

    /// <summary>Whether it is what a network made of the field (PREDICTED) and not what a microscope saw.</summary>
    public bool IsPrediction { get; init; }

    /// <summary>Reads a file's name; null where it does not tell lab, condition and well, or tells a thing twice.</summary>
    public static IslName? Parse(string fileName)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        string? open = null;
        foreach (string part in Path.GetFileNameWithoutExtension(fileName).Split(','))
        {
            int hyphen = part.IndexOf('-');
            if (hyphen < 0)
            {
                open = part;
                continue;
            }

            string key = part[..hyphen] is "value" && open is not null ? open : part[..hyphen];
            open = null;
            if (!values.TryAdd(key, part[(hyphen + 1)..]))
                return null;
        }

        if (Text("lab") is not { } lab || Text("condition") is not { } condition || Text("well") is not { } well || Number("z_depth") is < 0)
            return null;
        return new IslName(lab, condition, Date(), well)
        {
            Plane = Number("z_depth"),
            IsProjection = Is("depth_computation", "MAXPROJECT"),
            Channel = Text("channel"),
            IsMask = Is("is_mask", "true"),
            IsPrediction = values.ContainsKey("kind") && !Is("kind", "ORIGINAL"),
        };

        string? Text(string key) => values.GetValueOrDefault(key) is { Length: > 0 } value && !value.Contains('/') ? value : null;

        bool Is(string key, string value) => string.Equals(values.GetValueOrDefault(key), value, StringComparison.OrdinalIgnoreCase);

        // -1 where it is no number.
        int? Number(string key) => !values.TryGetValue(key, out string? text) ? null
            : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number <= 9999 ? number : -1;

        string Date()
        {
            if (Number("year") is not { } year || Number("month") is not { } month || Number("day") is not { } day)
                return "";
            int hour = Number("hour") ?? 0, minute = Number("minute") ?? 0;
            return string.Create(CultureInfo.InvariantCulture, $"{year:0000}-{month:00}-{day:00}")
                + ((hour, minute) == (0, 0) ? "" : string.Create(CultureInfo.InvariantCulture, $"T{hour:00}:{minute:00}"));
        }
    }
}

using System.Text.Json.Serialization;

namespace StainGrid.Model;

/// <summary>A fluorescence label that a model predicts.</summary>
/// <param name="Name">Its name, such as DAPI_CONFOCAL: 1 to 64 letters, digits, underscores and hyphens.</param>
/// <param name="Low">The 16-bit intensity of level 0, 0 to 65534.</param>
/// <param name="High">The 16-bit intensity of the last level, above <paramref name="Low"/>, at most 65535. Levels in between
/// are linear.</param>
/// <param name="Colour">The colour a viewer gives it: six hexadecimal digits, RRGGBB.</param>
public sealed record LabelInfo(
    [property: JsonRequired] string Name,
    [property: JsonRequired] int Low,
    [property: JsonRequired] int High,
    [property: JsonRequired] string Colour)
{
    /// <summary>Checks every bound.</summary>
    /// <exception cref="ArgumentException">A value is out of its range; the message names it and the range.</exception>
    public void Validate()
    {
        if (FindProblem([this]) is { } problem)
            throw new ArgumentException(problem);
    }

    /// <summary>What is wrong with a model's labels, in words, or null.</summary>
    internal static string? FindProblem(IReadOnlyList<LabelInfo> labels)
    {
        if (labels is null || labels.Any(label => label is null))
            return "The labels are missing.";
        if (FindNameProblem([.. labels.Select(label => label.Name)]) is { } problem)
            return problem;
        foreach (var label in labels)
        {
            if (label.Low < 0 || label.High > ushort.MaxValue || label.Low >= label.High)
                return $"The label {label.Name} has the range {label.Low} to {label.High}; it must rise and lie in 0 to 65535.";
            if (label.Colour is not { Length: 6 } || !label.Colour.All(char.IsAsciiHexDigit))
                return $"The label {label.Name} has a colour that is not six hexadecimal digits, such as 00FF00.";
        }

        return null;
    }

    /// <summary>What is wrong with the names of a model's labels, in words, or null.</summary>
    internal static string? FindNameProblem(IReadOnlyList<string> names)
    {
        if (names.Count is < 1 or > NetworkOptions.MaximumLabels)
            return $"A model predicts 1 to {NetworkOptions.MaximumLabels} labels, not {names.Count}.";
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (string name in names)
        {
            if (name is not { Length: >= 1 and <= 64 } || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-'))
                return "A label's name must be 1 to 64 letters, digits, underscores and hyphens, such as DAPI_CONFOCAL.";
            if (!seen.Add(name))
                return $"The label {name} is given twice.";
        }

        return null;
    }
}

using System.Text.Json.Serialization;

namespace StainGrid.Model;

/// <summary>What a model was trained on and how, for people and for provenance.</summary>
public sealed record TrainingSummary
{
    /// <summary>In words.</summary>
    [JsonRequired]
    public string Text { get; init; } = "Not trained: initial weights.";

    /// <summary>Facts by name, such as steps, data, validation_pearson.</summary>
    [JsonRequired]
    public IReadOnlyDictionary<string, string> Values { get; init; } = new SortedDictionary<string, string>(StringComparer.Ordinal);

    /// <summary>By content, the values included.</summary>
    public bool Equals(TrainingSummary? other) =>
        other is not null && Text == other.Text && Values.Count == other.Values.Count
        && Values.All(pair => other.Values.TryGetValue(pair.Key, out string? value) && value == pair.Value);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Text, Values.Count);
}

using System.Text.Json;
using System.Text.Json.Serialization;

namespace StainGrid.Model;

/// <summary>How well a model predicts fields that it has not seen, and how that was measured. Predicted is the mean of the distribution, rounded to
/// one of the 256 levels, as the truth is.</summary>
public sealed record EvaluationReport
{
    /// <summary>SHA-256 of the model file.</summary>
    public required string ModelSha256 { get; init; }

    /// <summary>The planes that were predicted from, in words.</summary>
    public required string Planes { get; init; }

    /// <summary>Distance of neighbouring tiles, pixels.</summary>
    public required int Stride { get; init; }

    /// <summary>How overlapping tiles were merged.</summary>
    public required string Blend { get; init; }

    /// <summary>The numbers that the images were computed in.</summary>
    public required string Precision { get; init; }

    /// <summary>How many times random pixels were drawn.</summary>
    public required int Draws { get; init; }

    /// <summary>Random pixels a draw.</summary>
    public required int DrawPixels { get; init; }

    /// <summary>The seed of the draws.</summary>
    public required int Seed { get; init; }

    /// <summary>The fields, with the part of each.</summary>
    public required IReadOnlyList<EvaluatedField> Fields { get; init; }

    /// <summary>The labels that both the model and the data have, in the model's order.</summary>
    public required IReadOnlyList<LabelEvaluation> Labels { get; init; }

    /// <summary>Labels of the data that the model does not predict.</summary>
    public required IReadOnlyList<string> LabelsWithoutHead { get; init; }

    /// <summary>As one line of JSON, names in snake case; what is not defined is null.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, EvaluationJson.Default.EvaluationReport);
}

/// <summary>A field that was evaluated.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Condition">Its condition.</param>
/// <param name="X">Left edge of the part that was seen, pixels.</param>
/// <param name="Y">Its top edge.</param>
/// <param name="Width">Its width.</param>
/// <param name="Height">Its height.</param>
public sealed record EvaluatedField(string Name, string Condition, int X, int Y, int Width, int Height);

/// <summary>How well a label is predicted.</summary>
/// <param name="Label">The label.</param>
/// <param name="All">Over the pixels of all conditions.</param>
/// <param name="Conditions">By condition, in the order of their names.</param>
public sealed record LabelEvaluation(string Label, LabelMetrics All, IReadOnlyList<ConditionMetrics> Conditions);

/// <summary>The figures of a label in one condition.</summary>
/// <param name="Condition">The condition.</param>
/// <param name="Metrics">The figures.</param>
public sealed record ConditionMetrics(string Condition, LabelMetrics Metrics);

/// <summary>Pearson's coefficient over random pixels.</summary>
/// <param name="Mean">The mean of the draws.</param>
/// <param name="StandardDeviation">Their standard deviation (n - 1).</param>
public sealed record SampledPearson(double Mean, double StandardDeviation);

/// <summary>Figures over the pixels of some fields. Levels are 0 to 255; null is what is not defined, such as the correlation of a flat image.</summary>
public sealed record LabelMetrics
{
    /// <summary>Fields or parts of them.</summary>
    public required int Fields { get; init; }

    /// <summary>Their pixels.</summary>
    public required long Pixels { get; init; }

    /// <summary>Pearson over random pixels, several times (the paper's table III).</summary>
    public required SampledPearson? PearsonOfRandomPixels { get; init; }

    /// <summary>Pearson over all pixels.</summary>
    public required double? Pearson { get; init; }

    /// <summary>Mean absolute error, levels.</summary>
    public required double? MeanAbsoluteError { get; init; }

    /// <summary>Root mean square error, levels.</summary>
    public required double? RootMeanSquareError { get; init; }

    /// <summary>Mean over all windows of all fields of the <see cref="StructuralSimilarity"/>.</summary>
    public required double? StructuralSimilarity { get; init; }

    /// <summary>Over ten bins of the intensity.</summary>
    public required ConfusionMatrix Confusion { get; init; }

    /// <summary>Calibration of the distributions of single tiles and planes, not of the merged averages.</summary>
    public required IReadOnlyList<IntervalCoverage> Coverage { get; init; }
}

[JsonSerializable(typeof(EvaluationReport))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
internal sealed partial class EvaluationJson : JsonSerializerContext;

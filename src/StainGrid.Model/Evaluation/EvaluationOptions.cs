using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>How to evaluate a model.</summary>
public sealed record EvaluationOptions
{
    /// <summary>The plane to predict from, counted from 0; null for the middle one of each field, or all.</summary>
    public int? Plane { get; init; }

    /// <summary>Averages the predictions from every plane.</summary>
    public bool AllPlanes { get; init; }

    /// <summary>Stride and blend of the tiles.</summary>
    public TilingOptions Tiling { get; init; } = new();

    /// <summary>Float32 or bfloat16.</summary>
    public Precision Precision { get; init; } = Precision.Float32;

    /// <summary>How many times random pixels are drawn for Pearson's coefficient, at least 2 (30 in the paper's table III).</summary>
    public int Draws { get; init; } = 30;

    /// <summary>Random pixels a draw (a million in the paper).</summary>
    public int DrawPixels { get; init; } = 1_000_000;

    /// <summary>The seed of the draws.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>The planes of a stack that are predicted from.</summary>
    internal int[] PlanesOf(int count) => AllPlanes ? [.. Enumerable.Range(0, count)] : [Plane ?? count / 2];

    /// <summary>The same in words.</summary>
    internal string PlanesInWords => AllPlanes ? "all, averaged" : Plane?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "the middle one";
}

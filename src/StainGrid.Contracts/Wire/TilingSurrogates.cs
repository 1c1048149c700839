using StainGrid.Tiling;

namespace StainGrid.Contracts;

// StainGrid.Tiling knows nothing of Orleans; these are its types as they travel.

/// <summary><see cref="ProbabilityMap"/> as it travels.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.probability-map")]
public struct ProbabilityMapSurrogate
{
    /// <summary>Number of the block.</summary>
    [Id(0)] public int Block { get; set; }

    /// <summary>Left, top, width and height of the extent.</summary>
    [Id(1)] public int[] Extent { get; set; }

    /// <summary>Summed weights.</summary>
    [Id(2)] public int[] Weights { get; set; }

    /// <summary>Summed values, one array a channel.</summary>
    [Id(3)] public int[][] Sums { get; set; }
}

/// <summary>Turns <see cref="ProbabilityMap"/> into what travels and back.</summary>
[RegisterConverter]
public sealed class ProbabilityMapConverter : IConverter<ProbabilityMap, ProbabilityMapSurrogate>
{
    /// <inheritdoc/>
    public ProbabilityMap ConvertFromSurrogate(in ProbabilityMapSurrogate surrogate) => new(
        surrogate.Block,
        new Region(surrogate.Extent[0], surrogate.Extent[1], surrogate.Extent[2], surrogate.Extent[3]),
        surrogate.Weights,
        surrogate.Sums);

    /// <inheritdoc/>
    public ProbabilityMapSurrogate ConvertToSurrogate(in ProbabilityMap value) => new()
    {
        Block = value.Block,
        Extent = [value.Extent.X, value.Extent.Y, value.Extent.Width, value.Extent.Height],
        Weights = value.Weights,
        Sums = value.Sums as int[][] ?? [.. value.Sums],
    };
}

/// <summary><see cref="StitchCheck"/> as it travels.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.stitch-check")]
public struct StitchCheckSurrogate
{
    /// <summary>Pixels, misweighted pixels, seam pairs, inner pairs.</summary>
    [Id(0)] public long[] Counts { get; set; }

    /// <summary>Seam step, inner step.</summary>
    [Id(1)] public double[] Steps { get; set; }
}

/// <summary>Turns <see cref="StitchCheck"/> into what travels and back.</summary>
[RegisterConverter]
public sealed class StitchCheckConverter : IConverter<StitchCheck, StitchCheckSurrogate>
{
    /// <inheritdoc/>
    public StitchCheck ConvertFromSurrogate(in StitchCheckSurrogate surrogate) => new(
        surrogate.Counts[0], surrogate.Counts[1], surrogate.Steps[0], surrogate.Counts[2], surrogate.Steps[1], surrogate.Counts[3]);

    /// <inheritdoc/>
    public StitchCheckSurrogate ConvertToSurrogate(in StitchCheck value) => new()
    {
        Counts = [value.Pixels, value.MisweightedPixels, value.SeamCount, value.InnerCount],
        Steps = [value.SeamStep, value.InnerStep],
    };
}

using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>What to predict of a slide, the same for all fields of a plate.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.settings")]
public sealed record StainSettings
{
    /// <summary>The model file: a path that the silos see, or the address of a blob.</summary>
    [Id(0)] public required string Model { get; init; }

    /// <summary>The labels to predict; empty for all that the model has.</summary>
    [Id(1)] public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>The plane to predict from, counted from 0; null for the middle one. Not looked at with
    /// <see cref="AllPlanes"/>.</summary>
    [Id(2)] public int? Plane { get; init; }

    /// <summary>Whether to average the distributions predicted from every plane.</summary>
    [Id(3)] public bool AllPlanes { get; init; }

    /// <summary>What to store of each label's distribution; one channel each.</summary>
    [Id(4)] public IReadOnlyList<Statistic> Statistics { get; init; } = [Statistic.Mean];

    /// <summary>Distance of neighbouring tiles, pixels.</summary>
    [Id(5)] public int Stride { get; init; } = TilingOptions.DefaultStride;

    /// <summary>How overlapping tiles are weighted.</summary>
    [Id(6)] public Blend Blend { get; init; } = TilingOptions.DefaultBlend;

    /// <summary>Tiles along each side of a block.</summary>
    [Id(7)] public int BlockSide { get; init; } = TilingOptions.DefaultBlockSide;

    /// <summary>Tiles that a device computes at once, 1 to 256. Part of what the result's bytes depend on.</summary>
    [Id(8)] public int BatchSize { get; init; } = 4;

    /// <summary>In which numbers the network is computed. Part of what the result's bytes depend on.</summary>
    [Id(9)] public Precision Precision { get; init; } = Precision.Auto;

    /// <summary>Whether this and <paramref name="other"/> ask for the same; a signature in the model's URL does not matter.</summary>
    public bool SameAs(StainSettings other) =>
        other is not null && this with { Model = other.Model, Labels = other.Labels, Statistics = other.Statistics } == other
        && Place(Model) == Place(other.Model) && Labels.SequenceEqual(other.Labels) && Statistics.SequenceEqual(other.Statistics);

    /// <summary>Without the signature that the model's URL may have: Orleans writes the arguments of a call into its messages.</summary>
    public override string ToString() => $"{nameof(StainSettings)} of {Place(Model)}";

    /// <summary>An address without the signature that a URL may have in its query, which is renewed now and then.</summary>
    internal static string Place(string address) => address.Contains("://", StringComparison.Ordinal) ? address.Split('?')[0] : address;
}

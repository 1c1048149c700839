using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>One plate to stain: where its images are, what to predict of each field, and where the result goes.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.plate-request")]
public sealed record PlateRequest
{
    /// <summary>The images: an OME-Zarr HCS plate, a folder of images, or a manifest (CSV, JSON); a path that the silos see, or an
    /// address in a blob store (azure://CONTAINER/PREFIX, https://..).</summary>
    [Id(0)] public required string Source { get; init; }

    /// <summary>How the names of a folder's images tell well, field and plane: a preset's name or a regular expression with
    /// named groups; null to try the presets.</summary>
    [Id(1)] public string? Pattern { get; init; }

    /// <summary>The model file: a path that the silos see, or the address of a blob.</summary>
    [Id(2)] public required string Model { get; init; }

    /// <summary>The blob store (a folder or a URI) whose root becomes the OME-Zarr HCS plate.</summary>
    [Id(3)] public required string Output { get; init; }

    /// <summary>The labels to predict; empty for all that the model has.</summary>
    [Id(4)] public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>The plane to predict from, counted from 0; null for the middle one. Not looked at with
    /// <see cref="AllPlanes"/>.</summary>
    [Id(5)] public int? Plane { get; init; }

    /// <summary>Whether to average the distributions predicted from every plane.</summary>
    [Id(6)] public bool AllPlanes { get; init; }

    /// <summary>What to store of each label's distribution; one channel each.</summary>
    [Id(7)] public IReadOnlyList<Statistic> Statistics { get; init; } = [Statistic.Mean];

    /// <summary>Distance of neighbouring tiles, pixels.</summary>
    [Id(8)] public int Stride { get; init; } = 64;

    /// <summary>How overlapping tiles are weighted.</summary>
    [Id(9)] public Blend Blend { get; init; } = Blend.Uniform;

    /// <summary>Tiles along each side of a block.</summary>
    [Id(10)] public int BlockSide { get; init; } = 8;

    /// <summary>The plate's share of the devices against others', 1 to 100: a plate of weight 2 gets twice the blocks of one
    /// of weight 1 while both have work.</summary>
    [Id(11)] public int Weight { get; init; } = 1;

    /// <summary>Tiles that a device computes at once, 1 to 256. Part of what the result's bytes depend on.</summary>
    [Id(12)] public int BatchSize { get; init; } = 4;

    /// <summary>Whether this and <paramref name="other"/> ask for the same; signatures of URLs do not matter, since they are renewed.</summary>
    public bool SameAs(PlateRequest other) =>
        other is not null && this with { Source = other.Source, Model = other.Model, Output = other.Output, Labels = other.Labels, Statistics = other.Statistics } == other
        && Place(Source) == Place(other.Source) && Place(Model) == Place(other.Model) && Place(Output) == Place(other.Output)
        && Labels.SequenceEqual(other.Labels) && Statistics.SequenceEqual(other.Statistics);

    private static string Place(string address) => address.Contains("://", StringComparison.Ordinal) ? address.Split('?')[0] : address;
}

using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>One slide to stain: where it is, what to predict of it, and where the result goes.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.slide-request")]
public sealed record SlideRequest
{
    /// <summary>The image: one file with all planes, or one file a plane in the planes' order. Paths that the silos
    /// see, or addresses of blobs (azure://CONTAINER/KEY, https://..).</summary>
    [Id(0)] public required IReadOnlyList<string> Files { get; init; }

    /// <summary>The model file: a path that the silos see, or the address of a blob.</summary>
    [Id(1)] public required string Model { get; init; }

    /// <summary>The blob store (a folder or a URI) whose root becomes the OME-Zarr image.</summary>
    [Id(2)] public required string Output { get; init; }

    /// <summary>The labels to predict; empty for all that the model has.</summary>
    [Id(3)] public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>The plane to predict from, counted from 0; null for the middle one. Not looked at with
    /// <see cref="AllPlanes"/>.</summary>
    [Id(4)] public int? Plane { get; init; }

    /// <summary>Whether to average the distributions predicted from every plane.</summary>
    [Id(5)] public bool AllPlanes { get; init; }

    /// <summary>What to store of each label's distribution; one channel each.</summary>
    [Id(6)] public IReadOnlyList<Statistic> Statistics { get; init; } = [Statistic.Mean];

    /// <summary>Distance of neighbouring tiles, pixels.</summary>
    [Id(7)] public int Stride { get; init; } = 64;

    /// <summary>How overlapping tiles are weighted.</summary>
    [Id(8)] public Blend Blend { get; init; } = Blend.Uniform;

    /// <summary>Tiles along each side of a block.</summary>
    [Id(9)] public int BlockSide { get; init; } = 8;

    /// <summary>Whether a complete image of ours at <see cref="Output"/> may be replaced. One that is incomplete goes on where it
    /// stopped if it is of the same plan, and is replaced otherwise.</summary>
    [Id(10)] public bool Overwrite { get; init; }

    /// <summary>Whether a complete image of the same plan at <see cref="Output"/> is this slide, done already.</summary>
    [Id(11)] public bool KeepComplete { get; init; }

    /// <summary>Tiles that a device computes at once, 1 to 256. Part of what the result's bytes depend on.</summary>
    [Id(12)] public int BatchSize { get; init; } = 4;

    /// <summary>The plate that the slide is a field of; null for a slide alone.</summary>
    [Id(13)] public string? PlateId { get; init; }

    /// <summary>SHA-256 that the model file must have; null for any.</summary>
    [Id(15)] public string? ModelSha256 { get; init; }

    /// <summary>The plate's share of the devices against others', 1 to 100.</summary>
    [Id(14)] public int Weight { get; init; } = 1;
}

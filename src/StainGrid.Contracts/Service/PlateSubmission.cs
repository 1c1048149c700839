using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>A plate that a caller of the service asks for, in names that the service knows.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.plate-submission")]
public sealed record PlateSubmission
{
    /// <summary>The images: "upload:ID" or "upload:ID/FOLDER" of what was uploaded, or "share:NAME/PATH" in a store that the operator shares. An OME-Zarr HCS
    /// plate, a folder of images, or a manifest (CSV, JSON).</summary>
    [Id(0)] public required string Source { get; init; }

    /// <summary>What people call it, at most 200 characters; null for the source's last part.</summary>
    [Id(1)] public string? Name { get; init; }

    /// <summary>How the names of a folder's images tell well, field and plane: a preset's name (isl, phenix, imagexpress, cv8000) or a regular expression with named
    /// groups; null to try the presets.</summary>
    [Id(2)] public string? Pattern { get; init; }

    /// <summary>The model's name, or NAME@HASH for another of its versions than the one that the name means now; null for the service's default.</summary>
    [Id(3)] public string? Model { get; init; }

    /// <summary>The labels to predict; empty for all that the model has.</summary>
    [Id(4)] public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary>The plane to predict from, counted from 0; null for the middle one.</summary>
    [Id(5)] public int? Plane { get; init; }

    /// <summary>Whether to average the distributions predicted from every plane.</summary>
    [Id(6)] public bool AllPlanes { get; init; }

    /// <summary>What to store of each label's distribution; one channel each.</summary>
    [Id(7)] public IReadOnlyList<Statistic> Statistics { get; init; } = [Statistic.Mean];

    /// <summary>Distance of neighbouring tiles, pixels, 16 to 128.</summary>
    [Id(8)] public int Stride { get; init; } = TilingOptions.DefaultStride;

    /// <summary>How overlapping tiles are weighted.</summary>
    [Id(9)] public Blend Blend { get; init; } = TilingOptions.DefaultBlend;

    /// <summary>In which numbers the network is computed.</summary>
    [Id(10)] public Precision Precision { get; init; } = Precision.Auto;

    /// <summary>The plate's share of the devices against others', 1 to 100.</summary>
    [Id(11)] public int Weight { get; init; } = 1;
}

/// <summary>A model that the service has.</summary>
/// <param name="Name">Its name, for <see cref="PlateSubmission.Model"/>.</param>
/// <param name="Labels">The labels that it predicts.</param>
/// <param name="Variant">The form of its network: residual or paper.</param>
/// <param name="Licence">The licence of its weights, by SPDX name.</param>
/// <param name="Sha256">SHA-256 of its file.</param>
/// <param name="IsDefault">Whether it is taken where none is named.</param>
[GenerateSerializer, Immutable, Alias("staingrid.model-summary")]
public sealed record ModelSummary(
    [property: Id(0)] string Name,
    [property: Id(1)] IReadOnlyList<string> Labels,
    [property: Id(2)] string Variant,
    [property: Id(3)] string Licence,
    [property: Id(4)] string Sha256,
    [property: Id(5)] bool IsDefault);

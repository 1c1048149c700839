namespace StainGrid.Contracts;

/// <summary>One slide to stain: where it is, what to predict of it, and where the result goes.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.slide-request")]
public sealed record SlideRequest
{
    /// <summary>The image: one file with all planes, or one file a plane in the planes' order. Paths that the silos
    /// see, or addresses of blobs (azure://CONTAINER/KEY, https://..).</summary>
    [Id(0)] public required IReadOnlyList<string> Files { get; init; }

    /// <summary>What to predict.</summary>
    [Id(1)] public required StainSettings Settings { get; init; }

    /// <summary>The blob store (a folder or a URI) whose root becomes the OME-Zarr image.</summary>
    [Id(2)] public required string Output { get; init; }

    /// <summary>Whether a complete image of ours at <see cref="Output"/> may be replaced. One that is incomplete goes on where it
    /// stopped if it is of the same plan, and is replaced otherwise.</summary>
    [Id(3)] public bool Overwrite { get; init; }

    /// <summary>Whether a complete image of the same plan at <see cref="Output"/> is this slide, done already.</summary>
    [Id(4)] public bool KeepComplete { get; init; }

    /// <summary>The plate that the slide is a field of; null for a slide alone.</summary>
    [Id(5)] public string? PlateId { get; init; }

    /// <summary>The plate's share of the devices against others', 1 to 100.</summary>
    [Id(6)] public int Weight { get; init; } = 1;

    /// <summary>SHA-256 that the model file must have; null for any.</summary>
    [Id(7)] public string? ModelSha256 { get; init; }

    /// <summary>The trace that the slide's work belongs to, as a W3C traceparent; null where nobody traces it.</summary>
    [Id(8)] public string? TraceParent { get; init; }

    /// <summary>When the plate was submitted: one of the same id that was deleted was another, and what is left of its slides is not this plate's. Null for a slide
    /// alone, and from silos that do not tell.</summary>
    [Id(9)] public DateTimeOffset? PlateSubmitted { get; init; }

    /// <summary>Whether this and <paramref name="other"/> ask for the same; signatures of URLs do not matter, since they are renewed, nor does who traces it.</summary>
    public bool SameAs(SlideRequest other) =>
        other is not null && this with { Files = other.Files, Output = other.Output, Settings = other.Settings, TraceParent = other.TraceParent, PlateSubmitted = other.PlateSubmitted } == other
        && (PlateSubmitted is null || other.PlateSubmitted is null || PlateSubmitted == other.PlateSubmitted)
        && Files.Select(StainSettings.Place).SequenceEqual(other.Files.Select(StainSettings.Place))
        && StainSettings.Place(Output) == StainSettings.Place(other.Output) && Settings.SameAs(other.Settings);

    /// <summary>Without the signatures that URLs may have: Orleans writes the arguments of a call into its messages.</summary>
    public override string ToString() => $"{nameof(SlideRequest)} of {Files.Count} files to {StainSettings.Place(Output)}";
}

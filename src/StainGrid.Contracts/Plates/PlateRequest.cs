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

    /// <summary>What to predict of each field.</summary>
    [Id(2)] public required StainSettings Settings { get; init; }

    /// <summary>The blob store (a folder or a URI) whose root becomes the OME-Zarr HCS plate.</summary>
    [Id(3)] public required string Output { get; init; }

    /// <summary>The plate's share of the devices against others', 1 to 100: a plate of weight 2 gets twice the blocks of one
    /// of weight 1 while both have work.</summary>
    [Id(4)] public int Weight { get; init; } = 1;

    /// <summary>What people call it; null for its id.</summary>
    [Id(5)] public string? Name { get; init; }

    /// <summary>What its submitter calls <see cref="Source"/>, and is told in its place: places of the cluster are not its matter. Null where that is the source itself.</summary>
    [Id(6)] public string? SourceName { get; init; }

    /// <summary>What its submitter calls the model of <see cref="Settings"/>, as "neuron" or "neuron@HASH" of a registry's: the plate keeps the version that the name meant
    /// when it was submitted. Null where it is given by its place.</summary>
    [Id(7)] public string? ModelName { get; init; }

    /// <summary>A text for the submitter: with what it calls the source, the model and the result.</summary>
    public string Tell(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (SourceName is null)
            return text;
        foreach (var (place, name) in (ReadOnlySpan<(string, string)>)
            [
                (Output, "the result"), (Source, SourceName), (Parent(Source), Parent(SourceName)), (Settings.Model, ModelName ?? Path.GetFileName(StainSettings.Place(Settings.Model))),
            ])
            text = text.Replace(Uri.UnescapeDataString(StainSettings.Place(place)), name, StringComparison.Ordinal).Replace(StainSettings.Place(place), name, StringComparison.Ordinal);
        return text;

        static string Parent(string place) => place.LastIndexOf('/') is > 0 and var end ? place[..end] : place;   // of a manifest: what its files are below
    }

    /// <summary>Whether this and <paramref name="other"/> ask for the same; signatures of URLs do not matter, since they are renewed.</summary>
    public bool SameAs(PlateRequest other) =>
        other is not null && this with { Source = other.Source, Output = other.Output, Settings = other.Settings } == other
        && StainSettings.Place(Source) == StainSettings.Place(other.Source) && StainSettings.Place(Output) == StainSettings.Place(other.Output)
        && Settings.SameAs(other.Settings);

    /// <summary>Without the signatures that URLs may have: Orleans writes the arguments of a call into its messages.</summary>
    public override string ToString() => $"{nameof(PlateRequest)} of {StainSettings.Place(Source)} to {StainSettings.Place(Output)}";
}

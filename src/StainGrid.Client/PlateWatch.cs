using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>What one watcher of a plate has seen. What servers tell again after a loss or a new connection goes no further.</summary>
/// <param name="after">The version of the last change that its caller has seen; -1 for none.</param>
internal sealed class PlateWatch(long after)
{
    private readonly Dictionary<string, FieldStatus> fields = [];

    /// <summary>The version to ask for the changes after.</summary>
    public long Version { get; private set; } = after;

    /// <summary>Whether the final status has been told.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>What is new of a change; null where nothing is.</summary>
    public PlateChange? Next(PlateChange change)
    {
        var status = change.Status;

        // A lower version is news: a grain that lives again elsewhere counts from that machine's clock.
        if (HasEnded || (status.Version == Version && !status.IsFinal))
            return null;
        (Version, HasEnded) = (status.Version, status.IsFinal);
        var news = change.Fields.Where(field => fields.GetValueOrDefault(field.Path) != field).ToArray();
        foreach (var field in news)
            fields[field.Path] = field;
        return new PlateChange(status, news);
    }
}

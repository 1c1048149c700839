namespace StainGrid.Grains;

/// <summary>How long a service keeps things.</summary>
public sealed record RetentionOptions
{
    /// <summary>The folder of the audit log in the store of the service's state; in it is one a day.</summary>
    public const string AuditFolder = "service/audit";

    /// <summary>Plates and their results, from the plate's end; null for ever. Of plates that were submitted past the service only the record goes.</summary>
    public TimeSpan? Results { get; init; }

    /// <summary>Uploads, from their last file or the last plate that was made from them, whichever is later; null for ever.</summary>
    public TimeSpan? Uploads { get; init; } = TimeSpan.FromDays(30);

    /// <summary>The audit log, by days; null for ever.</summary>
    public TimeSpan? Audit { get; init; }
}

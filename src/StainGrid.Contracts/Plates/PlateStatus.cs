namespace StainGrid.Contracts;

/// <summary>Where a plate is on its way. The last four are final until fields are retried.</summary>
public enum PlateState
{
    /// <summary>Nothing was submitted under this id.</summary>
    New,

    /// <summary>Fields are stained.</summary>
    Running,

    /// <summary>Every field is complete.</summary>
    Complete,

    /// <summary>Every field has ended, some of them failed.</summary>
    CompleteWithFailures,

    /// <summary>The plate could not be started, or no field succeeded.</summary>
    Failed,

    /// <summary>It was cancelled; fields that were complete stay.</summary>
    Cancelled,
}

/// <summary>Where a field is on its way.</summary>
public enum FieldState
{
    /// <summary>It waits for its turn.</summary>
    Pending,

    /// <summary>It is stained.</summary>
    Running,

    /// <summary>Its image is complete.</summary>
    Complete,

    /// <summary>It ended with a reason.</summary>
    Failed,

    /// <summary>The plate was cancelled before it was complete.</summary>
    Cancelled,
}

/// <summary>How far a plate is.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.plate-status")]
public sealed record PlateStatus
{
    /// <summary>The plate's id.</summary>
    [Id(0)] public required string PlateId { get; init; }

    /// <summary>Where it is on its way.</summary>
    [Id(1)] public PlateState State { get; init; }

    /// <summary>Rises with every change, also when the plate's grain is lost and lives elsewhere.</summary>
    [Id(2)] public long Version { get; init; }

    /// <summary>Wells that have a field.</summary>
    [Id(3)] public int Wells { get; init; }

    /// <summary>Fields in all.</summary>
    [Id(4)] public int Fields { get; init; }

    /// <summary>Fields that are complete.</summary>
    [Id(5)] public int FieldsComplete { get; init; }

    /// <summary>Fields that failed.</summary>
    [Id(6)] public int FieldsFailed { get; init; }

    /// <summary>Fields that are being stained.</summary>
    [Id(7)] public int FieldsRunning { get; init; }

    /// <summary>Tiles predicted since the plate's grain lives.</summary>
    [Id(8)] public long TilesDone { get; init; }

    /// <summary>Blocks computed again after an error or a loss.</summary>
    [Id(9)] public int BlocksRetried { get; init; }

    /// <summary>Device time spent on blocks whose result was lost or an error, seconds.</summary>
    [Id(10)] public double SecondsWasted { get; init; }

    /// <summary>Why nothing moves although there is work, as "no silo with a device is in the cluster"; else null.</summary>
    [Id(11)] public string? Waiting { get; init; }

    /// <summary>Why the plate failed as a whole, in one line; else null.</summary>
    [Id(12)] public string? Error { get; init; }

    /// <summary>When it was submitted.</summary>
    [Id(13)] public DateTimeOffset Submitted { get; init; }

    /// <summary>Raised by each retry that a person asked for.</summary>
    [Id(14)] public int Generation { get; init; }

    /// <summary>What people call it; null for its id.</summary>
    [Id(15)] public string? Name { get; init; }

    /// <summary>Whether nothing more happens by itself.</summary>
    public bool IsFinal => State is PlateState.Complete or PlateState.CompleteWithFailures or PlateState.Failed or PlateState.Cancelled;
}

/// <summary>How far a field is.</summary>
/// <param name="Well">Row letters and column number, as "B07".</param>
/// <param name="Field">The field's number in the well, from 0.</param>
/// <param name="Path">The image's path in the output, as "B/7/0".</param>
/// <param name="State">Where it is on its way.</param>
/// <param name="Reason">Why it failed, in one line; else null.</param>
/// <param name="TilesDone">Tiles predicted, while it runs.</param>
/// <param name="TilesTotal">Tiles to predict, once that is known.</param>
[GenerateSerializer, Immutable, Alias("staingrid.field-status")]
public sealed record FieldStatus(
    [property: Id(0)] string Well,
    [property: Id(1)] int Field,
    [property: Id(2)] string Path,
    [property: Id(3)] FieldState State,
    [property: Id(4)] string? Reason,
    [property: Id(5)] long TilesDone,
    [property: Id(6)] long TilesTotal);

/// <summary>What a field is stained from.</summary>
/// <param name="Files">Its image: one file with all planes, or one file a plane.</param>
/// <param name="Plane">The plane that is predicted from, counted from 0; null for the middle one.</param>
[GenerateSerializer, Immutable, Alias("staingrid.field-input")]
public sealed record FieldInput([property: Id(0)] IReadOnlyList<string> Files, [property: Id(1)] int? Plane);

/// <summary>A plate in a list.</summary>
/// <param name="PlateId">Its id.</param>
/// <param name="Source">Where its images are.</param>
/// <param name="Output">Where its result goes.</param>
/// <param name="Submitted">When it was submitted.</param>
/// <param name="State">Where it is on its way: running, or how it ended.</param>
/// <param name="Name">What people call it; null for its id.</param>
[GenerateSerializer, Immutable, Alias("staingrid.plate-summary")]
public sealed record PlateSummary(
    [property: Id(0)] string PlateId,
    [property: Id(1)] string Source,
    [property: Id(2)] string Output,
    [property: Id(3)] DateTimeOffset Submitted,
    [property: Id(4)] PlateState State,
    [property: Id(5)] string? Name = null)
{
    /// <summary>When it ended; null while it runs, and for one that ended before this was noted.</summary>
    [Id(6)] public DateTimeOffset? Ended { get; init; }
}

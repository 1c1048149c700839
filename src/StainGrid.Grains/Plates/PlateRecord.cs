using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>What is durable of a plate and changes while it runs; small, since it is written often.</summary>
public sealed class PlateRecord
{
    /// <summary>What was asked for; null for an id that was not used.</summary>
    public PlateRequest? Request { get; set; }

    /// <summary>Which images the plate had when it was submitted.</summary>
    public string ContentHash { get; set; } = "";

    /// <summary>SHA-256 of the model it was submitted with.</summary>
    public string ModelSha256 { get; set; } = "";

    /// <summary>In which numbers all of its fields are computed.</summary>
    public Precision Precision { get; set; }

    /// <summary>When that was.</summary>
    public DateTimeOffset Submitted { get; set; }

    /// <summary>Which plate of this id it is: what other grains still hold of one that was deleted is not this one's. Empty where nothing is held.</summary>
    public string Incarnation { get; set; } = "";

    /// <summary>When it came to be checked, before that.</summary>
    public DateTimeOffset Received { get; set; }

    /// <summary>The span of its submission, as a W3C traceparent; null where nobody traced it.</summary>
    public string? TraceParent { get; set; }

    /// <summary>When it ended last; null while it runs, and for one that ended before this was noted.</summary>
    public DateTimeOffset? Ended { get; set; }

    /// <summary>What goes with the plate, once it is being deleted; null for one that stays.</summary>
    public PlateDeletion? Deletion { get; set; }

    /// <summary>Where the plate is on its way.</summary>
    public PlateState State { get; set; }

    /// <summary>Why it failed as a whole.</summary>
    public string? Error { get; set; }

    /// <summary>Where its fields are on theirs, in the order of the layout.</summary>
    public FieldState[] Fields { get; set; } = [];

    /// <summary>Why fields failed, by their index.</summary>
    public Dictionary<int, string> Reasons { get; set; } = [];

    /// <summary>How often a field failed or was lost, by its index.</summary>
    public Dictionary<int, FieldTrials> Trials { get; set; } = [];

    /// <summary>Raised by each retry that a person asked for.</summary>
    public int Generation { get; set; }

    /// <summary>Fields that the last of them took up again.</summary>
    public int Retried { get; set; }

    /// <summary>Blocks computed again.</summary>
    public int BlocksRetried { get; set; }

    /// <summary>Device time spent in vain, seconds.</summary>
    public double SecondsWasted { get; set; }
}

/// <summary>How often a field failed or was lost.</summary>
/// <param name="Failures">It ended with an error, which names the field.</param>
/// <param name="Losses">Its silo was lost while other fields ran there too: it may be innocent.</param>
/// <param name="LossesAlone">Its silo was lost while no other field of the plate ran.</param>
public sealed record FieldTrials(int Failures, int Losses, int LossesAlone)
{
    /// <summary>At so many failures, or losses alone, a field is given up.</summary>
    public const int Most = 3;

    /// <summary>At so many losses in company a field is suspected to bring its silo down, and runs alone from then on.</summary>
    public const int SuspectLosses = 2;

    /// <summary>Whether the field runs alone.</summary>
    public bool IsSuspect => Losses >= SuspectLosses;
}

/// <summary>What is durable of a plate and never changes: its fields and their files.</summary>
public sealed class LayoutRecord
{
    /// <summary>The layout, as JSON.</summary>
    public PlateLayout? Layout { get; set; }
}

using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>Where a slide is on its way. The last three are final.</summary>
public enum SlideState
{
    /// <summary>Nothing was asked of this slide yet.</summary>
    New,

    /// <summary>The image and the model are checked, intensities measured.</summary>
    Preparing,

    /// <summary>Tiles are predicted and merged.</summary>
    Running,

    /// <summary>All pixels are written; the pyramid and the metadata are.</summary>
    Finishing,

    /// <summary>The output is complete.</summary>
    Complete,

    /// <summary>It ended with an error; the output is marked incomplete.</summary>
    Failed,

    /// <summary>It was cancelled; the output is marked incomplete.</summary>
    Cancelled,
}

/// <summary>How far a slide is.</summary>
/// <param name="State">Where it is on its way.</param>
/// <param name="Version">Rises with every change.</param>
/// <param name="TilesDone">Tiles predicted; a tile counts once for each plane. May count a tile again that was retried.</param>
/// <param name="TilesTotal">Tiles to predict, without those that an earlier run did; 0 until that is known.</param>
/// <param name="ChunksDone">Output chunks written.</param>
/// <param name="ChunksTotal">Output chunks to write.</param>
/// <param name="Error">Why it failed, in one line: what, where, what to do; else null.</param>
/// <param name="Report">The output's check of itself, once it is complete; else null.</param>
/// <param name="Quarantined">Whether it failed by a block that was tried alone, so that another try is not worth a silo.</param>
/// <param name="ErrorType">Of which kind the error is: input, model, store, quarantined or internal; else null.</param>
[GenerateSerializer, Immutable, Alias("staingrid.slide-status")]
public sealed record SlideStatus(
    [property: Id(0)] SlideState State,
    [property: Id(1)] long Version,
    [property: Id(2)] long TilesDone,
    [property: Id(3)] long TilesTotal,
    [property: Id(4)] long ChunksDone,
    [property: Id(5)] long ChunksTotal,
    [property: Id(6)] string? Error,
    [property: Id(7)] SlideReport? Report,
    [property: Id(8)] bool Quarantined = false,
    [property: Id(9)] string? ErrorType = null)
{
    /// <summary>Whether nothing more will happen.</summary>
    public bool IsFinal => State is SlideState.Complete or SlideState.Failed or SlideState.Cancelled;
}

/// <summary>An output's check of itself.</summary>
/// <param name="Check">Pixels covered, weights, steps across block edges.</param>
/// <param name="BlocksRetried">Blocks that were computed again after an error or a loss.</param>
/// <param name="SecondsWasted">Device time spent in vain on these, seconds.</param>
[GenerateSerializer, Immutable, Alias("staingrid.slide-report")]
public sealed record SlideReport([property: Id(0)] StitchCheck Check, [property: Id(1)] int BlocksRetried, [property: Id(2)] double SecondsWasted);

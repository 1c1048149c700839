using Orleans.Concurrency;
using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>Merges maps into the chunks of one band of a slide and commits each as soon as it is complete. The key is
/// "band@slide".</summary>
[Alias("staingrid.stitcher")]
public interface IStitcherGrain : IGrainWithStringKey
{
    /// <summary>Takes a block's part in the band; returns when the chunks that it completes are durable. The same part again
    /// changes nothing.</summary>
    /// <returns>Who holds the part now: lost with it, the part has to be computed again.</returns>
    /// <exception cref="StaleSlideException">The slide was started again since.</exception>
    [Alias("add"), ResponseTimeout("00:05:00")]
    Task<Guid> AddAsync(SlideJob job, ProbabilityMap part);

    /// <summary>What the stitcher holds.</summary>
    [Alias("status"), AlwaysInterleave]
    Task<StitcherStatus> GetStatusAsync();

    /// <summary>Forgets what is held of a slide that has ended.</summary>
    [Alias("drop")]
    Task DropAsync();

    /// <summary>The key of the stitcher of a band.</summary>
    static string Key(string slideId, int band) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{band}@{slideId}");
}

/// <summary>What a stitcher holds.</summary>
/// <param name="Incarnation">Another one after the stitcher was lost with the parts that it held.</param>
/// <param name="PlanHash">The plan that it works for; null where it holds nothing.</param>
/// <param name="Committed">The chunks of its band that it knows to be durable.</param>
[GenerateSerializer, Immutable, Alias("staingrid.stitcher-status")]
public sealed record StitcherStatus([property: Id(0)] Guid Incarnation, [property: Id(1)] string? PlanHash, [property: Id(2)] IReadOnlyList<CommittedChunk> Committed);

/// <summary>A chunk that is durable.</summary>
/// <param name="Row">Its row, which is its band.</param>
/// <param name="Column">Its column.</param>
/// <param name="Check">What was checked while merging.</param>
[GenerateSerializer, Immutable, Alias("staingrid.committed-chunk")]
public sealed record CommittedChunk([property: Id(0)] int Row, [property: Id(1)] int Column, [property: Id(2)] StitchCheck Check);

/// <summary>Work for a start of a slide that a later one has replaced. Nothing is wrong with it; it is not needed any more.</summary>
[GenerateSerializer, Alias("staingrid.stale-slide")]
public sealed class StaleSlideException : Exception
{
    /// <summary>An exception without a message.</summary>
    public StaleSlideException()
    {
    }

    /// <summary>An exception with its one line.</summary>
    public StaleSlideException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with its one line and its cause.</summary>
    public StaleSlideException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

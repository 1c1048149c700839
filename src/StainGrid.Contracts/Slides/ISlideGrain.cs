using Orleans.Concurrency;

namespace StainGrid.Contracts;

/// <summary>One slide on its way from submission to a complete image. The key is the slide's id, made by the submitter. What is
/// durable of it is its output: a slide whose grain was lost is started again and goes on there.</summary>
[Alias("staingrid.slide")]
public interface ISlideGrain : IGrainWithStringKey
{
    /// <summary>Starts the slide and returns; the work goes on. The same request again changes nothing.</summary>
    /// <exception cref="InvalidOperationException">The slide was started with another request.</exception>
    [Alias("start")]
    Task StartAsync(SlideRequest request);

    /// <summary>The status, as soon as its version is another than <paramref name="version"/> or after <paramref name="wait"/>.</summary>
    [Alias("status"), AlwaysInterleave]
    Task<SlideStatus> GetStatusAsync(long version = -1, TimeSpan wait = default);

    /// <summary>Stops the slide. What was written stays, marked incomplete. Does nothing once the status is final.</summary>
    [Alias("cancel"), AlwaysInterleave]
    Task CancelAsync();

    /// <summary>From a tile grain: tiles were predicted.</summary>
    [Alias("tiles"), AlwaysInterleave, OneWay]
    Task ReportTilesAsync(int tiles);

    /// <summary>From a tile grain: a block's map is with its stitchers.</summary>
    /// <param name="epoch">The start of the slide that the block was leased for.</param>
    /// <param name="block">The block.</param>
    /// <param name="receipts">For each band that the block lies in, which incarnation of its stitcher holds it.</param>
    [Alias("delivered"), AlwaysInterleave]
    Task ReportDeliveryAsync(long epoch, int block, IReadOnlyDictionary<int, Guid> receipts);

    /// <summary>From a stitcher: a chunk of this plan is durable.</summary>
    [Alias("chunk"), AlwaysInterleave, OneWay]
    Task ReportChunkAsync(string planHash, CommittedChunk chunk);

    /// <summary>From the dispatcher: blocks are to be computed again.</summary>
    /// <param name="blocks">How many.</param>
    /// <param name="seconds">Device time that was spent on them in vain.</param>
    [Alias("retry"), AlwaysInterleave, OneWay]
    Task ReportRetryAsync(int blocks, double seconds);

    /// <summary>From the dispatcher or a tile grain: a block cannot be computed.</summary>
    /// <param name="epoch">The start of the slide that this is of.</param>
    /// <param name="error">Why, in one line.</param>
    /// <param name="quarantined">Whether the block was tried alone as often as any is.</param>
    [Alias("fail"), AlwaysInterleave]
    Task FailAsync(long epoch, string error, bool quarantined);
}

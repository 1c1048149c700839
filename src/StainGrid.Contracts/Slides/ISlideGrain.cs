using Orleans.Concurrency;
using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>One slide on its way from submission to a complete image. The key is the slide's id, made by the submitter.</summary>
[Alias("staingrid.slide")]
public interface ISlideGrain : IGrainWithStringKey
{
    /// <summary>Starts the slide and returns; the work goes on. The same request again changes nothing.</summary>
    /// <exception cref="InvalidOperationException">The slide was started with another request.</exception>
    [Alias("start")]
    Task StartAsync(SlideRequest request);

    /// <summary>The status, as soon as it is newer than <paramref name="version"/> or after <paramref name="wait"/>.</summary>
    [Alias("status"), AlwaysInterleave]
    Task<SlideStatus> GetStatusAsync(long version = -1, TimeSpan wait = default);

    /// <summary>Stops the slide. What was written stays, marked incomplete. Does nothing once the status is final.</summary>
    [Alias("cancel"), AlwaysInterleave]
    Task CancelAsync();

    /// <summary>From a tile grain: tiles were predicted.</summary>
    [Alias("tiles"), AlwaysInterleave, OneWay]
    Task ReportTilesAsync(int tiles);

    /// <summary>From a stitcher: chunks are durable.</summary>
    [Alias("chunks"), AlwaysInterleave]
    Task ReportChunksAsync(int chunks, StitchCheck check);

    /// <summary>From the dispatcher: a block is to be computed again.</summary>
    [Alias("retry"), AlwaysInterleave, OneWay]
    Task ReportRetryAsync();

    /// <summary>From the dispatcher: a block cannot be computed.</summary>
    [Alias("fail"), AlwaysInterleave]
    Task FailAsync(string error);
}

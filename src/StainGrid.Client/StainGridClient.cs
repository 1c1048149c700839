using System.Runtime.CompilerServices;
using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>Submits slides to a cluster, watches and cancels them.</summary>
/// <param name="grains">A connected Orleans client, or a silo's own grain factory.</param>
public sealed class StainGridClient(IGrainFactory grains)
{
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(10);

    /// <summary>Submits a slide.</summary>
    /// <param name="request">What to stain and how.</param>
    /// <param name="slideId">The slide's id; a new one where null. The same id and request again is the same slide.</param>
    /// <returns>The slide's id.</returns>
    /// <exception cref="InvalidOperationException">The id was used with another request.</exception>
    public async Task<string> SubmitAsync(SlideRequest request, string? slideId = null)
    {
        slideId ??= Guid.NewGuid().ToString("n");
        await grains.GetGrain<ISlideGrain>(slideId).StartAsync(request);
        return slideId;
    }

    /// <summary>The slide's status now and whenever it changes, the final one last.</summary>
    /// <param name="slideId">The slide's id.</param>
    /// <param name="cancellationToken">Stops watching; the slide goes on.</param>
    public async IAsyncEnumerable<SlideStatus> WatchAsync(string slideId, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var slide = grains.GetGrain<ISlideGrain>(slideId);
        for (var status = await slide.GetStatusAsync(); ; status = await slide.GetStatusAsync(status.Version, LongPoll).WaitAsync(cancellationToken))
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return status;
            if (status.IsFinal)
                yield break;
        }
    }

    /// <summary>Cancels a slide; what was written stays, marked incomplete.</summary>
    /// <param name="slideId">The slide's id.</param>
    public Task CancelAsync(string slideId) => grains.GetGrain<ISlideGrain>(slideId).CancelAsync();
}

using System.Runtime.CompilerServices;
using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>Submits slides and plates to a cluster, watches and cancels them.</summary>
/// <param name="grains">A connected Orleans client, or a silo's own grain factory.</param>
public sealed class GrainClient(IGrainFactory grains)
{
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    internal static readonly TimeSpan LongestSubmission = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan LongestCancel = TimeSpan.FromMinutes(1);   // a slide waits for what is being written
    private static readonly TimeSpan GiveUp = TimeSpan.FromMinutes(2);

    /// <summary>Submits a slide.</summary>
    /// <param name="request">What to stain and how.</param>
    /// <param name="slideId">The slide's id; a new one where null. The same id and request again is the same slide.</param>
    /// <returns>The slide's id.</returns>
    /// <exception cref="InvalidOperationException">The id was used with another request.</exception>
    public async Task<string> SubmitAsync(SlideRequest request, string? slideId = null)
    {
        slideId ??= Guid.NewGuid().ToString("n");
        await AskAsync(() => grains.GetGrain<ISlideGrain>(slideId).StartAsync(request), LongestSubmission, CancellationToken.None);
        return slideId;
    }

    /// <summary>The slide's status now and whenever it changes, the final one last.</summary>
    /// <param name="slideId">The slide's id.</param>
    /// <param name="cancellationToken">Stops watching; the slide goes on.</param>
    /// <exception cref="InvalidOperationException">There is no such slide, or it was lost with its silo.</exception>
    public async IAsyncEnumerable<SlideStatus> WatchAsync(string slideId, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        long version = -1;
        while (true)
        {
            var status = await AskAsync(() => grains.GetGrain<ISlideGrain>(slideId).GetStatusAsync(version, LongPoll), null, cancellationToken);
            if (status.State == SlideState.New)
                throw new InvalidOperationException($"There is no slide {slideId}, or it was lost with its silo. Submit it again: it goes on where it was.");
            yield return status;
            if (status.IsFinal)
                yield break;
            version = status.Version;
        }
    }

    /// <summary>Cancels a slide; what was written stays, marked incomplete.</summary>
    /// <param name="slideId">The slide's id.</param>
    public Task CancelAsync(string slideId) => AskAsync(() => grains.GetGrain<ISlideGrain>(slideId).CancelAsync(), LongestCancel, CancellationToken.None);

    /// <summary>Submits a plate; what was asked is durable when this returns. The same id and request again is the same plate.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="request">What to stain and how.</param>
    /// <exception cref="PlateException">The request cannot be done, or the id was used with another.</exception>
    /// <param name="cancellationToken">Stops waiting; the plate may be submitted all the same.</param>
    public Task SubmitPlateAsync(string plateId, PlateRequest request, CancellationToken cancellationToken = default) =>
        AskAsync(() => Plate(plateId).SubmitAsync(request), LongestSubmission, cancellationToken);

    /// <summary>The plate's status now.</summary>
    public Task<PlateStatus> GetPlateAsync(string plateId, CancellationToken cancellationToken = default) =>
        AskAsync(() => Plate(plateId).GetStatusAsync(), null, cancellationToken);

    /// <summary>The plate's status now and whenever it changes, the final one last. Silos may come and go meanwhile.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="cancellationToken">Stops watching; the plate goes on.</param>
    public async IAsyncEnumerable<PlateStatus> WatchPlateAsync(string plateId, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        long version = -1;
        while (true)
        {
            var status = await AskAsync(() => Plate(plateId).GetStatusAsync(version, LongPoll), null, cancellationToken);
            yield return status;
            if (status.IsFinal || status.State == PlateState.New)
                yield break;
            version = status.Version;
        }
    }

    /// <summary>The plate's fields.</summary>
    public Task<IReadOnlyList<FieldStatus>> GetFieldsAsync(string plateId, CancellationToken cancellationToken = default) =>
        AskAsync(() => Plate(plateId).GetFieldsAsync(), null, cancellationToken);

    /// <summary>The plate's status and the fields that changed since a version, as soon as there is a change or after some seconds.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="after">The version that was seen; -1 for none.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    public Task<PlateChange> WatchChangesAsync(string plateId, long after, CancellationToken cancellationToken = default) =>
        AskAsync(() => Plate(plateId).WatchAsync(after, LongPoll), null, cancellationToken);

    /// <summary>Cancels a plate; fields that are complete stay.</summary>
    public Task<bool> CancelPlateAsync(string plateId, CancellationToken cancellationToken = default) =>
        AskAsync(() => Plate(plateId).CancelAsync(), null, cancellationToken);

    /// <summary>Stains a plate's failed and cancelled fields again.</summary>
    /// <returns>How many fields.</returns>
    public async Task<int> RetryPlateAsync(string plateId, CancellationToken cancellationToken = default) =>
        await RetryPlateAsync(plateId, (await GetPlateAsync(plateId, cancellationToken)).Generation, cancellationToken);

    /// <summary>Stains a plate's failed and cancelled fields again, unless that was done since the caller looked.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="generation"><see cref="PlateStatus.Generation"/> as the caller saw it.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>How many fields are, or were then.</returns>
    public Task<int> RetryPlateAsync(string plateId, int generation, CancellationToken cancellationToken = default) =>
        AskAsync(() => Plate(plateId).RetryAsync(generation), null, cancellationToken);

    /// <summary>Deletes a plate that has ended: there is none when this returns, and what there is of it goes by itself soon. Does nothing where there is none.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="withResult">Whether its result goes too, and what was uploaded for it where no other plate is made from that.</param>
    /// <param name="cancellationToken">Stops waiting; the plate may be deleted all the same.</param>
    /// <exception cref="PlateException">The plate runs.</exception>
    public Task DeletePlateAsync(string plateId, bool withResult, CancellationToken cancellationToken = default) =>
        AskAsync(() => Plate(plateId).DeleteAsync(new PlateDeletion { Result = withResult }), null, cancellationToken);

    /// <summary>Deletes what the service keeps longer than its operator wants.</summary>
    /// <param name="dryRun">Only tells what is due.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>What is due, or was deleted; the silo's own retention goes on with what is left.</returns>
    public Task<RetentionReport> RunRetentionAsync(bool dryRun, CancellationToken cancellationToken = default) =>
        AskAsync(() => grains.GetGrain<IRetentionGrain>(0).RunAsync(dryRun), LongestSubmission, cancellationToken);

    /// <summary>The silos that are alive, by what they say of themselves.</summary>
    public Task<IReadOnlyList<SiloDescription>> ListSilosAsync(CancellationToken cancellationToken = default) =>
        AskAsync(() => grains.GetGrain<IClusterGrain>(0).ListSilosAsync(), null, cancellationToken);

    /// <summary>All plates of the cluster, the newest first.</summary>
    public Task<IReadOnlyList<PlateSummary>> ListPlatesAsync() => AskAsync(() => grains.GetGrain<IPlateIndexGrain>(0).ListAsync(), null, CancellationToken.None);

    /// <summary>A page of the plates that a query is of, the newest first.</summary>
    public Task<IReadOnlyList<PlateSummary>> QueryAsync(PlateQuery query, CancellationToken cancellationToken = default) =>
        AskAsync(() => grains.GetGrain<IPlateIndexGrain>(0).QueryAsync(query), null, cancellationToken);

    private IPlateGrain Plate(string plateId) => grains.GetGrain<IPlateGrain>(plateId);

    internal static Task<bool> AskAsync(Func<Task> ask, TimeSpan? patience, CancellationToken cancellationToken) => AskAsync(
        async () =>
        {
            await ask();
            return true;
        },
        patience,
        cancellationToken);

    // Questions may be asked again: a silo that was lost answers from another, once the loss is known.
    internal static async Task<T> AskAsync<T>(Func<Task<T>> ask, TimeSpan? patience, CancellationToken cancellationToken)
    {
        for (long started = Environment.TickCount64; ;)
        {
            try
            {
                return await ask().WaitAsync(patience ?? Patience, cancellationToken);
            }
            catch (Exception e) when (e.IsTransient(cancellationToken) && Environment.TickCount64 - started < GiveUp.TotalMilliseconds)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), cancellationToken);
            }
        }
    }
}

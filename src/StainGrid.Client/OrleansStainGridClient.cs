using System.Runtime.CompilerServices;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Client;

/// <summary>A tenant's view of the service, by the cluster's grains. Results are read from the store that the cluster writes them to, so this process must see it.</summary>
public sealed class OrleansStainGridClient : IStainGridClient
{
    private const long LargestFile = 1L << 30;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly IGrainFactory grains;
    private readonly GrainClient client;
    private readonly string tenant;

    /// <summary>A client of a tenant's.</summary>
    /// <param name="grains">A connected Orleans client (<see cref="StainGridCluster"/>), or a silo's own grain factory.</param>
    /// <param name="tenant">The tenant whose plates these are: 1 to 32 lower-case letters, digits and '-'.</param>
    /// <exception cref="ArgumentException">The tenant's name is not one.</exception>
    public OrleansStainGridClient(IGrainFactory grains, string tenant)
    {
        ArgumentNullException.ThrowIfNull(grains);
        if (!ServiceId.IsTenant(tenant))
            throw new ArgumentException("A tenant's name has 1 to 32 lower-case letters, digits and '-'.", nameof(tenant));
        (this.grains, this.tenant, client) = (grains, tenant, new GrainClient(grains));
    }

    /// <inheritdoc/>
    public async Task<PlateStatus> SubmitAsync(PlateSubmission submission, string? idempotencyKey = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(submission);
        string plateId = idempotencyKey is null ? ServiceId.New() : ServiceId.Of(tenant, idempotencyKey);
        await Ask(() => GrainClient.AskAsync(() => Service.SubmitAsync(plateId, submission), GrainClient.LongestSubmission, cancellationToken), cancellationToken);
        return await GetAsync(plateId, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<PlateStatus> GetAsync(string plateId, CancellationToken cancellationToken = default) =>
        Ask(async () => Known(await client.GetPlateAsync(Key(plateId), cancellationToken)), cancellationToken);

    /// <inheritdoc/>
    public async Task<IReadOnlyList<FieldStatus>> GetFieldsAsync(string plateId, CancellationToken cancellationToken = default)
    {
        await GetAsync(plateId, cancellationToken);
        return await Ask(() => client.GetFieldsAsync(Key(plateId), cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<PlateChange> WatchAsync(string plateId, long after = -1, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        string key = Key(plateId);
        for (var watch = new PlateWatch(after); !watch.HasEnded;)
        {
            var change = await Ask(() => client.WatchChangesAsync(key, watch.Version, cancellationToken), cancellationToken);
            if (watch.Next(change with { Status = Known(change.Status) }) is { } news)
                yield return news;
            if (!watch.HasEnded)
                await Task.Delay(Pause, cancellationToken);   // fast devices change much at once
        }
    }

    /// <inheritdoc/>
    public async Task<PlateStatus> CancelAsync(string plateId, CancellationToken cancellationToken = default)
    {
        await GetAsync(plateId, cancellationToken);
        await Ask(() => client.CancelPlateAsync(Key(plateId), cancellationToken), cancellationToken);
        return await GetAsync(plateId, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<int> RetryAsync(string plateId, CancellationToken cancellationToken = default) =>
        await StainAgainAsync(plateId, (await GetAsync(plateId, cancellationToken)).Generation, cancellationToken);

    /// <summary>Stains a plate's failed and cancelled fields again, unless that was done since the caller looked.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="generation"><see cref="PlateStatus.Generation"/> as the caller saw it.</param>
    /// <param name="cancellationToken">Stops the asking.</param>
    /// <returns>How many fields are, or were then.</returns>
    /// <exception cref="StainGridException">There is no such plate, or the cluster does not answer.</exception>
    public async Task<int> RetryAsync(string plateId, int generation, CancellationToken cancellationToken = default)
    {
        await GetAsync(plateId, cancellationToken);
        return await StainAgainAsync(plateId, generation, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string plateId, CancellationToken cancellationToken = default)
    {
        var status = await Ask(() => client.GetPlateAsync(Key(plateId), cancellationToken), cancellationToken);
        await Ask(() => GrainClient.AskAsync(() => Service.DeleteAsync(plateId), null, cancellationToken), cancellationToken);   // also of one that is going already
        Known(status);
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<PlateSummary>> ListAsync(PlateQuery? query = null, CancellationToken cancellationToken = default)
    {
        query = (query ?? new PlateQuery()) with { Prefix = ServiceId.Prefix(tenant) };
        if (query.After is { } after)
            query = query with { After = Key(after) };
        var plates = await Ask(() => client.QueryAsync(query, cancellationToken), cancellationToken);
        return [.. plates.Select(plate => plate with { PlateId = IdOf(plate.PlateId) })];
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<ModelSummary>> ListModelsAsync(CancellationToken cancellationToken = default) =>
        Ask(() => GrainClient.AskAsync(() => Service.ListModelsAsync(), null, cancellationToken), cancellationToken);

    /// <inheritdoc/>
    public async Task<Stream> OpenAsync(string plateId, string key, CancellationToken cancellationToken = default)
    {
        var store = await ResultAsync(plateId, cancellationToken);
        return await Ask(async () => await store.ReadBlobAsync(key, LargestFile, cancellationToken), cancellationToken) is { } blob
            ? new MemoryStream(blob.Data.ToArray(), writable: false)
            : throw new StainGridException(StainGridError.NotFound, $"The plate {plateId} has no file of this name.");
    }

    /// <inheritdoc/>
    public async Task<LabelImage> ReadAsync(string plateId, string fieldPath, string channel, int level = 0, CancellationToken cancellationToken = default) =>
        await ResultReader.ReadAsync(await ResultAsync(plateId, cancellationToken), fieldPath, channel, level, cancellationToken);

    /// <summary>The store whose root is a plate's result.</summary>
    /// <exception cref="StainGridException">There is no such plate.</exception>
    public async Task<IBlobStore> ResultAsync(string plateId, CancellationToken cancellationToken = default)
    {
        await GetAsync(plateId, cancellationToken);
        return await Ask(async () => BlobStores.Open(await GrainClient.AskAsync(() => Service.GetOutputAsync(plateId), null, cancellationToken)), cancellationToken);
    }

    /// <summary>What a field is stained from, or null where there is no such field.</summary>
    /// <exception cref="StainGridException">There is no such plate.</exception>
    public async Task<FieldInput?> GetInputAsync(string plateId, string fieldPath, CancellationToken cancellationToken = default)
    {
        await GetAsync(plateId, cancellationToken);
        return await Ask(() => GrainClient.AskAsync(() => grains.GetGrain<IPlateGrain>(Key(plateId)).GetInputAsync(fieldPath), null, cancellationToken), cancellationToken);
    }

    private Task<int> StainAgainAsync(string plateId, int generation, CancellationToken cancellationToken) =>
        Ask(() => client.RetryPlateAsync(Key(plateId), generation, cancellationToken), cancellationToken);

    private IServiceGrain Service => grains.GetGrain<IServiceGrain>(tenant);

    private string Key(string plateId) => ServiceId.IsValid(plateId) ? ServiceId.PlateKey(tenant, plateId) : throw Unknown();

    private string IdOf(string key) => key[ServiceId.Prefix(tenant).Length..];

    private PlateStatus Known(PlateStatus status) => status.State == PlateState.New ? throw Unknown() : status with { PlateId = IdOf(status.PlateId) };

    private static StainGridException Unknown() => new(StainGridError.NotFound, "There is no such plate.");

    private static async Task<T> Ask<T>(Func<Task<T>> ask, CancellationToken cancellationToken)
    {
        try
        {
            return await ask();
        }
        catch (PlateException e)
        {
            throw new StainGridException(e.IsConflict ? StainGridError.Conflict : StainGridError.Refused, e.Message, e);
        }
        catch (ServiceBusyException e)
        {
            throw new StainGridException(StainGridError.Busy, e.Message, e) { RetryAfter = TimeSpan.FromSeconds(10) };
        }
        catch (ArgumentException e) when (e.ParamName == "key")
        {
            throw new StainGridException(StainGridError.NotFound, e.Message, e);
        }
        catch (Exception e) when (e is BlobStoreException or ImageException || e.IsTransient(cancellationToken))
        {
            throw new StainGridException(StainGridError.Unavailable, "The cluster or its store does not answer. Ask again.", e);
        }
    }
}

/// <summary>Reads arrays of a plate's result.</summary>
internal static class ResultReader
{
    /// <exception cref="StainGridException">There is no such field, channel or level.</exception>
    public static async Task<LabelImage> ReadAsync(IBlobStore result, string fieldPath, string channel, int level, CancellationToken cancellationToken)
    {
        try
        {
            BlobKey.Check(fieldPath);
            var reader = await OmeZarrReader.OpenAsync(result.Within(fieldPath), cancellationToken);
            int index = reader.Image.Channels.ToList().FindIndex(one => one.Label == channel);
            if (index < 0 || level < 0 || level >= reader.Image.Levels)
                throw new StainGridException(StainGridError.NotFound, $"{fieldPath} has the channels {string.Join(", ", reader.Image.Channels.Select(one => one.Label))} and {reader.Image.Levels} levels.");
            var (width, height) = reader.Image.LevelSize(level);
            return new LabelImage(width, height, await reader.ReadAsync(level, index, new Tiling.Region(0, 0, width, height), cancellationToken));
        }
        catch (Exception e) when (e is ImageException or ArgumentException)
        {
            throw new StainGridException(StainGridError.NotFound, e.Message, e);
        }
        catch (BlobStoreException e)
        {
            throw new StainGridException(StainGridError.Unavailable, e.Message, e);
        }
    }
}

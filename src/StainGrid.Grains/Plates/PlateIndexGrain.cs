using Orleans.Concurrency;
using StainGrid.Contracts;

namespace StainGrid.Grains;

/// <summary>Keeps the list of plates.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true"), Reentrant]
public sealed class PlateIndexGrain([PersistentState("plates")] IPersistentState<PlateIndexRecord> plates) : Grain, IPlateIndexGrain
{
    private Task writing = Task.CompletedTask;
    private Task? next;

    /// <inheritdoc/>
    public Task SetAsync(PlateSummary plate)
    {
        ArgumentNullException.ThrowIfNull(plate);
        plates.State.Plates[plate.PlateId] = plate;
        return SaveAsync();
    }

    /// <inheritdoc/>
    public Task<DateTimeOffset?> LastUseAsync(string prefix, string source) => Task.FromResult(plates.State.Plates.Values
        .Where(plate => plate.PlateId.StartsWith(prefix, StringComparison.Ordinal) && (plate.Source == source || plate.Source.StartsWith(source + "/", StringComparison.Ordinal)))
        .Max(plate => (DateTimeOffset?)RetentionDue.LastUse(plate)));

    /// <inheritdoc/>
    public Task DeletingAsync(string plateId) => SavedAsync(plates.State.Plates.Remove(plateId) | plates.State.Deleting.Add(plateId));

    /// <inheritdoc/>
    public Task ForgetAsync(string plateId) => SavedAsync(plates.State.Deleting.Remove(plateId));

    /// <inheritdoc/>
    public Task<IReadOnlyList<PlateSummary>> ListAsync() => Task.FromResult<IReadOnlyList<PlateSummary>>([.. NewestFirst(plates.State.Plates.Values)]);

    /// <inheritdoc/>
    public Task<IReadOnlyList<PlateSummary>> QueryAsync(PlateQuery query)
    {
        ArgumentNullException.ThrowIfNull(query);
        var after = query.After is null ? null : plates.State.Plates.GetValueOrDefault(query.After);
        return Task.FromResult<IReadOnlyList<PlateSummary>>([.. NewestFirst(plates.State.Plates.Values
            .Where(plate => plate.PlateId.StartsWith(query.Prefix, StringComparison.Ordinal) && (query.State is null || plate.State == query.State)
                && (query.Text is null || Contains(plate.Name) || Contains(plate.PlateId) || Contains(plate.Source))))
            .SkipWhile(plate => after is not null && Order(plate, after) <= 0)
            .Take(Math.Clamp(query.Limit, 1, PlateQuery.MostPlates))]);

        bool Contains(string? text) => text?.Contains(query.Text!, StringComparison.OrdinalIgnoreCase) == true;
    }

    /// <inheritdoc/>
    public Task<int> CountRunningAsync(string prefix) => Task.FromResult(
        plates.State.Plates.Values.Count(plate => plate.State == PlateState.Running && plate.PlateId.StartsWith(prefix, StringComparison.Ordinal)));

    /// <inheritdoc/>
    public Task WakeAsync()
    {
        foreach (string plate in plates.State.Plates.Values.Where(plate => plate.State == PlateState.Running).Select(plate => plate.PlateId).Concat(plates.State.Deleting))
            GrainFactory.GetGrain<IPlateGrain>(plate).WakeAsync().Ignore();
        return Task.CompletedTask;
    }

    private static IOrderedEnumerable<PlateSummary> NewestFirst(IEnumerable<PlateSummary> plates) => plates.Order(Comparer<PlateSummary>.Create(Order));

    private static int Order(PlateSummary one, PlateSummary other) =>
        other.Submitted.CompareTo(one.Submitted) is var order and not 0 ? order : string.CompareOrdinal(one.PlateId, other.PlateId);

    // Also what was changed before, where it is being written, or was not.
    private Task SavedAsync(bool isChanged) => isChanged || next is not null || writing is { IsCompletedSuccessfully: false } ? SaveAsync() : Task.CompletedTask;

    // The list grows: it is written once for all that ask while it is being written.
    private Task SaveAsync() => next ??= WriteAsync();

    private async Task WriteAsync()
    {
        await Task.Yield();   // who asked notes this write as the next one first
        await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        next = null;
        await (writing = plates.WriteStateAsync());
    }
}

/// <summary>What is durable of the list.</summary>
public sealed class PlateIndexRecord
{
    /// <summary>The plates by their ids.</summary>
    public Dictionary<string, PlateSummary> Plates { get; set; } = [];

    /// <summary>The ids of those that are being deleted, which are not in the list any more.</summary>
    public HashSet<string> Deleting { get; set; } = [];
}

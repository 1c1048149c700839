using StainGrid.Contracts;

namespace StainGrid.Grains;

/// <summary>Keeps the list of plates.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed class PlateIndexGrain([PersistentState("plates")] IPersistentState<PlateIndexRecord> plates) : Grain, IPlateIndexGrain
{
    /// <inheritdoc/>
    public Task SetAsync(PlateSummary plate)
    {
        ArgumentNullException.ThrowIfNull(plate);
        plates.State.Plates[plate.PlateId] = plate;
        return plates.WriteStateAsync();
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<PlateSummary>> ListAsync() =>
        Task.FromResult<IReadOnlyList<PlateSummary>>([.. plates.State.Plates.Values.OrderByDescending(plate => plate.Submitted)]);

    /// <inheritdoc/>
    public Task WakeAsync()
    {
        foreach (var plate in plates.State.Plates.Values.Where(plate => plate.State == PlateState.Running))
            GrainFactory.GetGrain<IPlateGrain>(plate.PlateId).WakeAsync().Ignore();
        return Task.CompletedTask;
    }
}

/// <summary>What is durable of the list.</summary>
public sealed class PlateIndexRecord
{
    /// <summary>The plates by their ids.</summary>
    public Dictionary<string, PlateSummary> Plates { get; set; } = [];
}

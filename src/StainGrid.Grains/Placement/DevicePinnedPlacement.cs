using Orleans.Runtime.MembershipService.SiloMetadata;
using Orleans.Runtime.Placement;
using Orleans.Placement;

namespace StainGrid.Grains;

/// <summary>Places a grain of key "silo/device" on that silo.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class DevicePinnedPlacementAttribute() : PlacementAttribute(DevicePinnedPlacement.Singleton);

/// <summary>The strategy of <see cref="DevicePinnedPlacementAttribute"/>.</summary>
[Serializable, GenerateSerializer, Immutable, SuppressReferenceTracking, Alias("staingrid.device-pinned")]
public sealed class DevicePinnedPlacement : PlacementStrategy
{
    /// <summary>The one there needs to be.</summary>
    public static DevicePinnedPlacement Singleton { get; } = new();
}

/// <summary>Finds the silo whose metadata has the name in the grain's key.</summary>
public sealed class DevicePinnedDirector(ISiloMetadataCache cache) : IPlacementDirector
{
    /// <inheritdoc/>
    /// <exception cref="OrleansException">That silo is not in the cluster.</exception>
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        string name = target.GrainIdentity.Key.ToString()!.Split('/', 2)[0];

        // The newest: one of the same name that died may not be known to be dead yet.
        var silo = context.GetCompatibleSilos(target)
            .Where(silo => cache.GetSiloMetadata(silo).Metadata.TryGetValue(SiloMetadataKeys.Silo, out string? value) && value == name)
            .MaxBy(silo => silo.Generation);
        return silo is not null ? Task.FromResult(silo) : throw new OrleansException($"{target.GrainIdentity} belongs to a device of silo '{name}', which is not in the cluster. Start that silo again.");
    }
}

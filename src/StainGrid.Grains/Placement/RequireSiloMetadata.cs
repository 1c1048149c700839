using Orleans.Metadata;
using Orleans.Placement;
using Orleans.Runtime.MembershipService.SiloMetadata;
using Orleans.Runtime.Placement;

namespace StainGrid.Grains;

/// <summary>Places the grain only on silos whose metadata has this value.</summary>
/// <param name="key">The metadata's key.</param>
/// <param name="value">The value it must have.</param>
/// <param name="order">The place among the grain's filters.</param>
[AttributeUsage(AttributeTargets.Class)]
public sealed class RequireSiloMetadataAttribute(string key, string value, int order = 0)
    : PlacementFilterAttribute(new RequireSiloMetadataFilter(key, value, order))
{
    /// <summary>The metadata's key.</summary>
    public string Key { get; } = key;

    /// <summary>The value it must have.</summary>
    public string Value { get; } = value;

    /// <summary>The place among the grain's filters.</summary>
    public int Order { get; } = order;
}

/// <summary>The filter of <see cref="RequireSiloMetadataAttribute"/>, which travels in the grain type's properties.</summary>
/// <param name="key">The metadata's key.</param>
/// <param name="value">The value it must have.</param>
/// <param name="order">The place among the grain's filters.</param>
public sealed class RequireSiloMetadataFilter(string key, string value, int order) : PlacementFilterStrategy(order)
{
    /// <summary>For Orleans, which then calls <see cref="AdditionalInitialize"/>.</summary>
    public RequireSiloMetadataFilter()
        : this("", "", 0)
    {
    }

    /// <summary>The metadata's key.</summary>
    public string Key { get; private set; } = key;

    /// <summary>The value it must have.</summary>
    public string Value { get; private set; } = value;

    /// <inheritdoc/>
    public override void AdditionalInitialize(GrainProperties properties)
    {
        Key = GetPlacementFilterGrainProperty("key", properties)!;
        Value = GetPlacementFilterGrainProperty("value", properties)!;
    }

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, string>> GetAdditionalGrainProperties(
        IServiceProvider services, Type grainClass, GrainType grainType, IReadOnlyDictionary<string, string> existingProperties) =>
        [new("key", Key), new("value", Value)];
}

/// <summary>Applies <see cref="RequireSiloMetadataFilter"/>.</summary>
public sealed class RequireSiloMetadataDirector(ISiloMetadataCache cache) : IPlacementFilterDirector
{
    /// <inheritdoc/>
    /// <exception cref="OrleansException">No silo matches.</exception>
    public IEnumerable<SiloAddress> Filter(PlacementFilterStrategy filterStrategy, PlacementTarget target, IEnumerable<SiloAddress> silos)
    {
        var filter = (RequireSiloMetadataFilter)filterStrategy;
        var matching = silos
            .Where(silo => cache.GetSiloMetadata(silo).Metadata.TryGetValue(filter.Key, out string? value) && value == filter.Value)
            .ToList();
        return matching.Count > 0 ? matching : throw new OrleansException(
            $"{target.GrainIdentity} needs a silo with {filter.Key}={filter.Value}, and none is in the cluster. Start one "
            + "(staingrid silo --role all, cpu or accelerator).");
    }
}

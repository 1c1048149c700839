using Orleans.Runtime.MembershipService.SiloMetadata;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Chooses the precision of a slide: one for all of its blocks, so that it does not matter which device computes which.</summary>
public sealed class ClusterPrecision(ISiloStatusOracle silos, ISiloMetadataCache cache)
{
    /// <summary>What <see cref="Precision.Auto"/> means now: bfloat16 unless a device is in the cluster that is no faster by it. The other precisions stay.</summary>
    public Precision Of(Precision asked) => asked != Precision.Auto ? asked
        : silos.GetApproximateSiloStatuses(onlyActive: true).Keys.Any(silo => Says(silo, SiloMetadataKeys.Accelerator) && !Says(silo, SiloMetadataKeys.BFloat16))
            ? Precision.Float32
            : Precision.BFloat16;

    private bool Says(SiloAddress silo, string key) => cache.GetSiloMetadata(silo).Metadata.TryGetValue(key, out string? value) && value == "true";
}

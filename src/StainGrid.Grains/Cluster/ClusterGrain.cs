using Orleans.Concurrency;
using Orleans.Runtime.MembershipService.SiloMetadata;
using StainGrid.Contracts;

namespace StainGrid.Grains;

/// <summary>Tells what the silos say of themselves. It holds nothing.</summary>
[Reentrant, RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed class ClusterGrain(ISiloStatusOracle silos, ISiloMetadataCache cache) : Grain, IClusterGrain
{
    /// <inheritdoc/>
    public Task<IReadOnlyList<SiloDescription>> ListSilosAsync() =>
        Task.FromResult<IReadOnlyList<SiloDescription>>([.. silos.GetApproximateSiloStatuses(onlyActive: true).Keys.Select(silo =>
        {
            var said = cache.GetSiloMetadata(silo).Metadata;
            string Value(string key) => said.TryGetValue(key, out string? value) ? value : "";
            return new SiloDescription
            {
                Address = silo.ToParsableString(),
                Name = Value(SiloMetadataKeys.Silo),
                Cpu = Value(SiloMetadataKeys.Cpu) == "true",
                Accelerator = Value(SiloMetadataKeys.Accelerator) == "true",
                Version = Value(SiloMetadataKeys.Version),
                Orleans = Value(SiloMetadataKeys.Orleans),
                Runtime = Value(SiloMetadataKeys.Runtime),
            };
        })]);
}

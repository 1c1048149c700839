using Microsoft.Extensions.Logging;
using StainGrid.Contracts;

namespace StainGrid.Silo;

/// <summary>Reminds the cluster's one retention grain, from every silo that knows the service's places: whichever is there keeps it going.</summary>
internal sealed class Housekeeping(IGrainFactory grains, ILogger<Housekeeping> logger) : GrainKeeper("Retention", TimeSpan.FromMinutes(1), logger)
{
    protected override Task AskAsync() => grains.GetGrain<IRetentionGrain>(0).TickAsync();
}

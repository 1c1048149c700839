using Microsoft.Extensions.Logging;
using StainGrid.Contracts;

namespace StainGrid.Silo;

/// <summary>Sees that there is a dispatcher, from every silo that may hold it: with no device and no plate nobody else would ask for it, but autoscalers and
/// alerts go by what it shows.</summary>
internal sealed class LocalDispatcher(IGrainFactory grains, ILogger<LocalDispatcher> logger) : GrainKeeper("The dispatcher", TimeSpan.FromSeconds(10), logger)
{
    protected override Task AskAsync() => grains.GetGrain<IDispatcherGrain>(0).GetStatusAsync();
}

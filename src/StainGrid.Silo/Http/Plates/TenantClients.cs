using Microsoft.AspNetCore.Http;
using StainGrid.Client;

namespace StainGrid.Silo.Http;

/// <summary>The plates of whoever asks.</summary>
internal sealed class TenantClients(IGrainFactory grains)
{
    public OrleansStainGridClient Of(HttpContext context) => new(grains, Caller.Of(context.User).Tenant);
}

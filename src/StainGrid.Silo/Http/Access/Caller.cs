using System.Security.Claims;
using StainGrid.Contracts;

namespace StainGrid.Silo.Http;

/// <summary>Who asks.</summary>
/// <param name="Id">What limits and the audit log know the caller by: "key:ID" or "oidc:SUBJECT".</param>
/// <param name="Name">The caller's name for people.</param>
/// <param name="Tenant">Whose plates it sees.</param>
/// <param name="Role">What it may do.</param>
/// <param name="Authentication">How that is known: none, key or oidc.</param>
internal sealed record Caller(string Id, string Name, string Tenant, ServiceRole Role, string Authentication)
{
    private const string KeyMark = "key:";
    private const string TenantClaim = "staingrid:tenant", RoleClaim = "staingrid:role", HowClaim = "staingrid:authentication", IdClaim = "staingrid:id";

    /// <summary>Everybody, where authentication is not required.</summary>
    public static Caller Local { get; } = new("local", "local", "local", ServiceRole.Operate, "none");

    public static Caller Of(ApiKey key) => new(KeyMark + key.Id, key.Name, key.Tenant, key.Role, "key");

    /// <summary>The caller of a request that was let in.</summary>
    public static Caller Of(ClaimsPrincipal principal) => Find(principal) ?? throw new InvalidOperationException("A request without a caller was let in.");

    public static Caller? Find(ClaimsPrincipal principal) =>
        principal.Identity?.IsAuthenticated == true && principal.FindFirst(IdClaim) is { } id && principal.FindFirst(TenantClaim) is { } tenant
        && ServiceId.IsTenant(tenant.Value) && Enum.TryParse<ServiceRole>(principal.FindFirst(RoleClaim)?.Value, out var role)
            ? new Caller(id.Value, principal.Identity.Name ?? id.Value, tenant.Value, role, principal.FindFirst(HowClaim)?.Value ?? "")
            : null;

    /// <summary>Whether the key that let the caller in does so still; true for who came without one.</summary>
    /// <exception cref="Imaging.BlobStoreException">The keys' store fails.</exception>
    public async Task<bool> IsStillLetInAsync(ApiKeys keys, CancellationToken cancellationToken) =>
        Authentication != "key" || (await keys.GetAsync(Id[KeyMark.Length..], cancellationToken) is { } key && Of(key) == this);

    public ClaimsPrincipal ToPrincipal(string scheme) => new(new ClaimsIdentity(
        [new(IdClaim, Id), new(ClaimTypes.Name, Name), new(TenantClaim, Tenant), new(RoleClaim, Role.ToString()), new(HowClaim, Authentication)], scheme));
}

using System.Globalization;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Silo.Http;

/// <summary>What this service is.</summary>
internal sealed record ServiceVersion(string Version, string Api);

/// <summary>Who asks, and what they may.</summary>
internal sealed record Me(string Name, string Tenant, IReadOnlyList<string> Roles, string Authentication);

/// <summary>What signs a browser in.</summary>
internal sealed record SessionRequest
{
    /// <summary>An API key, or a token of the OIDC provider.</summary>
    public required string Key { get; init; }
}

/// <summary>Health, version, who asks, sessions of browsers, the audit log.</summary>
internal static class SystemEndpoints
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    public static void Map(IEndpointRouteBuilder app, HttpOptions options)
    {
        app.MapGet("/health/live", () => TypedResults.Text("live")).AllowAnonymous().WithTags("system").WithName("live").WithSummary("Whether the process runs.");
        app.MapGet("/health/ready", async (IGrainFactory grains) =>
            {
                try
                {
                    await grains.GetGrain<IPlateIndexGrain>(0).CountRunningAsync("~").WaitAsync(Patience);
                    return Results.Text("ready");
                }
                catch (Exception e) when (e.IsTransient(CancellationToken.None) || e is TimeoutException or OrleansException)
                {
                    return Problems.Of(StatusCodes.Status503ServiceUnavailable, "The cluster does not answer.");
                }
            })
            .AllowAnonymous().WithTags("system").WithName("ready").WithSummary("Whether the cluster answers.");
        app.MapGet("/v1/version", () => TypedResults.Ok(new ServiceVersion(SiloVersions.Release, "v1"))).AllowAnonymous().WithTags("system").WithName("version").WithSummary("The service's version.");
        app.MapGet("/v1/me", (HttpContext context) =>
            {
                var caller = Caller.Of(context.User);
                return TypedResults.Ok(new Me(caller.Name, caller.Tenant, [.. Enum.GetValues<ServiceRole>().Where(role => role <= caller.Role).Select(role => role.ToString().ToLowerInvariant())], caller.Authentication));
            })
            .WithTags("system").WithName("me").WithSummary("Who asks, and what they may.");
        app.MapPost("/v1/session", async ([FromBody] SessionRequest request, ApiKeys keys, HttpContext context) =>
            {
                var (caller, ends) = (default(Caller), default(DateTimeOffset?));
                if (AccessSetup.SchemeOf(request.Key, options) == AccessSetup.KeyScheme)
                {
                    if (await keys.FindAsync(request.Key, context.RequestAborted) is { } key)
                        caller = Caller.Of(key);
                }
                else
                {
                    context.Request.Headers.Authorization = $"Bearer {request.Key}";
                    var result = await context.AuthenticateAsync(AccessSetup.TokenScheme);
                    if (result is { Succeeded: true, Principal: { } principal })
                        (caller, ends) = (Caller.Find(principal), result.Properties?.ExpiresUtc);
                }

                if (caller is null)
                    return Problems.Of(StatusCodes.Status401Unauthorized, "The key or token is not one of this service's, or not valid any more.");
                await context.SignInAsync(AccessSetup.SessionScheme, caller.ToPrincipal(AccessSetup.SessionScheme), new AuthenticationProperties { ExpiresUtc = ends });
                return Results.NoContent();
            })
            .AllowAnonymous().WithTags("system").WithName("sign-in").WithSummary("Signs a browser in, by a cookie.");
        app.MapDelete("/v1/session", async (HttpContext context) =>
            {
                await context.SignOutAsync(AccessSetup.SessionScheme);
                return TypedResults.NoContent();
            })
            .AllowAnonymous().WithTags("system").WithName("sign-out").WithSummary("Signs a browser out.");
        app.MapGet("/v1/audit", async (string? day, AuditLog log, HttpContext context) =>
            {
                if (!DateOnly.TryParseExact(day ?? DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture), "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var date))
                    throw new BadHttpRequestException("day is written as 2026-11-26.");
                context.Response.ContentType = "application/x-ndjson";
                var caller = Caller.Of(context.User);
                await foreach (string line in log.ReadAsync(date, AccessSetup.OperatesAll(caller, options) ? null : caller.Tenant, context.RequestAborted))
                    await context.Response.WriteAsync(line + "\n", context.RequestAborted);
            })
            .RequireAuthorization(nameof(ServiceRole.Operate)).WithTags("system").WithName("audit").WithSummary("Who did what on a day, as JSON lines.").Produces(StatusCodes.Status200OK, contentType: "application/x-ndjson");
    }
}

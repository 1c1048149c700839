using System.Security.Claims;
using System.Text.Encodings.Web;
using System.Xml.Linq;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.JwtBearer;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>Sets up who may do what.</summary>
internal static class AccessSetup
{
    /// <summary>The policy of what shows all tenants' matters.</summary>
    public const string AllTenants = nameof(AllTenants);

    public const string KeyScheme = "key", TokenScheme = "oidc", SessionScheme = "session", NoneScheme = "none";
    private const string ChoiceScheme = "choice";
    private const string Bearer = "Bearer ", SessionCookie = "staingrid";

    public static void AddAccess(this IServiceCollection services, HttpOptions options, IBlobStore state)
    {
        services.AddSingleton(_ => ApiKeys.Of(state));
        services.AddDataProtection().SetApplicationName("staingrid");   // not by the folder it runs in, which may differ from silo to silo
        services.Configure<KeyManagementOptions>(keys => keys.XmlRepository = new StoredSessionKeys(state.Within("service/session-keys")));
        var authentication = services.AddAuthentication(options.RequireAuthentication ? ChoiceScheme : NoneScheme)
            .AddScheme<AuthenticationSchemeOptions, NoAuthentication>(NoneScheme, null)
            .AddScheme<AuthenticationSchemeOptions, ApiKeyAuthentication>(KeyScheme, null)
            .AddCookie(SessionScheme, cookie =>
            {
                cookie.Cookie.Name = SessionCookie;
                cookie.Cookie.HttpOnly = true;
                cookie.Cookie.SameSite = SameSiteMode.Strict;
                cookie.ExpireTimeSpan = TimeSpan.FromHours(8);
                cookie.SlidingExpiration = false;
                cookie.Events.OnRedirectToLogin = context => Answer(context.Response, StatusCodes.Status401Unauthorized);
                cookie.Events.OnRedirectToAccessDenied = context => Answer(context.Response, StatusCodes.Status403Forbidden);

                // A session ends with the key that began it.
                cookie.Events.OnValidatePrincipal = async context =>
                {
                    var keys = context.HttpContext.RequestServices.GetRequiredService<ApiKeys>();
                    if (context.Principal is { } principal && Caller.Find(principal) is { } caller && !await caller.IsStillLetInAsync(keys, context.HttpContext.RequestAborted))
                        context.RejectPrincipal();
                };

                static Task Answer(HttpResponse response, int status)
                {
                    response.StatusCode = status;
                    return Task.CompletedTask;
                }
            })
            .AddPolicyScheme(ChoiceScheme, null, choice => choice.ForwardDefaultSelector = context => SchemeOf(context.Request, options));
        if (options.OidcAuthority is not null)
            authentication.AddJwtBearer(TokenScheme, token => Configure(token, options));
        services.AddAuthorizationBuilder()
            .AddPolicy(nameof(ServiceRole.Read), policy => Require(policy, ServiceRole.Read))
            .AddPolicy(nameof(ServiceRole.Submit), policy => Require(policy, ServiceRole.Submit))
            .AddPolicy(nameof(ServiceRole.Operate), policy => Require(policy, ServiceRole.Operate))
            .AddPolicy(AllTenants, policy => policy.RequireAuthenticatedUser().RequireAssertion(context => Caller.Find(context.User) is { } caller && OperatesAll(caller, options)))
            .SetFallbackPolicy(new AuthorizationPolicyBuilder().RequireAssertion(context => Caller.Find(context.User) is not null).Build());

        static void Require(AuthorizationPolicyBuilder policy, ServiceRole least) =>
            policy.RequireAuthenticatedUser().RequireAssertion(context => Caller.Find(context.User)?.Role >= least);
    }

    /// <summary>Whether a caller may see all tenants' matters.</summary>
    public static bool OperatesAll(Caller caller, HttpOptions options) =>
        caller.Role == ServiceRole.Operate && (!options.RequireAuthentication || caller.Tenant == options.OperatorTenant);

    /// <summary>The scheme that a key or token is of.</summary>
    public static string SchemeOf(string credential, HttpOptions options) =>
        credential.StartsWith(ApiKeys.Prefix, StringComparison.Ordinal) || options.OidcAuthority is null ? KeyScheme : TokenScheme;

    /// <summary>What a request shows behind "Bearer", or null.</summary>
    public static string? CredentialOf(HttpRequest request) =>
        request.Headers.Authorization is [{ } header] && header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) ? header[Bearer.Length..].Trim() : null;

    private static string SchemeOf(HttpRequest request, HttpOptions options) =>
        CredentialOf(request) is { } credential ? SchemeOf(credential, options)
        : request.Headers.Authorization.Count == 0 && request.Cookies.ContainsKey(SessionCookie) ? SessionScheme
        : KeyScheme;

    private static void Configure(JwtBearerOptions token, HttpOptions options)
    {
        token.Authority = options.OidcAuthority;
        token.Audience = options.OidcAudience;
        token.RequireHttpsMetadata = new Uri(options.OidcAuthority!).Scheme == "https";
        token.MapInboundClaims = false;
        token.TokenValidationParameters.ClockSkew = TimeSpan.FromSeconds(30);
        token.TokenValidationParameters.NameClaimType = "name";
        token.Events = new JwtBearerEvents
        {
            OnAuthenticationFailed = context =>
            {
                context.Fail(context.Exception);   // also where the provider is not reachable: nobody is let in, and it is no failure of the service's
                return Task.CompletedTask;
            },
            OnTokenValidated = context =>
            {
                var principal = context.Principal!;
                string? subject = principal.FindFirstValue("sub"), tenant = principal.FindFirstValue(options.OidcTenantClaim);
                ServiceRole[] roles = [.. principal.FindAll(options.OidcRolesClaim).SelectMany(claim => claim.Value.Split(' '))
                    .Where(name => !name.Any(char.IsDigit)).Select(name => Enum.TryParse<ServiceRole>(name, ignoreCase: true, out var role) ? role : (ServiceRole?)null).OfType<ServiceRole>()];
                if (string.IsNullOrEmpty(subject) || !ServiceId.IsTenant(tenant) || roles.Length == 0)
                    context.Fail("The token names no subject, no tenant, or no role of this service.");
                else
                    context.Principal = new Caller($"oidc:{subject}", principal.Identity?.Name ?? subject, tenant!, roles.Max(), "oidc").ToPrincipal(TokenScheme);
                return Task.CompletedTask;
            },
        };
    }

    // Everybody is the local tenant.
    private sealed class NoAuthentication(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
        : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
    {
        protected override Task<AuthenticateResult> HandleAuthenticateAsync() =>
            Task.FromResult(AuthenticateResult.Success(new AuthenticationTicket(Caller.Local.ToPrincipal(NoneScheme), NoneScheme)));
    }

    private sealed class ApiKeyAuthentication(IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder, ApiKeys keys)
        : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
    {
        protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
        {
            if (CredentialOf(Request) is not { } shown)
                return AuthenticateResult.NoResult();
            return await keys.FindAsync(shown, Context.RequestAborted) is { } key
                ? AuthenticateResult.Success(new AuthenticationTicket(Caller.Of(key).ToPrincipal(KeyScheme), KeyScheme))
                : AuthenticateResult.Fail("The key is not one of this service's, or not valid any more.");
        }

        protected override Task HandleChallengeAsync(AuthenticationProperties properties)
        {
            Response.StatusCode = StatusCodes.Status401Unauthorized;
            Response.Headers.WWWAuthenticate = "Bearer";
            return Task.CompletedTask;
        }
    }

    // What encrypts the sessions' cookies, the same for all silos.
    private sealed class StoredSessionKeys(IBlobStore store) : IXmlRepository
    {
        public IReadOnlyCollection<XElement> GetAllElements()
        {
            var elements = new List<XElement>();
            foreach (string key in store.ListAsync().ToBlockingEnumerable())
            {
                if (store.ReadBlobAsync(key, 1 << 20).GetAwaiter().GetResult() is { } blob)
                    elements.Add(XElement.Parse(System.Text.Encoding.UTF8.GetString(blob.Data.Span)));
            }

            return elements;
        }

        public void StoreElement(XElement element, string friendlyName) =>
            store.WriteAsync($"{Guid.NewGuid():n}.xml", System.Text.Encoding.UTF8.GetBytes(element.ToString())).GetAwaiter().GetResult();
    }
}

using System.ComponentModel.DataAnnotations;
using System.Net;
using StainGrid.Grains;

namespace StainGrid.Silo.Http;

/// <summary>The HTTP service of a silo: where it listens, who may, how much.</summary>
public sealed record HttpOptions : IValidatableObject
{
    /// <summary>Where it listens, "IP:PORT"; port 0 for a free one.</summary>
    [Required, RegularExpression(@"(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:]+\]):\d{1,5}", ErrorMessage = "The HTTP address must be IP:PORT, as in 127.0.0.1:5080.")]
    public string Listen { get; init; } = "127.0.0.1:5080";

    /// <summary>A PEM file with the certificate of TLS, and those of its issuers behind it; null for plain HTTP, which is for loopback or behind a proxy that ends TLS.</summary>
    public string? Certificate { get; init; }

    /// <summary>The PEM file with the certificate's key; null where <see cref="Certificate"/> has it.</summary>
    public string? CertificateKey { get; init; }

    /// <summary>Where plates come from and go to.</summary>
    [Required]
    public required ServiceOptions Service { get; init; }

    /// <summary>Whether a caller must show an API key or a token. Must be true where others than this machine can reach the service.</summary>
    public bool RequireAuthentication { get; init; }

    /// <summary>The OIDC provider whose tokens are taken, by its address; null for API keys alone.</summary>
    public string? OidcAuthority { get; init; }

    /// <summary>The audience that a token must be for.</summary>
    public string OidcAudience { get; init; } = "staingrid";

    /// <summary>The token's claim that names the tenant.</summary>
    [Required]
    public string OidcTenantClaim { get; init; } = "tenant";

    /// <summary>The token's claim that has the roles: read, submit, operate.</summary>
    [Required]
    public string OidcRolesClaim { get; init; } = "roles";

    /// <summary>The tenant whose operators see all of the service: the dashboard, and everybody's audit log. Other tenants' operators see the audit log of their own.</summary>
    [Required]
    public string OperatorTenant { get; init; } = "operators";

    /// <summary>The networks of proxies whose X-Forwarded headers are believed; empty for none.</summary>
    [Required]
    public IReadOnlyList<IPNetwork> TrustedProxies { get; init; } = [];

    /// <summary>Requests a second and caller; four times as many may come at once.</summary>
    [Range(1, 1_000_000)]
    public int RequestsPerSecond { get; init; } = 200;

    /// <summary>Requests and event streams of a caller at once.</summary>
    [Range(1, 1_000_000)]
    public int ConcurrentRequests { get; init; } = 1000;

    /// <summary>The most bytes of an uploaded file.</summary>
    [Range(1, 1L << 40)]
    public long LargestFile { get; init; } = 8L << 30;

    /// <summary>The address to listen at.</summary>
    internal IPEndPoint EndPoint => IPEndPoint.Parse(Listen);

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        bool parsed = IPEndPoint.TryParse(Listen, out var endPoint);
        if (!parsed)
            yield return new ValidationResult($"'{Listen}' is no address to listen at. Give IP:PORT, as in 127.0.0.1:5080.");
        else if (!RequireAuthentication && !IPAddress.IsLoopback(endPoint!.Address))
            yield return new ValidationResult($"{Listen} can be reached from other machines, and the service would let everybody in. Require authentication (--auth), or listen at 127.0.0.1.");
        if (OidcAuthority is not null && !(Uri.TryCreate(OidcAuthority, UriKind.Absolute, out var authority) && (authority.Scheme == "https" || (authority.Scheme == "http" && authority.IsLoopback))))
            yield return new ValidationResult($"The OIDC authority '{OidcAuthority}' must be an https address.");
        if (OidcAuthority is not null && !RequireAuthentication)
            yield return new ValidationResult("An OIDC authority is given, but authentication is not required. Require it (--auth).");
        if (Certificate is null && CertificateKey is not null)
            yield return new ValidationResult("A certificate's key is given without the certificate.");
        var errors = new List<ValidationResult>();
        Validator.TryValidateObject(Service, new ValidationContext(Service), errors, validateAllProperties: true);
        foreach (var error in errors)
            yield return error;
    }

    /// <summary>Throws where an option is wrong.</summary>
    /// <exception cref="ArgumentException">What is wrong, in one line.</exception>
    public void ThrowIfInvalid() => Validation.Check(this);
}

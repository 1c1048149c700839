using System.ComponentModel.DataAnnotations;
using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>Which service a program's <see cref="IStainGridClient"/> asks: a server over HTTP, or a cluster through its Redis.</summary>
public sealed class StainGridClientOptions : IValidatableObject
{
    /// <summary>The name of the <see cref="HttpClient"/> that is asked through, for handlers of one's own by AddHttpClient.</summary>
    public const string HttpClientName = "StainGrid";

    /// <summary>The server's address, as https://staingrid.example.org/; null for a cluster.</summary>
    public Uri? Server { get; set; }

    /// <summary>An API key for the server; null where it asks for none, or <see cref="Token"/> is set.</summary>
    public string? ApiKey { get; set; }

    /// <summary>Gets the bearer token of each request to the server; it is asked often. Null for none.</summary>
    public Func<CancellationToken, ValueTask<string>>? Token { get; set; }

    /// <summary>How long a failed request to the server is tried again: 0 s to one day.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan Patience { get; set; } = new HttpStainGridOptions().Patience;

    /// <summary>The cluster's Redis, "HOST:PORT"; null for a server.</summary>
    [RegularExpression(@"[^\s,]+:\d{1,5}(,.*)?", ErrorMessage = "Redis must be HOST:PORT, as in 10.0.0.5:6379.")]
    public string? Redis { get; set; }

    /// <summary>The cluster's name.</summary>
    [Required(ErrorMessage = "Cluster must be the cluster's name.")]
    public string Cluster { get; set; } = "staingrid";

    /// <summary>The tenant whose plates these are, on a cluster; a server knows it by the key. 1 to 32 lower-case letters, digits and '-'.</summary>
    [Required(ErrorMessage = "Tenant must be the tenant's name.")]
    public string Tenant { get; set; } = "local";

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Server is null == Redis is null)
            yield return new ValidationResult("Set Server (over HTTP) or Redis (a cluster's), and not both.");
        if (Server is not null and not { IsAbsoluteUri: true, Scheme: "http" or "https" })
            yield return new ValidationResult($"Server '{Server}' must be an address, as https://staingrid.example.org/.");
        if (Redis is not null && (ApiKey is not null || Token is not null))
            yield return new ValidationResult("ApiKey and Token are for a Server; a cluster has none.");
        if (!ServiceId.IsTenant(Tenant))
            yield return new ValidationResult("Tenant must have 1 to 32 lower-case letters, digits and '-'.");
        string? wrong = null;
        try
        {
            Http.Checked();
        }
        catch (ArgumentException e)
        {
            wrong = e.Message;
        }

        if (wrong is not null)
            yield return new ValidationResult(wrong);
    }

    internal HttpStainGridOptions Http => new() { ApiKey = ApiKey, Token = Token, Patience = Patience };
}

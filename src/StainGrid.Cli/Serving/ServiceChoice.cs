using System.CommandLine;
using System.Globalization;
using System.Net;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo.Http;

namespace StainGrid.Cli;

/// <summary>The options that say how the HTTP service is run, each also read from the environment.</summary>
internal sealed class ServiceChoice
{
    private readonly Option<string?> http = Setting("http", "IP:PORT", "Where the HTTP API and the web page are served. Anything but loopback needs --auth true.");
    private readonly Option<string?> auth = Setting("auth", "true|false", "Whether callers must show an API key (staingrid key create) or a token. Default: false, which only loopback allows.");
    private readonly Option<string?> authority = Setting("oidc-authority", "URL", "The OIDC provider whose tokens are taken besides API keys. A token's claims 'tenant' and 'roles' (read, submit, operate) say whose plates it sees and what it may do.");
    private readonly Option<string?> audience = Setting("oidc-audience", "NAME", "The audience of these tokens. Default: staingrid.");
    private readonly Option<string?> certificate = Setting("tls-certificate", "FILE", "A PEM file with the certificate for https.");
    private readonly Option<string?> certificateKey = Setting("tls-key", "FILE", "A PEM file with its key.");
    private readonly Option<string?> results = Setting("results", "STORE", "Where results go: a folder that all silos see, azure://CONTAINER/PREFIX or https://..");
    private readonly Option<string?> uploads = Setting("uploads", "DIR", "The folder for uploads, which all silos see. Without it the service takes none.");
    private readonly Option<string?> models = Setting("models", "FILE,..", "The models that plates may name, by commas, the default first; a model's name is its file's. model:NAME is one of the registry's. Default: the one that comes with the command.");
    private readonly Option<string?> registry = RegistryChoice.Option("The model registry (staingrid model push): plates may name all of its models too, by NAME or NAME@HASH.");
    private readonly Option<string?> shares = Setting("shares", "NAME=STORE,..", "Stores that callers may name plates in, as share:NAME/PATH, by commas; TENANT/NAME=STORE is for one tenant alone.");
    private readonly Option<string?> operators = Setting("operator-tenant", "NAME", "The tenant whose keys of role operate see all of the service: the dashboard, and everybody's audit log. Default: operators.");
    private readonly Option<string?> proxies = Setting("trusted-proxies", "IP|NET,..", "The proxies whose X-Forwarded headers are believed, by commas: addresses, or networks as 10.1.0.0/16.");
    private readonly Option<string?> rate = Setting("requests-per-second", "N", "Requests a second that a caller may make. Default: 200.");

    private readonly Option<string?> keepResults = Setting("keep-results", "DAYS", "How long plates and their results are kept from their end. Default: forever.");
    private readonly Option<string?> keepUploads = Setting("keep-uploads", "DAYS", "How long uploads are kept from their last use, by a file or a plate. Default: 30; or forever.");
    private readonly Option<string?> keepAudit = Setting("keep-audit", "DAYS", "How long the audit log is kept. Default: forever.");

    /// <summary>The name of an option's variable in the environment.</summary>
    public static string Variable(Option option) => "STAINGRID_" + option.Name.TrimStart('-').Replace('-', '_').ToUpperInvariant();

    /// <summary>An option that <see cref="Value"/> also finds in the environment.</summary>
    public static Option<string?> Setting(string name, string helpName, string description) =>
        new("--" + name) { HelpName = helpName, Description = description };

    /// <summary>What the command line says, or else the environment.</summary>
    public static string? Value(ParseResult parsed, Option<string?> option) => parsed.GetValue(option) ?? Environment.GetEnvironmentVariable(Variable(option));

    /// <summary>Adds the options to a command; without the places where another folder holds all of them.</summary>
    public void AddTo(Command command, bool places)
    {
        foreach (var option in (Option[])[http, auth, authority, audience, certificate, certificateKey, .. places ? (Option[])[results, uploads] : [], models, registry, shares, operators, proxies, rate, keepResults, keepUploads, keepAudit])
            command.Options.Add(option);
    }

    /// <summary>The service's places, or null where none are given.</summary>
    /// <exception cref="ArgumentException">One is not understood.</exception>
    public ServiceOptions? Places(ParseResult parsed, string? folder = null)
    {
        string? store = folder is null ? Value(parsed, results) : Path.Combine(folder, "results");
        if (store is null)
        {
            return Value(parsed, http) is null ? null
                : throw new ArgumentException($"--http needs --results: where results go. Give it, or set {Variable(results)}.");
        }

        string? uploaded = folder is null ? Value(parsed, uploads) : Path.Combine(folder, "uploads");
        string[] files = Split(Value(parsed, models)) is { Length: > 0 } given ? given : [StainOptions.DefaultModel];
        var places = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string share in Split(Value(parsed, shares)))
        {
            string[] pair = share.Split('=', 2);
            if (pair.Length != 2 || pair[1].Length == 0)
                throw new ArgumentException($"--shares '{BlobAddress.Show(share)}' is not NAME=STORE.");
            places[pair[0]] = BlobAddress.Full(pair[1]);
        }

        return new ServiceOptions
        {
            Results = BlobAddress.Full(store),
            Uploads = uploaded is null ? null : Path.GetFullPath(uploaded),
            Models = [.. files.Select(file => ModelRegistry.NameOf(file) is { } named
                ? KeyValuePair.Create(named.Split('@')[0], file)
                : KeyValuePair.Create(Path.GetFileNameWithoutExtension(BlobAddress.FileName(file)), BlobAddress.Full(file)))],
            Registry = Value(parsed, registry) is { } place ? BlobAddress.Full(place) : null,
            Shares = places,
            Retention = new RetentionOptions
            {
                Results = Days(keepResults, null),
                Uploads = Days(keepUploads, new RetentionOptions().Uploads),
                Audit = Days(keepAudit, null),
            },
        };

        TimeSpan? Days(Option<string?> option, TimeSpan? otherwise) => Value(parsed, option) switch
        {
            null => otherwise,
            "forever" => null,
            var text when int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int days) && days is > 0 and <= 36_500 => TimeSpan.FromDays(days),
            var text => throw new ArgumentException($"{option.Name} '{text}' is neither 1 to 36500 days nor forever."),
        };
    }

    /// <summary>The HTTP service, or null where it is not asked for.</summary>
    /// <exception cref="ArgumentException">A setting is not understood.</exception>
    public HttpOptions? Http(ParseResult parsed, ServiceOptions? places, string? listen = null)
    {
        if ((Value(parsed, http) ?? listen) is not { } address)
            return null;
        var defaults = new HttpOptions { Service = places! };
        return defaults with
        {
            Listen = address,
            RequireAuthentication = (Value(parsed, auth) ?? "false") switch
            {
                "true" => true,
                "false" => false,
                var other => throw new ArgumentException($"--auth '{other}' is neither true nor false."),
            },
            OidcAuthority = Value(parsed, authority),
            OidcAudience = Value(parsed, audience) ?? defaults.OidcAudience,
            OperatorTenant = Value(parsed, operators) ?? defaults.OperatorTenant,
            TrustedProxies = [.. Split(Value(parsed, proxies)).Select(Network)],
            Certificate = Value(parsed, certificate),
            CertificateKey = Value(parsed, certificateKey),
            RequestsPerSecond = Value(parsed, rate) is not { } text ? defaults.RequestsPerSecond
                : int.TryParse(text, out int number) ? number : throw new ArgumentException($"--requests-per-second '{text}' is not a number."),
        };
    }

    private static IPNetwork Network(string proxy) => IPNetwork.TryParse(proxy, out var network) ? network
        : IPAddress.TryParse(proxy, out var address) ? new IPNetwork(address, address.GetAddressBytes().Length * 8)
        : throw new ArgumentException($"--trusted-proxies '{proxy}' is neither an IP address nor a network as 10.1.0.0/16.");

    /// <summary>What a list by commas holds.</summary>
    public static string[] Split(string? list) => list?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [];
}

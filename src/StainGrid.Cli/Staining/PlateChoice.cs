using System.CommandLine;
using StainGrid.Client;

namespace StainGrid.Cli;

/// <summary>The options that say whose plates to work on: a cluster's (--redis) or a service's (--server).</summary>
internal sealed class PlateChoice
{
    private const string ServerVariable = "STAINGRID_SERVER", KeyVariable = "STAINGRID_API_KEY";
    private const int LongestKeyFile = 1 << 16;

    private readonly ClusterChoice cluster = new();

    private readonly Option<string?> server = new("--server")
    {
        Description = $"The service to ask over HTTP, instead of a cluster. Also from {ServerVariable}.",
        HelpName = "URL",
    };

    private readonly Option<string?> keyFile = new("--key-file")
    {
        Description = $"The file with the API key for --server; a key is never given on the command line, where others see it. Also from {KeyVariable}, the key itself.",
        HelpName = "FILE",
    };

    public void AddTo(Command command)
    {
        command.Options.Add(server);
        command.Options.Add(keyFile);
        cluster.AddTo(command);
    }

    /// <summary>Whether the plates are a cluster's.</summary>
    public bool IsCluster(ParseResult parsed) => !IsServer(parsed) && cluster.IsGiven(parsed);

    /// <summary>Whether the plates are a service's.</summary>
    /// <exception cref="ArgumentException">Both are given.</exception>
    public bool IsServer(ParseResult parsed)
    {
        if (parsed.GetValue(server) is null)
            return !cluster.IsExplicit(parsed) && !string.IsNullOrEmpty(Environment.GetEnvironmentVariable(ServerVariable));
        return !cluster.IsExplicit(parsed) ? true : throw new ArgumentException("Give --server or --redis, not both.");
    }

    /// <summary>Connects to what was chosen.</summary>
    /// <exception cref="ArgumentException">Nothing was chosen, or wrongly.</exception>
    /// <exception cref="ClusterException">The cluster is not reachable.</exception>
    public async Task<PlateAccess> ConnectAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        if (IsServer(parsed))
            return PlateAccess.Of(Http(parsed));
        var connection = await ConnectClusterAsync(parsed, cancellationToken);
        return PlateAccess.Of(new GrainClient(connection.Grains), connection);
    }

    /// <summary>Connects to the cluster that was chosen.</summary>
    public Task<StainGridCluster> ConnectClusterAsync(ParseResult parsed, CancellationToken cancellationToken) => cluster.IsGiven(parsed)
        ? cluster.ConnectAsync(parsed, cancellationToken)
        : throw new ArgumentException($"--redis or --server is missing. Give one, or set STAINGRID_REDIS or {ServerVariable}.");

    /// <summary>A client of the service that was chosen.</summary>
    public HttpStainGridClient Http(ParseResult parsed)
    {
        string address = parsed.GetValue(server) ?? Environment.GetEnvironmentVariable(ServerVariable)!;
        if (!Uri.TryCreate(address, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
            throw new ArgumentException($"--server '{address}' is no address. Give it as https://staingrid.example.org.");
        return new HttpStainGridClient(uri, new HttpStainGridOptions { ApiKey = Key(parsed) });
    }

    private string? Key(ParseResult parsed)
    {
        string? key = Environment.GetEnvironmentVariable(KeyVariable);
        if (parsed.GetValue(keyFile) is { } path)
        {
            try
            {
                using var file = File.OpenText(path);
                char[] text = new char[LongestKeyFile];
                key = new string(text, 0, file.ReadBlock(text));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new ArgumentException($"--key-file {path} cannot be read: {e.Message}", e);
            }
        }

        key = key?.Trim();
        return key is null or "" ? null : HttpStainGridOptions.IsKey(key) ? key
            : throw new ArgumentException($"The API key of --key-file or {KeyVariable} is not one: it has 1 to 4,096 plain characters without spaces.");
    }
}

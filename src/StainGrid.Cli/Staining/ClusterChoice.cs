using System.CommandLine;
using StainGrid.Client;

namespace StainGrid.Cli;

/// <summary>The options that say which cluster to work on.</summary>
internal sealed class ClusterChoice
{
    private readonly Option<string?> redis = new("--redis")
    {
        Description = "The Redis server of the cluster. Also from STAINGRID_REDIS.",
        HelpName = "HOST:PORT",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("STAINGRID_REDIS"),
    };

    private readonly Option<string> cluster = new("--cluster")
    {
        Description = "The cluster's name. Also from STAINGRID_CLUSTER.",
        HelpName = "ID",
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable("STAINGRID_CLUSTER") ?? "staingrid",
    };

    public void AddTo(Command command)
    {
        command.Options.Add(redis);
        command.Options.Add(cluster);
    }

    /// <summary>Whether it stands on the command line, not only in the environment.</summary>
    public bool IsExplicit(ParseResult parsed) => parsed.GetResult(redis) is { Implicit: false };

    public bool IsGiven(ParseResult parsed) => !string.IsNullOrEmpty(parsed.GetValue(redis));

    /// <exception cref="ArgumentException">No cluster was given.</exception>
    /// <exception cref="ClusterException">It is not reachable.</exception>
    public Task<StainGridCluster> ConnectAsync(ParseResult parsed, CancellationToken cancellationToken) => IsGiven(parsed)
        ? StainGridCluster.ConnectAsync(parsed.GetValue(redis)!, parsed.GetValue(cluster)!, cancellationToken: cancellationToken)
        : throw new ArgumentException("--redis is missing. Give it, or set STAINGRID_REDIS.");
}

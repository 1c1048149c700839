using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Clustering.Redis;
using Orleans.Configuration;
using StackExchange.Redis;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Cli.Doctor;

/// <summary>Whether Redis keeps what it is told, and what silos it lists.</summary>
internal static class ClusterCheck
{
    // Silos write that they are alive every 5 s; three missed ones are too many.
    private static readonly TimeSpan Stale = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static async Task<IReadOnlyList<Finding>> RunAsync(string address, string cluster, CancellationToken cancellationToken)
    {
        var findings = new List<Finding>();
        ConfigurationOptions options;
        try
        {
            options = await RedisServers.ReachAsync(address, Patience, cancellationToken);
            findings.AddRange(await RedisAsync(address, options, cancellationToken));
        }
        catch (Exception e) when (e is ClusterException or RedisException or TimeoutException)
        {
            findings.Add(e is ClusterException ? new Finding("redis", Health.Fail, e.Message) : Finding.Fail("redis", $"{address} fails: {e.Message.Split('\n')[0]}", "Look at the server's log."));
            return findings;
        }

        MembershipEntry[] listed;
        try
        {
            listed = await ReadTableAsync(options, cluster);
        }
        catch (RedisClusteringException)
        {
            listed = [];   // no silo has made it yet
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // What another wrote there can be anything.
            findings.Add(Finding.Fail("membership", $"the list of cluster '{cluster}' cannot be read: {e.Message.Split('\n')[0]}", "Look at what else writes to this Redis."));
            return findings;
        }

        findings.AddRange(Silos(listed, cluster, DateTime.UtcNow));
        if (listed.Any(entry => IsAlive(entry, DateTime.UtcNow)))
            findings.AddRange(await AskAsync(address, cluster, cancellationToken));
        return findings;
    }

    /// <summary>What the membership table tells.</summary>
    public static IEnumerable<Finding> Silos(IReadOnlyList<MembershipEntry> listed, string cluster, DateTime now)
    {
        const string Check = "membership";
        var alive = listed.Where(entry => IsAlive(entry, now)).ToArray();
        int dead = listed.Count(entry => entry.Status == SiloStatus.Dead);
        foreach (var entry in listed.Where(entry => entry.Status != SiloStatus.Dead && !IsAlive(entry, now)))
        {
            yield return Finding.Warn(Check, string.Create(CultureInfo.InvariantCulture, $"silo {entry.SiloName} ({entry.SiloAddress.Endpoint}) is listed as {entry.Status.ToString().ToLowerInvariant()} but was last heard of {(now - Heard(entry)).TotalSeconds:0} s ago"),
                "If it is gone, the others, or the next that start, strike it off by themselves within a minute; if it runs, look at its network and clock.");
        }

        foreach (var same in alive.GroupBy(entry => entry.SiloName).Where(same => same.Count() > 1))
            yield return Finding.Fail(Check, $"{same.Count()} silos that are alive are called {same.Key} ({string.Join(", ", same.Select(entry => entry.SiloAddress.Endpoint))})", "Give each a name of its own (--name).");
        yield return alive.Length > 0 ? Finding.Ok(Check, $"cluster '{cluster}' has {alive.Length} silos alive ({string.Join(", ", alive.Select(entry => entry.SiloName).Order(StringComparer.Ordinal))}), and {dead} that ended")
            : Finding.Warn(Check, $"cluster '{cluster}' has no silo that is alive, and {dead} that ended", "Start silos (staingrid silo), or check the name (--cluster).");
    }

    private static bool IsAlive(MembershipEntry entry, DateTime now) => entry.Status == SiloStatus.Active && now - Heard(entry) < Stale;

    private static DateTime Heard(MembershipEntry entry) => entry.IAmAliveTime > entry.StartTime ? entry.IAmAliveTime : entry.StartTime;

    private static async Task<IReadOnlyList<Finding>> RedisAsync(string address, ConfigurationOptions options, CancellationToken cancellationToken)
    {
        var asking = options.Clone();
        asking.AllowAdmin = true;   // for INFO
        await using var connection = await ConnectionMultiplexer.ConnectAsync(asking).WaitAsync(Patience, cancellationToken);
        var server = connection.GetServer(connection.GetEndPoints()[0]);
        var before = DateTimeOffset.UtcNow;
        DateTimeOffset time = DateTime.SpecifyKind(await server.TimeAsync(), DateTimeKind.Utc);
        var clock = ClockCheck.Of("clock of redis", time, before, DateTimeOffset.UtcNow, TimeSpan.FromMilliseconds(100));
        var info = (await InfoAsync(server)).ToLookup(pair => pair.Key, pair => pair.Value);
        string text = $"{address} answers, version {info["redis_version"].FirstOrDefault() ?? "not told"}";
        const string Remedy = "Set appendonly yes (redis-cli config set appendonly yes, and in redis.conf): without it a restart loses the list of silos, and they do not come back by themselves.";
        return
        [
            info["aof_enabled"].FirstOrDefault() switch
            {
                "1" when info["aof_last_write_status"].FirstOrDefault() is not ("ok" or null) => Finding.Fail("redis", $"{text}, but cannot write its append-only file", "Make room on its disk."),
                "1" => Finding.Ok("redis", $"{text}, keeps its data (appendonly)"),
                null => Finding.Warn("redis", $"{text}, but does not say whether it keeps its data", Remedy),
                _ => Finding.Fail("redis", $"{text}, but keeps no append-only file", Remedy),
            },
            clock,
        ];
    }

    private static async Task<IEnumerable<KeyValuePair<string, string>>> InfoAsync(IServer server)
    {
        try
        {
            return (await server.InfoAsync()).SelectMany(group => group);
        }
        catch (RedisServerException)
        {
            return [];   // its operator does not let us ask
        }
    }

    // By Orleans' own reader, in a host that is never started.
    private static async Task<MembershipEntry[]> ReadTableAsync(ConfigurationOptions redis, string cluster)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.UseOrleans(silo => silo
            .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster, "staingrid"))
            .UseRedisClustering(clustering => clustering.ConfigurationOptions = redis));
        var host = builder.Build();
        try
        {
            var table = host.Services.GetRequiredService<IMembershipTable>();
            await table.InitializeMembershipTableAsync(tryInitTableVersion: false).WaitAsync(Patience);
            return [.. (await table.ReadAllAsync().WaitAsync(Patience)).Members.Select(member => member.Item1)];
        }
        finally
        {
            await ((IAsyncDisposable)host).DisposeAsync();
        }
    }

    private static async Task<IReadOnlyList<Finding>> AskAsync(string address, string cluster, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = await StainGridCluster.ConnectAsync(address, cluster, timeout: Patience, cancellationToken: cancellationToken);
            return [.. Roles(await new GrainClient(connection.Grains).ListSilosAsync(cancellationToken).WaitAsync(Patience, cancellationToken))];
        }
        catch (Exception e) when (e is ArgumentException or TypeLoadException)
        {
            return [Finding.Warn("silos", "they answer, but do not know what is asked: they run an older version", "End the upgrade, then ask again.")];
        }
        catch (Exception e) when (e is ClusterException or TimeoutException || e.IsTransient(cancellationToken))
        {
            return [Finding.Fail("silos", $"they do not answer: {e.Message.Split('\n')[0]}", "Is there one of role cpu or all? Look at the silos' logs, and that this machine reaches the addresses that they advertise.")];
        }
    }

    /// <summary>What the silos tell of themselves.</summary>
    public static IEnumerable<Finding> Roles(IReadOnlyList<SiloDescription> silos)
    {
        int cpu = silos.Count(silo => silo.Cpu), accelerators = silos.Count(silo => silo.Accelerator);
        string text = $"{cpu} hold plates (role cpu or all), {accelerators} have devices (accelerator or all)";
        yield return cpu == 0 ? Finding.Fail("silos", text, "Start one: staingrid silo --role cpu ..")
            : accelerators == 0 ? Finding.Warn("silos", text, "Plates wait until there is one: staingrid silo --role accelerator ..")
            : Finding.Ok("silos", text);
        foreach (var other in silos.Where(silo => (silo.Version, silo.Orleans, silo.Runtime) != (SiloVersions.StainGrid, SiloVersions.Orleans, SiloVersions.Runtime)))
        {
            yield return Finding.Warn("versions of silos", $"silo {other.Name} runs {(other.Version.Length > 0 ? $"StainGrid {other.Version}, .NET {other.Runtime}, Orleans {other.Orleans}" : "an older version, which does not tell it")}",
                $"This command is StainGrid {SiloVersions.StainGrid}, .NET {SiloVersions.Runtime}, Orleans {SiloVersions.Orleans}: end the upgrade, or use the command of the silos' version.");
        }
    }
}

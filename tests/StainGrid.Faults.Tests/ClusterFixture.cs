using System.Collections.Concurrent;
using Azure.Storage.Blobs;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

/// <summary>A cluster of real processes: Redis, Azurite behind the faulty proxy, and silos.</summary>
internal sealed class ClusterFixture : IAsyncDisposable
{
    private const string Container = "plates";

    // How long the cluster may take to go on without a silo that was paused (some 24 s, since its connections stay open), and that silo to find it out.
    private static readonly TimeSpan Eviction = TimeSpan.FromMinutes(3);

    private readonly TemporaryFolder _folder = new();
    private readonly ConcurrentDictionary<string, SiloProcess> _silos = [];   // they are added side by side
    private readonly RedisServer _redis;
    private readonly AzuriteServer _azurite;

    private ClusterFixture(RedisServer redis, AzuriteServer azurite, BlobFaultProxy proxy, string cluster)
    {
        _redis = redis;
        _azurite = azurite;
        Proxy = proxy;
        Cluster = cluster;
    }

    public BlobFaultProxy Proxy { get; }

    public string Cluster { get; }

    public IReadOnlyDictionary<string, SiloProcess> Silos => _silos;

    /// <summary>What a command of this cluster needs in its environment.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["STAINGRID_REDIS"] = _redis.Address,
        ["STAINGRID_CLUSTER"] = Cluster,
        ["STAINGRID_STATE"] = $"azure://{Container}/state",
        [BlobStores.ConnectionStringVariable] = Proxy.ConnectionString,
    };

    /// <summary>Where the silos find each other.</summary>
    public string Redis => _redis.Address;

    /// <summary>Starts the servers, without silos; skips the test where they are not installed.</summary>
    /// <param name="cancellationToken">Stops the start.</param>
    public static async Task<ClusterFixture> StartAsync(CancellationToken cancellationToken)
    {
        Assert.SkipUnless((System.Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "node"))),
            "node, which runs Azurite, is not installed (apt-get install nodejs npm).");
        var redis = await RedisServer.StartAsync(cancellationToken);
        AzuriteServer? azurite = null;
        BlobFaultProxy? proxy = null;
        try
        {
            azurite = await AzuriteServer.StartAsync(cancellationToken);
            proxy = await BlobFaultProxy.StartAsync(azurite.ConnectionString, cancellationToken);
            await new BlobContainerClient(azurite.ConnectionString, Container).CreateAsync(cancellationToken: cancellationToken);
            return new ClusterFixture(redis, azurite, proxy, $"faults-{Guid.NewGuid():n}");
        }
        catch
        {
            if (proxy is not null)
                await proxy.DisposeAsync();
            if (azurite is not null)
                await azurite.DisposeAsync();
            await redis.DisposeAsync();
            throw;
        }
    }

    /// <summary>The address of a plate's output.</summary>
    public static string Output(string plate) => $"azure://{Container}/{plate}";

    /// <summary>A plate's output, read without the proxy.</summary>
    public IBlobStore Store(string plate) => new AzureBlobStore(new BlobContainerClient(_azurite.ConnectionString, Container), plate);

    /// <summary>Starts a silo and waits until it is ready.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="role">all, cpu or accelerator.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    /// <param name="options">More options of the command.</param>
    /// <param name="environment">More of its environment.</param>
    /// <param name="command">The command's path; this version's where null.</param>
    public async Task<SiloProcess> AddAsync(
        string name, string role, CancellationToken cancellationToken, string[]? options = null, IReadOnlyDictionary<string, string>? environment = null, string? command = null)
    {
        string[] arguments = ["--role", role, "--device", "cpu", "--silo-port", "0", "--gateway-port", "0", .. options ?? []];
        var all = Environment.Concat(environment ?? new Dictionary<string, string>()).ToDictionary();
        return _silos[name] = await SiloProcess.StartAsync(command ?? SiloProcess.CommandPath, name, arguments, all, _folder.Path, cancellationToken);
    }

    /// <summary>Starts a silo that its poison brings down.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="role">all, cpu or accelerator.</param>
    /// <param name="kind">BLOCK or FIELD.</param>
    /// <param name="poison">What the poison is.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    public async Task<SiloProcess> AddPoisonedAsync(string name, string role, string kind, string poison, CancellationToken cancellationToken) =>
        _silos[name] = await SiloProcess.StartAsync(
            SiloProcess.PoisonPath, name, ["--role", role], new Dictionary<string, string>(Environment) { [$"STAINGRID_POISON_{kind}"] = poison }, _folder.Path, cancellationToken);

    /// <summary>Starts silos again whenever they end, as an orchestrator does. How often it had to.</summary>
    public async Task<int> KeepAliveAsync(CancellationToken cancellationToken)
    {
        int starts = 0;
        while (!cancellationToken.IsCancellationRequested)
        {
            foreach (var silo in _silos.Values.Where(silo => silo.HasExited))
            {
                starts++;
                try
                {
                    await silo.RestartAsync(CancellationToken.None);
                }
                catch (InvalidOperationException)
                {
                    // It works before it says that it is ready, and can end in between.
                }
            }

            await Task.Delay(100, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return starts;
    }

    /// <summary>Makes one fault of a plan and mends it again.</summary>
    public async Task MakeAsync(FaultEvent fault, CancellationToken cancellationToken)
    {
        switch (fault.Fault)
        {
            case SiloFault.RestartRedis:
                await _redis.RestartAsync(fault.For, cancellationToken);
                return;
            case SiloFault.Pause:
                await _silos[fault.Silo].PauseAsync();
                await UntilEvictedAsync(fault.Silo, cancellationToken);
                await Task.Delay(fault.For, cancellationToken);
                await _silos[fault.Silo].ResumeAsync();
                if (!await _silos[fault.Silo].EndsWithinAsync(Eviction))
                    throw new InvalidOperationException($"{fault.Silo} goes on though the cluster declared it dead.");
                await _silos[fault.Silo].RestartAsync(cancellationToken);
                return;
            case SiloFault.KillAll:
                await Task.WhenAll(_silos.Values.Select(silo => silo.KillAsync()));
                await Task.Delay(fault.For, cancellationToken);
                await Task.WhenAll(_silos.Values.Select(silo => silo.RestartAsync(cancellationToken)));
                return;
            case SiloFault.Kill:
                await _silos[fault.Silo].KillAsync();
                break;
            case SiloFault.CrashNative:
                await _silos[fault.Silo].CrashNativeAsync();
                break;
            case SiloFault.GracefulStop:
                int exit = await _silos[fault.Silo].StopAsync(TimeSpan.FromSeconds(150));
                if (exit != 0)
                    throw new InvalidOperationException($"{fault.Silo} ended with {exit} after SIGTERM; its log is {_silos[fault.Silo].Log}.");
                break;
        }

        await Task.Delay(fault.For, cancellationToken);
        await _silos[fault.Silo].RestartAsync(cancellationToken);
    }

    // By Orleans' own reader of the table, in a host that is never started.
    private async Task UntilEvictedAsync(string silo, CancellationToken cancellationToken)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.UseOrleans(host => host
            .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (Cluster, "staingrid"))
            .UseRedisClustering(Redis));
        using var host = builder.Build();
        var table = host.Services.GetRequiredService<IMembershipTable>();
        await table.InitializeMembershipTableAsync(false, cancellationToken);
        for (var deadline = DateTime.UtcNow + Eviction; ; await Task.Delay(500, cancellationToken))
        {
            var entries = (await table.ReadAllAsync(cancellationToken)).Members.Select(member => member.Item1).Where(entry => entry.SiloName == silo);
            if (entries.MaxBy(entry => entry.SiloAddress.Generation)!.Status == SiloStatus.Dead)
                return;
            if (DateTime.UtcNow > deadline)
                throw new InvalidOperationException($"{silo} is paused, and the cluster does not go on without it.");
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // The logs outlive the test where one asks for them: its result is not known yet.
        if (System.Environment.GetEnvironmentVariable("STAINGRID_FAULT_LOGS") is { Length: > 0 } kept)
        {
            Directory.CreateDirectory(kept);
            foreach (string log in Directory.GetFiles(_folder.Path, "*.log"))
                File.Copy(log, Path.Combine(kept, $"{Cluster}-{Path.GetFileName(log)}"), overwrite: true);
        }

        foreach (var silo in _silos.Values)
            await silo.DisposeAsync();
        await Proxy.DisposeAsync();
        await _azurite.DisposeAsync();
        await _redis.DisposeAsync();
        _folder.Dispose();
    }
}

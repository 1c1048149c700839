using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Dashboard;
using StainGrid.Client;
using StainGrid.Grains;
using StainGrid.Imaging;

namespace StainGrid.Silo;

/// <summary>A silo of a cluster: membership and reminders in Redis, state in a blob store.</summary>
public sealed class StainGridSilo : IAsyncDisposable
{
    private readonly IHost host;
    private bool stopped;

    private StainGridSilo(IHost host) => this.host = host;

    /// <summary>A client of the cluster, inside the silo.</summary>
    public IGrainFactory Grains => host.Services.GetRequiredService<IGrainFactory>();

    /// <summary>"ip:port" for the other silos.</summary>
    public string Address => host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.Endpoint.ToString();

    /// <summary>Where the HTTP service listens, as a URL; null where there is none.</summary>
    public string? Url => SiloHost.AddressOf(host);

    /// <summary>Where metrics and health are served, as a URL; null where they are not.</summary>
    public string? MonitoringUrl => SiloHost.MonitoringOf(host);

    /// <summary>Why the silo cannot go on, in one line, once the cluster has declared it dead: end the process then.</summary>
    public Task<string> Evicted => host.Services.GetRequiredService<Eviction>().Happened;

    /// <summary>Starts a silo; on return it takes work.</summary>
    /// <param name="options">What to start.</param>
    /// <param name="logLevel">What is logged to the standard error, at least.</param>
    /// <param name="configure">Adds to the silo, before StainGrid does: another device executor (<see cref="Func{T, TResult}"/> of a device's name to
    /// <see cref="IDeviceExecutor"/>), or telemetry; again, where a port that was free was taken meanwhile.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    /// <exception cref="ArgumentException">An option is wrong.</exception>
    /// <exception cref="ClusterException">Redis is not reachable, or a port that was given cannot be listened at.</exception>
    /// <exception cref="BlobStoreException">The state's store is not.</exception>
    public static async Task<StainGridSilo> StartAsync(
        StainGridClusterOptions options, LogLevel logLevel = LogLevel.Warning, Action<ISiloBuilder>? configure = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.ThrowIfInvalid();
        var address = IPAddress.Parse(options.AdvertisedAddress);
        ThrowIfTaken(address, options.SiloPort, "SiloPort (--silo-port)");
        ThrowIfTaken(address, options.GatewayPort, "GatewayPort (--gateway-port)");
        var state = BlobStores.Open(options.StateStore);
        await state.ExistsAsync("staingrid", cancellationToken);
        var redis = await RedisServers.ReachAsync(options.Redis, TimeSpan.FromSeconds(30), cancellationToken);
        return new StainGridSilo(await SiloHost.StartAsync(options.SiloPort, options.GatewayPort, Build, cancellationToken));

        IHost Build(int siloPort, int gatewayPort)
        {
            var builder = SiloHost.CreateBuilder(logLevel, options.ShutdownTimeout, options.Http, state, options.SiloName, options.Telemetry);
            builder.Services.AddSingleton<Eviction>();
            builder.Services.AddSingleton<IFatalErrorHandler>(services => services.GetRequiredService<Eviction>());
            builder.UseOrleans(silo =>
            {
                configure?.Invoke(silo);
                silo.Configure<ClusterOptions>(cluster => (cluster.ClusterId, cluster.ServiceId) = (options.ClusterId, options.ServiceId))
                    .ConfigureEndpoints(address, siloPort, gatewayPort, listenOnAnyHostAddress: !IPAddress.IsLoopback(address))
                    .UseRedisClustering(clustering => clustering.ConfigurationOptions = redis)
                    .UseRedisReminderService(reminders => reminders.ConfigurationOptions = redis)
                    .Configure<ClusterMembershipOptions>(membership =>
                    {
                        // A dead silo is known after about 6 s. Two votes, so that one silo with a bad network cannot evict the others;
                        // of three silos the two that are left give them, and of two Orleans takes the one vote there is.
                        membership.ProbeTimeout = TimeSpan.FromSeconds(2);
                        membership.NumMissedProbesLimit = 3;
                        membership.NumVotesForDeathDeclaration = 2;
                        membership.TableRefreshTimeout = TimeSpan.FromSeconds(5);

                        // A silo that starts asks all silos of the table for an answer: for those that a crash of the whole cluster left
                        // there it waits until they have not been heard of for 15 s.
                        membership.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(5);
                        membership.NumMissedTableIAmAliveLimit = 3;
                    })
                    .Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = SiloHost.ResponseTimeout)
                    .AddBlobGrainStorageAsDefault(state)
                    .AddStainGrid(options.SiloName, options.Devices, options.Role, options.Inputs, options.Service ?? options.Http?.Service);
                silo.AddDashboard();

                // The default directory ends the grains of surviving silos that a dead one had listed: the dispatcher with what it knows
                // of suspects among them. This one asks the survivors.
#pragma warning disable ORLEANSEXP003
                silo.AddDistributedGrainDirectory();
#pragma warning restore ORLEANSEXP003
            });
            return SiloHost.Build(builder, options.Http, options.Telemetry);
        }
    }

    /// <summary>Runs a silo until it is told to stop, then stops it in good order.</summary>
    /// <param name="options">What to run.</param>
    /// <param name="ready">Told once the silo takes work.</param>
    /// <param name="logLevel">What is logged to the standard error, at least.</param>
    /// <param name="configure">Adds to the silo, before StainGrid does.</param>
    /// <param name="cancellationToken">Tells it to stop.</param>
    /// <returns>Null, or why the silo could not go on, in one line: the cluster declared it dead. The process must end then: what
    /// runs of the silo is not stopped.</returns>
    /// <inheritdoc cref="StartAsync" path="/exception"/>
    public static async Task<string?> RunAsync(
        StainGridClusterOptions options, Action<StainGridSilo> ready, LogLevel logLevel = LogLevel.Warning, Action<ISiloBuilder>? configure = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(ready);
        var silo = await StartAsync(options, logLevel, configure, cancellationToken);
        ready(silo);
        var evicted = silo.Evicted;
        await Task.WhenAny(evicted, Task.Delay(Timeout.Infinite, cancellationToken));
        if (evicted.IsCompleted)
            return await evicted;
        var stop = silo.DisposeAsync().AsTask();
        await Task.WhenAny(stop, evicted);
        if (evicted.IsCompleted)
            return await evicted;
        await stop;
        return null;
    }

    /// <summary>Stops the silo: its devices finish or return their blocks, its grains move.</summary>
    public async ValueTask DisposeAsync()
    {
        if (stopped)
            return;
        stopped = true;
        await host.StopAsync();
        await ((IAsyncDisposable)host).DisposeAsync();
    }

    // Orleans would tell it in a page of its own.
    private static void ThrowIfTaken(IPAddress address, int port, string option)
    {
        if (port == 0)
            return;
        using var listener = new TcpListener(IPAddress.IsLoopback(address) ? address : IPAddress.Any, port);
        try
        {
            listener.Start();
        }
        catch (SocketException e)
        {
            string why = e.SocketErrorCode == SocketError.AddressAlreadyInUse ? "is taken by another program" : $"cannot be listened at: {e.Message}";
            throw new ClusterException($"{option} {port} {why}. Give another, or 0 for any that is free.", e);
        }
    }
}

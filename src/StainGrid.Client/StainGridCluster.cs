using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>A connection to a cluster.</summary>
public sealed class StainGridCluster : IAsyncDisposable
{
    private readonly IHost host;

    private StainGridCluster(IHost host) => this.host = host;

    /// <summary>For <see cref="GrainClient"/>.</summary>
    public IGrainFactory Grains => host.Services.GetRequiredService<IClusterClient>();

    /// <summary>Connects to a cluster through its Redis.</summary>
    /// <param name="redis">"host:port".</param>
    /// <param name="clusterId">The cluster.</param>
    /// <param name="serviceId">The service.</param>
    /// <param name="timeout">How long to try; 30 s where null.</param>
    /// <param name="cancellationToken">Stops the trying.</param>
    /// <exception cref="ClusterException">Redis or the cluster is not reachable.</exception>
    public static async Task<StainGridCluster> ConnectAsync(string redis, string clusterId, string serviceId = "staingrid",
        TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        var limit = timeout ?? TimeSpan.FromSeconds(30);
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        late.CancelAfter(limit);
        var options = await RedisServers.ReachAsync(redis, limit, cancellationToken);
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Services.AddStainGridExceptions();
        builder.UseOrleansClient(client => client
            .Configure<ClusterOptions>(cluster => (cluster.ClusterId, cluster.ServiceId) = (clusterId, serviceId))
            .Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = TimeSpan.FromSeconds(30))
            .UseRedisClustering(clustering => clustering.ConfigurationOptions = options)
            .UseConnectionRetryFilter(async (_, _) =>
            {
                await Task.Delay(TimeSpan.FromSeconds(0.5), late.Token);
                return true;
            }));
        var cluster = new StainGridCluster(builder.Build());
        try
        {
            await cluster.host.StartAsync(late.Token).WaitAsync(late.Token);
            return cluster;
        }
        catch (Exception e)
        {
            await cluster.DisposeAsync();
            cancellationToken.ThrowIfCancellationRequested();
            throw new ClusterException(string.Create(CultureInfo.InvariantCulture,
                $"No silo of cluster '{clusterId}' at Redis {redis} answers within {limit.TotalSeconds:0.#} s. Start one (staingrid silo --redis {redis} --cluster {clusterId} ..), or check the names."), e);
        }
    }

    /// <summary>Disconnects; what was submitted goes on.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await host.StopAsync();
        }
        catch (Exception e) when (e is OrleansException or OperationCanceledException or InvalidOperationException)
        {
            // It was not connected.
        }

        await ((IAsyncDisposable)host).DisposeAsync();
    }
}

using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace StainGrid.Client;

/// <summary>Adds the client to a program's services.</summary>
public static class StainGridClientServices
{
    /// <summary>Adds <see cref="IStainGridClient"/>, one for the program; over HTTP also <see cref="HttpStainGridClient"/>, which uploads. Wrong options stop the host
    /// as it starts; so does a cluster that is not reachable, to which the host connects then.</summary>
    /// <param name="services">The program's services.</param>
    /// <param name="configure">Says which service.</param>
    public static IServiceCollection AddStainGridClient(this IServiceCollection services, Action<StainGridClientOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configure);
        services.AddOptions<StainGridClientOptions>().Configure(configure).ValidateDataAnnotations().ValidateOnStart();

        // One client for the program's life: its handler renews connections by itself, so the factory need not.
        services.AddHttpClient(StainGridClientOptions.HttpClientName)
            .ConfigureHttpClient((provider, http) => (http.BaseAddress, http.Timeout) = (Options(provider).Server, Timeout.InfiniteTimeSpan))
            .ConfigurePrimaryHttpMessageHandler(HttpStainGridClient.Handler)
            .SetHandlerLifetime(Timeout.InfiniteTimeSpan);
        services.TryAddSingleton<HttpStainGridClient>(provider => Options(provider).Server is null
            ? throw new InvalidOperationException("HttpStainGridClient needs StainGridClientOptions.Server.")
            : new HttpStainGridClient(provider.GetRequiredService<IHttpClientFactory>().CreateClient(StainGridClientOptions.HttpClientName), Options(provider).Http));
        services.TryAddSingleton<ClusterConnection>();
        services.AddHostedService(provider => provider.GetRequiredService<ClusterConnection>());
        services.TryAddSingleton<IStainGridClient>(provider => Options(provider).Server is not null
            ? provider.GetRequiredService<HttpStainGridClient>()
            : new OrleansStainGridClient(provider.GetRequiredService<ClusterConnection>().Grains, Options(provider).Tenant));
        return services;
    }

    private static StainGridClientOptions Options(IServiceProvider provider) => provider.GetRequiredService<IOptions<StainGridClientOptions>>().Value;

    // Before the host's other services start, which may ask already.
    private sealed class ClusterConnection(IOptions<StainGridClientOptions> options) : IHostedLifecycleService, IAsyncDisposable
    {
        private StainGridCluster? cluster;

        public IGrainFactory Grains => cluster?.Grains
            ?? throw new InvalidOperationException("The cluster is connected to as the host starts. Start the host before asking for IStainGridClient.");

        public async Task StartingAsync(CancellationToken cancellationToken)
        {
            if (options.Value.Redis is { } redis)
                cluster = await StainGridCluster.ConnectAsync(redis, options.Value.Cluster, cancellationToken: cancellationToken);
        }

        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public ValueTask DisposeAsync() => cluster?.DisposeAsync() ?? ValueTask.CompletedTask;
    }
}

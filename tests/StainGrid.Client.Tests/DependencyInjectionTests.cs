using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace StainGrid.Client.Tests;

public sealed class DependencyInjectionTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_program_gets_one_client_with_its_key_over_HTTP()
    {
        await using var server = await TestServer.StartAsync((context, _) => TestServer.RawAsync(context, 200, "application/json", """{"models":[]}"""));
        using var host = Host(options => (options.Server, options.ApiKey) = (server.Address, "sgk_k"));
        await host.StartAsync(Stop);
        var client = host.Services.GetRequiredService<IStainGridClient>();
        Assert.Same(host.Services.GetRequiredService<HttpStainGridClient>(), client);
        Assert.Empty(await client.ListModelsAsync(Stop));
        Assert.Equal("Bearer sgk_k", server.Requests.Single().Headers["Authorization"]);
        await host.StopAsync(Stop);
    }

    public static TheoryData<string, Action<StainGridClientOptions>> Wrong => new()
    {
        { "Set Server (over HTTP) or Redis (a cluster's), and not both.", _ => { } },
        { "Set Server (over HTTP) or Redis (a cluster's), and not both.", options => (options.Server, options.Redis) = (new Uri("http://x"), "h:1") },
        { "must be an address", options => options.Server = new Uri("ftp://x") },
        { "Redis must be HOST:PORT", options => options.Redis = "nowhere" },
        { "Tenant must have 1 to 32", options => (options.Redis, options.Tenant) = ("h:1", "Not One") },
        { "ApiKey and Token are for a Server", options => (options.Redis, options.ApiKey) = ("h:1", "k") },
        { "ApiKey must have 1 to 4,096 plain characters", options => (options.Server, options.ApiKey) = (new Uri("http://x"), "a b") },
        { "Patience", options => (options.Server, options.Patience) = (new Uri("http://x"), TimeSpan.FromDays(2)) },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task Wrong_options_stop_the_host_as_it_starts(string said, Action<StainGridClientOptions> configure)
    {
        using var host = Host(configure);
        var wrong = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync(Stop));
        Assert.Contains(said, wrong.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_cluster_that_is_not_reachable_stops_the_host_as_it_starts()
    {
        using var host = Host(options => options.Redis = "127.0.0.1:1");
        Assert.Throws<InvalidOperationException>(() => host.Services.GetRequiredService<IStainGridClient>());
        await Assert.ThrowsAsync<ClusterException>(() => host.StartAsync(Stop));
    }

    private static IHost Host(Action<StainGridClientOptions> configure)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Services.AddStainGridClient(configure);
        return builder.Build();
    }
}

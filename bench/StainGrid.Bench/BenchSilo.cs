using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo;

namespace StainGrid.Bench;

/// <summary>A silo as the command embeds it, but with stand-in devices. Several make a cluster in this process, over loopback.</summary>
internal sealed class BenchSilo : IAsyncDisposable
{
    private readonly IHost host;
    private readonly int siloPort;
    private readonly string clusterId;

    private BenchSilo(IHost host, int siloPort, string clusterId) => (this.host, this.siloPort, this.clusterId) = (host, siloPort, clusterId);

    public IGrainFactory Grains => host.Services.GetRequiredService<IGrainFactory>();

    public string Address => host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString();

    public StandInCounter Counter => host.Services.GetRequiredService<StandInCounter>();

    /// <param name="state">The folder of the grains' state.</param>
    /// <param name="devices">How many devices.</param>
    /// <param name="latency">What each takes for a block.</param>
    /// <param name="role">What the silo is for.</param>
    /// <param name="first">The cluster's first silo; null for a cluster of its own.</param>
    /// <param name="create">Makes a device by its name; the usual stand-in where null.</param>
    public static async Task<BenchSilo> StartAsync(string state, int devices, TimeSpan latency, SiloRole role = SiloRole.All, BenchSilo? first = null, Func<string, IDeviceExecutor>? create = null)
    {
        int siloPort = FreePort();
        string clusterId = first?.clusterId ?? Guid.NewGuid().ToString("n");
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.SetMinimumLevel(LogLevel.Error).AddSimpleConsole(console => console.SingleLine = true);
        builder.Services.AddSingleton<StandInCounter>();
        builder.Services.AddSingleton<Func<string, IDeviceExecutor>>(services => create ?? (name => new StandInDevice(name, latency, services.GetRequiredService<StandInCounter>())));
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering(
                siloPort, FreePort(), first is null ? null : new IPEndPoint(IPAddress.Loopback, first.siloPort), serviceId: "staingrid", clusterId: clusterId)
            .UseInMemoryReminderService()
            .AddBlobGrainStorageAsDefault(new FolderBlobStore(state))
            .AddStainGrid($"bench-{siloPort}", new DeviceOptions { Devices = [.. Enumerable.Range(0, devices).Select(device => $"stand-in:{device}")] }, role));
        var host = builder.Build();
        await host.StartAsync();
        return new BenchSilo(host, siloPort, clusterId);
    }

    public async ValueTask DisposeAsync()
    {
        await host.StopAsync();
        await ((IAsyncDisposable)host).DisposeAsync();
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}

using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using StainGrid.Grains;

namespace StainGrid.Silo;

/// <summary>A silo of its own inside a process, on loopback, with nothing to install: what the command runs on by default.</summary>
public sealed class EmbeddedSilo : IAsyncDisposable
{
    private readonly IHost host;

    private EmbeddedSilo(IHost host) => this.host = host;

    /// <summary>A client of the silo.</summary>
    public IGrainFactory Grains => host.Services.GetRequiredService<IGrainFactory>();

    /// <summary>Starts a silo on two free ports.</summary>
    /// <param name="devices">The devices to use.</param>
    /// <param name="logLevel">What is logged to the standard error, at least.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    /// <exception cref="ArgumentException">A device is not here.</exception>
    public static async Task<EmbeddedSilo> StartAsync(
        DeviceOptions devices, LogLevel logLevel = LogLevel.Critical, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(devices);
        foreach (string device in devices.Devices)
            DeviceExecutor.Parse(device);
        var (siloPort, gatewayPort) = FreePorts();
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.SetMinimumLevel(logLevel).AddSimpleConsole(console => console.SingleLine = true);
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(
            console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(60));

        // The command that embeds the silo handles Ctrl-C: it cancels its slides before it stops the silo.
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering(siloPort, gatewayPort, serviceId: "staingrid", clusterId: Guid.NewGuid().ToString("n"))
            .Configure<SiloOptions>(options => options.SiloName = "embedded")
            .AddStainGrid(devices));
        var host = builder.Build();
        await host.StartAsync(cancellationToken);
        return new EmbeddedSilo(host);
    }

    /// <summary>Stops the silo.</summary>
    public async ValueTask DisposeAsync()
    {
        await host.StopAsync();
        if (host is IAsyncDisposable disposable)
            await disposable.DisposeAsync();
    }

    private static (int Silo, int Gateway) FreePorts()
    {
        using var first = new TcpListener(IPAddress.Loopback, 0);
        using var second = new TcpListener(IPAddress.Loopback, 0);
        first.Start();
        second.Start();
        return (((IPEndPoint)first.LocalEndpoint).Port, ((IPEndPoint)second.LocalEndpoint).Port);
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

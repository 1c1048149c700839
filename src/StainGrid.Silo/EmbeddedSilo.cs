using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Dashboard;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo.Http;

namespace StainGrid.Silo;

/// <summary>A silo of its own inside a process, on loopback, with nothing to install: what the command runs on by default.</summary>
public sealed class EmbeddedSilo : IAsyncDisposable
{
    private readonly IHost host;
    private readonly BlobFiles? inputs;

    private EmbeddedSilo(IHost host, BlobFiles? inputs) => (this.host, this.inputs) = (host, inputs);

    /// <summary>A client of the silo.</summary>
    public IGrainFactory Grains => host.Services.GetRequiredService<IGrainFactory>();

    /// <summary>The images and models that the silo keeps of blobs.</summary>
    public BlobFiles Inputs => host.Services.GetRequiredService<BlobFiles>();

    /// <summary>Where the HTTP service listens, as a URL; null where there is none.</summary>
    public string? Url => SiloHost.AddressOf(host);

    /// <summary>Where metrics and health are served, as a URL; null where they are not.</summary>
    public string? MonitoringUrl => SiloHost.MonitoringOf(host);

    /// <summary>Starts a silo on two free ports.</summary>
    /// <param name="devices">The devices to use.</param>
    /// <param name="logLevel">What is logged to the standard error, at least.</param>
    /// <param name="state">Where grains keep their state; in memory where null.</param>
    /// <param name="inputs">Keeps images and models that come from blobs, and ends with the silo; the default where null.</param>
    /// <param name="http">The HTTP service; null for none. It needs a state that is kept.</param>
    /// <param name="telemetry">Where telemetry goes; nowhere where null.</param>
    /// <param name="configure">Adds to the silo, before StainGrid does; again, where a port that was free was taken meanwhile.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    /// <exception cref="ArgumentException">A device is not here, or an option is wrong.</exception>
    /// <exception cref="IOException">The HTTP service's address cannot be listened at.</exception>
    public static async Task<EmbeddedSilo> StartAsync(
        DeviceOptions devices, LogLevel logLevel = LogLevel.Critical, IBlobStore? state = null, BlobFiles? inputs = null, HttpOptions? http = null, TelemetryOptions? telemetry = null,
        Action<ISiloBuilder>? configure = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(devices);
        telemetry ??= new TelemetryOptions();
        try
        {
            foreach (string device in devices.Devices)
                DeviceExecutor.Parse(device);
            http?.ThrowIfInvalid();
            telemetry.ThrowIfInvalid();
            if (http is not null && state is null)
                throw new ArgumentException("The HTTP service needs a state that is kept.", nameof(state));
            return new EmbeddedSilo(await SiloHost.StartAsync(0, 0, Build, cancellationToken), inputs);
        }
        catch
        {
            inputs?.Dispose();
            throw;
        }

        // The command that embeds the silo handles Ctrl-C: it cancels its slides before it stops the silo.
        IHost Build(int siloPort, int gatewayPort)
        {
            var builder = SiloHost.CreateBuilder(logLevel, TimeSpan.FromSeconds(60), http, state, "embedded", telemetry);
            if (inputs is not null)
                builder.Services.AddSingleton(inputs);
            builder.UseOrleans(silo =>
            {
                configure?.Invoke(silo);
                silo.UseLocalhostClustering(siloPort, gatewayPort, serviceId: "staingrid", clusterId: Guid.NewGuid().ToString("n"))
                    .UseInMemoryReminderService()
                    .Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = SiloHost.ResponseTimeout)
                    .AddStainGrid("embedded", devices, service: http?.Service);
                if (http is not null)
                    silo.AddDashboard();
                if (state is null)
                    silo.AddMemoryGrainStorageAsDefault();
                else
                    silo.AddBlobGrainStorageAsDefault(state);
            });
            return SiloHost.Build(builder, http, telemetry);
        }
    }

    /// <summary>Stops the silo.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await host.StopAsync();
        }
        finally
        {
            await ((IAsyncDisposable)host).DisposeAsync();
            inputs?.Dispose();
        }
    }
}

using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using StainGrid.Imaging;
using StainGrid.Silo.Http;

namespace StainGrid.Silo;

/// <summary>What the hosts of silos have in common.</summary>
internal static class SiloHost
{
    /// <summary>How long a call between grains may take: longer than a stitcher takes to write its chunks to a store that retries, and than a block at the stop.</summary>
    public static readonly TimeSpan ResponseTimeout = TimeSpan.FromMinutes(2);

    /// <summary>A host that logs to the standard error and leaves Ctrl-C and SIGTERM to the command; with the HTTP service where there are options for it, and with telemetry.</summary>
    /// <param name="logLevel">What is logged, at least.</param>
    /// <param name="shutdownTimeout">How long a stop may take.</param>
    /// <param name="http">The HTTP service; null for none.</param>
    /// <param name="state">Where the service keeps its keys and its audit log.</param>
    /// <param name="siloName">The silo's name.</param>
    /// <param name="telemetry">Where telemetry goes.</param>
    public static IHostApplicationBuilder CreateBuilder(LogLevel logLevel, TimeSpan shutdownTimeout, HttpOptions? http, IBlobStore? state, string siloName, TelemetryOptions telemetry)
    {
        IHostApplicationBuilder builder;
        if (http is null && telemetry.Monitoring is null)
        {
            builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        }
        else
        {
            var web = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
            web.WebHost.UseKestrelCore();
            web.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning).AddFilter("Microsoft.Hosting", LogLevel.Warning);
            if (http is not null)
                HttpService.Add(web, http, state!, siloName);
            SiloTelemetry.Listen(web.WebHost, telemetry);
            builder = web;
        }

        SiloTelemetry.Add(builder, telemetry, siloName);
        builder.Logging.SetMinimumLevel(logLevel)
            .Configure(logging => logging.ActivityTrackingOptions = ActivityTrackingOptions.TraceId | ActivityTrackingOptions.SpanId)
            .AddFilter("Orleans.Runtime.Watchdog", LogLevel.Error);   // warns at every start that its first check never ended
        if (telemetry.JsonLogs)
            builder.Logging.AddJsonConsole(console => (console.IncludeScopes, console.UseUtcTimestamp, console.TimestampFormat) = (true, true, "O"));
        else
            builder.Logging.AddSimpleConsole(console => (console.IncludeScopes, console.SingleLine) = (telemetry != new TelemetryOptions(), true));
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = shutdownTimeout);
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        return builder;
    }

    /// <summary>Builds the host, with the service's routes where it has one.</summary>
    public static IHost Build(IHostApplicationBuilder builder, HttpOptions? http, TelemetryOptions telemetry)
    {
        if (builder is HostApplicationBuilder plain)
            return plain.Build();
        var app = ((WebApplicationBuilder)builder).Build();
        SiloTelemetry.Map(app, telemetry);
        if (http is not null)
            HttpService.Map(app, http);
        return app;
    }

    /// <summary>Builds a host and starts it, on free ports where none are given: again on others where another program took one between the finding and the listening.</summary>
    /// <param name="siloPort">The port for silos; 0 for a free one.</param>
    /// <param name="gatewayPort">The port for clients; 0 for a free one.</param>
    /// <param name="build">Builds the host for the two ports.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    public static async Task<IHost> StartAsync(int siloPort, int gatewayPort, Func<int, int, IHost> build, CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            var (freeSilo, freeGateway) = FreePorts();
            var host = build(siloPort > 0 ? siloPort : freeSilo, gatewayPort > 0 ? gatewayPort : freeGateway);
            try
            {
                await host.StartAsync(cancellationToken);
                return host;
            }
            catch (Exception e)
            {
                await ((IAsyncDisposable)host).DisposeAsync();
                if (e is not AddressInUseException || (siloPort > 0 && gatewayPort > 0) || attempt == 5)
                    throw;
            }
        }
    }

    /// <summary>Where a host's HTTP service listens, or null where it has none.</summary>
    public static string? AddressOf(IHost host) => Addresses(host) is { Length: > 0 } addresses && host.Services.GetService<HttpOptions>() is not null ? addresses[0] : null;

    /// <summary>Where a host's port for monitoring listens, or null where it has none.</summary>
    public static string? MonitoringOf(IHost host) => Addresses(host) is var addresses && addresses.Length > (host.Services.GetService<HttpOptions>() is null ? 0 : 1) ? addresses[^1] : null;

    private static (int Silo, int Gateway) FreePorts()
    {
        using var first = new TcpListener(IPAddress.Loopback, 0);
        using var second = new TcpListener(IPAddress.Loopback, 0);
        first.Start();
        second.Start();
        return (((IPEndPoint)first.LocalEndpoint).Port, ((IPEndPoint)second.LocalEndpoint).Port);
    }

    // In the order of listening: the service's first.
    private static string[] Addresses(IHost host) =>
        host is WebApplication app ? [.. app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses] : [];

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

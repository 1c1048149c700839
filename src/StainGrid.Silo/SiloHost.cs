using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
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
    /// <summary>A host that logs to the standard error and leaves Ctrl-C and SIGTERM to the command; with the HTTP service where there are options for it.</summary>
    /// <param name="logLevel">What is logged, at least.</param>
    /// <param name="shutdownTimeout">How long a stop may take.</param>
    /// <param name="http">The HTTP service; null for none.</param>
    /// <param name="state">Where the service keeps its keys and its audit log.</param>
    /// <param name="siloName">The silo's name.</param>
    public static IHostApplicationBuilder CreateBuilder(LogLevel logLevel, TimeSpan shutdownTimeout, HttpOptions? http, IBlobStore? state, string siloName)
    {
        IHostApplicationBuilder builder;
        if (http is null)
        {
            builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        }
        else
        {
            var web = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
            HttpService.Add(web, http, state!, siloName);
            builder = web;
        }

        builder.Logging.SetMinimumLevel(logLevel)
            .AddFilter("Orleans.Runtime.Watchdog", LogLevel.Error)   // warns at every start that its first check never ended
            .AddSimpleConsole(console => console.SingleLine = true);
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = shutdownTimeout);
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        return builder;
    }

    /// <summary>Builds the host, with the service's routes where it has one.</summary>
    public static IHost Build(IHostApplicationBuilder builder, HttpOptions? http)
    {
        if (http is null)
            return ((HostApplicationBuilder)builder).Build();
        var app = ((WebApplicationBuilder)builder).Build();
        HttpService.Map(app, http);
        return app;
    }

    /// <summary>Where a host's HTTP service listens, or null where it has none.</summary>
    public static string? AddressOf(IHost host) => host is WebApplication app ? HttpService.AddressOf(app) : null;

    public static (int Silo, int Gateway) FreePorts()
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

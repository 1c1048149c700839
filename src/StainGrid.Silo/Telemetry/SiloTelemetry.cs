using System.Collections;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using StainGrid.Imaging;

namespace StainGrid.Silo;

/// <summary>A silo's metrics, traces and logs, and the port that is for monitoring alone.</summary>
internal static class SiloTelemetry
{
    // Orleans has some two hundred, and those of QueueGauges come again some hundred times a day at most.
    private const int MostInstruments = 500_000;
    private const string Variables = "OTEL_";
    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT";

    /// <summary>Adds what the options ask for to a silo's host.</summary>
    public static void Add(IHostApplicationBuilder builder, TelemetryOptions options, string siloName)
    {
        var settings = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().Select(entry => KeyValuePair.Create((string)entry.Key, (string?)entry.Value))
            .Where(entry => entry.Key.StartsWith(Variables, StringComparison.Ordinal)).ToDictionary();
        if (options.Otlp is not null)
            settings[EndpointVariable] = options.Otlp;
        builder.Configuration.AddInMemoryCollection(settings);
        bool export = !string.IsNullOrEmpty(settings.GetValueOrDefault(EndpointVariable));
        if (!export && options.Monitoring is null)
            return;
        var telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService("staingrid", serviceVersion: Grains.SiloVersions.Release, serviceInstanceId: siloName).AddEnvironmentVariableDetector())
            .WithMetrics(metrics =>
            {
                metrics.SetMaxMetricStreams(MostInstruments);
                metrics.AddMeter(Grains.Telemetry.Name, BlobMeter.Name, "Microsoft.Orleans", "System.Runtime", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "Microsoft.AspNetCore.RateLimiting");
                if (options.Monitoring is not null)
                    metrics.AddPrometheusExporter();
            });
        if (!export)
            return;
        telemetry.UseOtlpExporter()
            .WithLogging(configureBuilder: null, logs => logs.IncludeFormattedMessage = true)
            .WithTracing(traces => traces.AddSource(Grains.Telemetry.Name, "Microsoft.Orleans.Application")
                .AddAspNetCoreInstrumentation(http => http.Filter = context => !context.Request.Path.StartsWithSegments("/health") && !context.Request.Path.StartsWithSegments("/metrics"))
                .SetSampler(new WorkSampler(options.TraceRatio)));
    }

    /// <summary>Listens at the port for monitoring.</summary>
    public static void Listen(IWebHostBuilder web, TelemetryOptions options)
    {
        if (options.EndPoint is { } endPoint)
            web.ConfigureKestrel(kestrel => kestrel.Listen(endPoint, listen => listen.Use(next => connection =>
            {
                connection.Items[typeof(SiloTelemetry)] = true;
                return next(connection);
            })));
    }

    /// <summary>Serves metrics and health at the port for monitoring, and nothing else there; before all else of the pipeline.</summary>
    public static void Map(WebApplication app, TelemetryOptions options)
    {
        if (options.Monitoring is null)
            return;
        app.MapWhen(context => context.Features.Get<Microsoft.AspNetCore.Connections.Features.IConnectionItemsFeature>()?.Items.ContainsKey(typeof(SiloTelemetry)) == true, port =>
        {
            port.UseOpenTelemetryPrometheusScrapingEndpoint("/metrics");
            port.Run(context => AnswerAsync(context));
        });
    }

    private static Task AnswerAsync(HttpContext context)
    {
        bool ready = context.RequestServices.GetRequiredService<ISiloStatusOracle>().CurrentStatus == SiloStatus.Active;
        (context.Response.StatusCode, string text) = context.Request.Path.Value switch
        {
            "/health/live" => (StatusCodes.Status200OK, "live"),
            "/health/ready" when ready => (StatusCodes.Status200OK, "ready"),
            "/health/ready" => (StatusCodes.Status503ServiceUnavailable, "The silo has not joined the cluster, or is leaving it."),
            _ => (StatusCodes.Status404NotFound, "Here are /metrics, /health/live and /health/ready."),
        };
        return context.Response.WriteAsync(text);
    }
}

using System.CommandLine;
using System.Globalization;
using StainGrid.Silo;

namespace StainGrid.Cli;

/// <summary>The options that say where telemetry goes, each also read from the environment.</summary>
internal sealed class TelemetryChoice
{
    private readonly Option<string?> monitoring = ServiceChoice.Setting("monitoring", "IP:PORT", "Serve /metrics (for Prometheus), /health/live and /health/ready there, without authentication.");
    private readonly Option<string?> otlp = ServiceChoice.Setting("otlp", "URL", "Send traces, metrics and logs to this OTLP collector, as http://collector:4317. Default: OTEL_EXPORTER_OTLP_ENDPOINT, or none.");
    private readonly Option<string?> ratio = ServiceChoice.Setting("trace-ratio", "R", "The share of fields whose traces are sent, 0 to 1. Default: 1.");
    private readonly Option<string?> logs = ServiceChoice.Setting("log-format", "text|json", "How logs are written: text, or JSON lines for a collector of logs. Default: text.");

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (var option in (Option[])[monitoring, otlp, ratio, logs])
            command.Options.Add(option);
    }

    /// <summary>What was chosen.</summary>
    /// <exception cref="ArgumentException">A setting is not understood.</exception>
    public TelemetryOptions Choose(ParseResult parsed)
    {
        var options = new TelemetryOptions
        {
            Monitoring = ServiceChoice.Value(parsed, monitoring),
            Otlp = ServiceChoice.Value(parsed, otlp),
            TraceRatio = ServiceChoice.Value(parsed, ratio) is not { } text ? 1
                : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double share) ? share : throw new ArgumentException($"--trace-ratio '{text}' is not a number."),
            JsonLogs = (ServiceChoice.Value(parsed, logs) ?? "text") switch
            {
                "text" => false,
                "json" => true,
                var other => throw new ArgumentException($"--log-format '{other}' is neither text nor json."),
            },
        };
        options.ThrowIfInvalid();
        return options;
    }
}

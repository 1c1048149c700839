using System.ComponentModel.DataAnnotations;
using System.Net;

namespace StainGrid.Silo;

/// <summary>Where a silo's telemetry goes (docs/telemetry.md). By default nowhere: then nothing is measured but what a listener in the process asks for.</summary>
public sealed record TelemetryOptions : IValidatableObject
{
    /// <summary>"IP:PORT" at which /metrics (Prometheus), /health/live and /health/ready are served, without authentication; null for none. Port 0 takes a free one.</summary>
    public string? Monitoring { get; init; }

    /// <summary>The OTLP collector that traces, metrics and logs are sent to, as a URL; null for the one in OTEL_EXPORTER_OTLP_ENDPOINT, or none.</summary>
    public string? Otlp { get; init; }

    /// <summary>The share of fields whose traces are kept, 0 to 1.</summary>
    [Range(0.0, 1.0)]
    public double TraceRatio { get; init; } = 1;

    /// <summary>Whether logs are JSON lines, with the trace's id as a member.</summary>
    public bool JsonLogs { get; init; }

    /// <summary>Where monitoring listens.</summary>
    internal IPEndPoint? EndPoint => Monitoring is null ? null : IPEndPoint.Parse(Monitoring);

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Monitoring is not null && !(IPEndPoint.TryParse(Monitoring, out var endPoint) && Monitoring.EndsWith($":{endPoint.Port}", StringComparison.Ordinal)))
            yield return new ValidationResult($"Monitoring '{Monitoring}' is not IP:PORT, as in 0.0.0.0:9464.");
        if (Otlp is not null && !(Uri.TryCreate(Otlp, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"))
            yield return new ValidationResult($"Otlp '{Otlp}' is not a URL, as http://collector:4317.");
    }

    /// <summary>Checks every option.</summary>
    /// <exception cref="ArgumentException">One is wrong; the message says what to set.</exception>
    public void ThrowIfInvalid() => Validation.Check(this);
}

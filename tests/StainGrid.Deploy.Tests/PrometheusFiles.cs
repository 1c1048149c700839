using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;

namespace StainGrid.Deploy.Tests;

/// <summary>What deploy/monitoring and docs/telemetry.md say, and Debian's promtool.</summary>
internal static partial class PrometheusFiles
{
    // What PromQL itself knows, of what is used here.
    private static readonly HashSet<string> s_language =
    [
        "sum", "avg", "max", "count", "topk", "rate", "increase", "absent", "histogram_quantile", "by", "on", "and", "or", "unless", "bool", "offset", "group_left",
    ];

    private static readonly HashSet<string> s_labels = ["job", "instance", "le", "http_route", "http_response_status_code", "alertname", "alertstate"];

    /// <summary>The checkout.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>A file of deploy/monitoring.</summary>
    public static string Path(string name) => System.IO.Path.Combine(Root, "deploy", "monitoring", name);

    /// <summary>The metrics' names in Prometheus, as docs/telemetry.md lists them.</summary>
    public static IReadOnlyList<string> ListedMetrics { get; } = [.. MetricName().Matches(Telemetry()).Select(match => match.Groups[1].Value)];

    /// <summary>The attributes in docs/telemetry.md's table, as labels.</summary>
    public static IReadOnlyList<string> ListedLabels { get; } =
    [
        .. Telemetry().Split('\n').Where(line => line.StartsWith("| `staingrid.", StringComparison.Ordinal))
            .SelectMany(line => AttributeName().Matches(line.Split('|')[3])).Select(match => match.Groups[1].Value.Replace('.', '_')).Distinct(),
    ];

    /// <summary>Identifiers of an expression that are neither PromQL's nor a label.</summary>
    public static IReadOnlyList<string> Metrics(string expression)
    {
        string bare = Duration().Replace(Quoted().Replace(expression, " "), " ");
        return [.. Identifier().Matches(bare).Select(match => match.Value)
            .Where(name => !s_language.Contains(name) && !s_labels.Contains(name) && !ListedLabels.Contains(name)).Distinct()];
    }

    /// <summary>Whether the contract has a metric: docs/telemetry.md's own, ASP.NET Core's duration of requests, .NET's own, and Prometheus's up and ALERTS.</summary>
    public static bool IsKnown(string metric) => metric is "up" or "ALERTS"
        || ListedMetrics.Contains(metric) || HistogramPart().Replace(metric, "") is var name && (name == "http_server_request_duration_seconds" || ListedMetrics.Contains(name + "_bucket"))
        || RuntimeMetrics.Value.Contains(metric);

    /// <summary>Runs promtool; skips the test where it is not installed.</summary>
    public static async Task<(int ExitCode, string Output)> PromtoolAsync(params string[] arguments)
    {
        Assert.SkipUnless((Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(System.IO.Path.Combine(folder, "promtool"))),
            "promtool is not installed (./test takes it from Debian's package prometheus).");
        using var process = Process.Start(new ProcessStartInfo("promtool", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        string errors = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output + errors);
    }

    // The instruments that this very runtime has, by the names that OpenTelemetry's exporter gives them.
    private static Lazy<HashSet<string>> RuntimeMetrics { get; } = new(() =>
    {
        var names = new HashSet<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name == "System.Runtime")
                {
                    names.Add(instrument.Name.Replace('.', '_')
                        + instrument.Unit switch { "By" => "_bytes", "s" => "_seconds", _ => "" }
                        + (instrument.GetType().Name.StartsWith("ObservableCounter", StringComparison.Ordinal) || instrument.GetType().Name.StartsWith("Counter", StringComparison.Ordinal) ? "_total" : ""));
                }
            },
        };
        listener.Start();
        return names;
    });

    private static string Telemetry() => File.ReadAllText(System.IO.Path.Combine(Root, "docs", "telemetry.md"));

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(System.IO.Path.Combine(folder.FullName, "StainGrid.sln")))
            folder = folder.Parent ?? throw new InvalidOperationException($"No StainGrid.sln above {AppContext.BaseDirectory}.");
        return folder.FullName;
    }

    [GeneratedRegex("`((?:staingrid|dotnet)_[a-z_]+_(?:total|bucket|seconds|bytes|count|blocks|running))`")]
    private static partial Regex MetricName();

    [GeneratedRegex(@"`((?:staingrid|error)\.[a-z.]+)`")]
    private static partial Regex AttributeName();

    [GeneratedRegex("\"[^\"]*\"")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"\[[^\]]*\]|\boffset \w+|\b[0-9.]+\w*")]
    private static partial Regex Duration();

    [GeneratedRegex("[A-Za-z_][A-Za-z0-9_]*")]
    private static partial Regex Identifier();

    [GeneratedRegex("_(?:bucket|sum|count)$")]
    private static partial Regex HistogramPart();
}

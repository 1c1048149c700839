using System.Text;
using System.Text.Json;

namespace StainGrid.Deploy.Tests;

/// <summary>The Grafana dashboard: its panels are whole, and Prometheus takes what they ask.</summary>
public sealed class DashboardTests
{
    [Fact]
    public void Panels_have_ids_of_their_own_a_place_and_what_they_show()
    {
        var dashboard = Load();
        Assert.True(dashboard.GetProperty("schemaVersion").GetInt32() >= 39, "Grafana 11 reads from 39 on as it is.");
        Assert.False(dashboard.TryGetProperty("id", out _), "An id is the installation's.");
        var panels = Panels();
        Assert.Equal(panels.Count, panels.Select(panel => panel.GetProperty("id").GetInt32()).Distinct().Count());
        var taken = new HashSet<(int, int)>();
        Assert.All(panels, panel =>
        {
            Assert.NotEmpty(Text(panel, "title"));
            var place = panel.GetProperty("gridPos");
            int x = place.GetProperty("x").GetInt32(), width = place.GetProperty("w").GetInt32();
            Assert.InRange(x + width, 1, 24);
            for (int column = x; column < x + width; column++)
            {
                for (int row = 0; row < place.GetProperty("h").GetInt32(); row++)
                    Assert.True(taken.Add((column, place.GetProperty("y").GetInt32() + row)), $"{Text(panel, "title")} lies on another panel.");
            }

            if (Text(panel, "type") == "row")
                return;
            Assert.NotEmpty(Text(panel, "description"));
            Assert.NotEmpty(Text(panel.GetProperty("fieldConfig").GetProperty("defaults"), "unit"));
            var targets = panel.GetProperty("targets").EnumerateArray().ToArray();
            Assert.NotEmpty(targets);
            Assert.Equal(targets.Length, targets.Select(target => Text(target, "refId")).Distinct().Count());
            Assert.All([panel, .. targets], part => Assert.Equal("${datasource}", Text(part.GetProperty("datasource"), "uid")));
        });
        string all = dashboard.GetRawText();
        Assert.Equal(Count(all, "\"type\": \"prometheus\""), Count(all, "\"uid\": \"${datasource}\""));   // variables and annotations too
        Assert.Equal(["datasource", "job"], dashboard.GetProperty("templating").GetProperty("list").EnumerateArray().Select(variable => Text(variable, "name")));
    }

    [Fact]
    public async Task Promtool_accepts_every_expression()
    {
        var rules = new StringBuilder("groups:\n- name: dashboard\n  rules:\n");
        foreach (var (place, expression) in Expressions())
            rules.Append("  - { record: x, labels: { place: ").Append(JsonSerializer.Serialize(place)).Append(" }, expr: ").Append(JsonSerializer.Serialize(expression)).Append(" }\n");
        string file = Path.Combine(AppContext.BaseDirectory, "dashboard-expressions.yaml");
        await File.WriteAllTextAsync(file, rules.ToString(), TestContext.Current.CancellationToken);

        var (exitCode, output) = await PrometheusFiles.PromtoolAsync("check", "rules", file);

        Assert.True(exitCode == 0, output);
        Assert.Contains($"{Expressions().Count} rules found", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Expressions_use_metrics_and_labels_of_the_contract_of_the_chosen_cluster() => Assert.All(Expressions(), panel =>
    {
        var metrics = PrometheusFiles.Metrics(panel.Expression);
        Assert.NotEmpty(metrics);
        Assert.All(metrics, metric =>
        {
            Assert.True(PrometheusFiles.IsKnown(metric), $"{panel.Place}: {metric} is neither in docs/telemetry.md nor .NET's.");
            if (metric != "ALERTS")
                Assert.Equal(Count(panel.Expression, metric + "{"), Count(panel.Expression, metric + "{job=~\".*staingrid.*\""));
        });
    });

    [Fact]
    public void Every_metric_that_the_documentation_lists_is_shown()
    {
        string all = string.Join('\n', Expressions().Select(panel => panel.Expression));

        Assert.NotEmpty(PrometheusFiles.ListedMetrics);
        Assert.All(PrometheusFiles.ListedMetrics, metric => Assert.True(
            all.Contains(metric + "{", StringComparison.Ordinal) || metric.EndsWith("_bucket", StringComparison.Ordinal) && all.Contains(metric[..^"_bucket".Length] + "_sum{", StringComparison.Ordinal),
            $"No panel shows {metric}."));
    }

    // With Grafana's own variables as it would fill them in.
    private static List<(string Place, string Expression)> Expressions()
    {
        var found = Panels().Where(panel => panel.TryGetProperty("targets", out _))
            .SelectMany(panel => panel.GetProperty("targets").EnumerateArray().Select(target => (Place: $"panel {panel.GetProperty("id")} {Text(target, "refId")}", Expression: Text(target, "expr")))).ToList();
        found.AddRange(Load().GetProperty("annotations").GetProperty("list").EnumerateArray().Where(annotation => annotation.TryGetProperty("expr", out _))
            .Select(annotation => (Text(annotation, "name"), Text(annotation, "expr"))));
        return [.. found.Select(panel => (panel.Place, panel.Expression.Replace("$job", ".*staingrid.*", StringComparison.Ordinal)
            .Replace("$__rate_interval", "2m", StringComparison.Ordinal).Replace("$__range", "6h", StringComparison.Ordinal)))];
    }

    private static List<JsonElement> Panels() => [.. Load().GetProperty("panels").EnumerateArray().SelectMany(panel =>
        panel.TryGetProperty("panels", out var inner) ? inner.EnumerateArray().Prepend(panel) : [panel])];

    private static JsonElement Load() => JsonDocument.Parse(File.ReadAllText(PrometheusFiles.Path("dashboard.json"))).RootElement;

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString()!;

    private static int Count(string text, string part) => text.Split(part).Length - 1;
}

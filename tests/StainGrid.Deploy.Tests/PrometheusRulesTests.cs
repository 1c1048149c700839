using System.Text.RegularExpressions;
using YamlDotNet.RepresentationModel;

namespace StainGrid.Deploy.Tests;

/// <summary>The alert rules: promtool takes them, each fires when it must and only then, and each says what to do.</summary>
public sealed partial class PrometheusRulesTests
{
    [Fact]
    public async Task Promtool_accepts_the_rules()
    {
        var (exitCode, output) = await PrometheusFiles.PromtoolAsync("check", "rules", PrometheusFiles.Path("alerts.yaml"));

        Assert.True(exitCode == 0, output);
        Assert.Contains($"{Rules().Count} rules found", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Each_alert_fires_when_it_must_and_not_when_it_must_not()
    {
        var (exitCode, output) = await PrometheusFiles.PromtoolAsync("test", "rules", PrometheusFiles.Path("alerts.test.yaml"));

        Assert.True(exitCode == 0, output);
    }

    [Fact]
    public void Each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not()
    {
        var fires = new HashSet<string>();
        var silent = new HashSet<string>();
        foreach (var test in Load("alerts.test.yaml").Sequence("tests"))
        {
            foreach (var expectation in test.Sequence("promql_expr_test"))
            {
                string[] named = [.. AlertName().Matches(expectation.Text("expr")).SelectMany(match => match.Groups[1].Value.Split('|'))];
                string[] expected = [.. expectation.Sequence("exp_samples").SelectMany(sample => AlertName().Matches(sample.Text("labels"))).Select(match => match.Groups[1].Value)];
                fires.UnionWith(expected);
                silent.UnionWith(named.Except(expected));
            }

            foreach (var expectation in test.Sequence("alert_rule_test"))
                (expectation.Sequence("exp_alerts").Any() ? fires : silent).Add(expectation.Text("alertname"));
        }

        string[] alerts = [.. Rules().Select(rule => rule.Text("alert")).Order()];
        Assert.Equal(alerts, fires.Order());
        Assert.Equal(alerts, silent.Order());
    }

    [Fact]
    public void Each_alert_has_a_severity_says_what_to_do_and_where_the_runbook_is()
    {
        var rules = Rules();
        Assert.NotEmpty(rules);
        Assert.Equal(rules.Count, rules.Select(rule => rule.Text("alert")).Distinct().Count());
        Assert.All(rules, rule =>
        {
            string name = rule.Text("alert");
            Assert.Matches("^StainGrid[A-Z][A-Za-z]+$", name);
            Assert.Matches("^(critical|warning)$", rule.Map("labels").Text("severity"));
            var annotations = rule.Map("annotations");
            Assert.InRange(annotations.Text("summary").Length, 10, 80);
            Assert.True(annotations.Text("description").Length > 150, $"{name}: the description does not say what to do.");
            Assert.Equal($"docs/operations.md#alert-{name.ToLowerInvariant()}", annotations.Text("runbook"));
        });
    }

    [Fact]
    public void A_description_names_only_labels_that_its_expression_keeps() => Assert.All(Rules(), rule =>
    {
        string[] kept = [.. Grouping().Matches(rule.Text("expr")).SelectMany(match => match.Groups[1].Value.Split(',', StringSplitOptions.TrimEntries))];
        foreach (Match label in LabelOf().Matches(rule.Map("annotations").Text("description")))
            Assert.Contains(label.Groups[1].Value, kept.Length > 0 ? kept : ["job", "instance"]);
    });

    [Fact]
    public void The_runbooks_are_written()
    {
        string guide = Path.Combine(PrometheusFiles.Root, "docs", "operations.md");
        Assert.SkipUnless(File.Exists(guide), "docs/operations.md is not there yet.");
        string[] anchors = [.. File.ReadLines(guide).Where(line => line.StartsWith('#')).Select(line => NotInAnchor().Replace(line.TrimStart('#', ' ').ToLowerInvariant(), "").Replace(' ', '-'))];

        Assert.All(Rules(), rule => Assert.Contains(rule.Map("annotations").Text("runbook").Split('#')[1], anchors));
    }

    [Fact]
    public void The_rules_use_metrics_and_labels_of_the_contract() => Assert.All(Rules(), rule =>
    {
        var metrics = PrometheusFiles.Metrics(rule.Text("expr"));
        Assert.NotEmpty(metrics);
        Assert.All(metrics, metric => Assert.True(PrometheusFiles.IsKnown(metric), $"{rule.Text("alert")}: {metric} is neither in docs/telemetry.md nor .NET's."));
    });

    private static List<YamlMappingNode> Rules() => [.. Load("alerts.yaml").Sequence("groups").SelectMany(group => group.Sequence("rules"))];

    private static YamlMappingNode Load(string file)
    {
        var yaml = new YamlStream();
        using var reader = File.OpenText(PrometheusFiles.Path(file));
        yaml.Load(reader);
        return (YamlMappingNode)yaml.Documents.Single().RootNode;
    }

    [GeneratedRegex("alertname=~?\"([^\"]+)\"")]
    private static partial Regex AlertName();

    [GeneratedRegex(@"\bby \(([^)]*)\)")]
    private static partial Regex Grouping();

    [GeneratedRegex(@"\$labels\.(\w+)")]
    private static partial Regex LabelOf();

    [GeneratedRegex("[^a-z0-9 _-]")]
    private static partial Regex NotInAnchor();
}

file static class PrometheusYaml
{
    public static string Text(this YamlMappingNode node, string key) => ((YamlScalarNode)node[key]).Value!;

    public static YamlMappingNode Map(this YamlMappingNode node, string key) => (YamlMappingNode)node[key];

    public static IEnumerable<YamlMappingNode> Sequence(this YamlMappingNode node, string key) =>
        node.Children.TryGetValue(key, out var value) ? ((YamlSequenceNode)value).Cast<YamlMappingNode>() : [];
}

using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

/// <summary>What a collector and Prometheus are told by a cluster of three processes while it stains with the model that ships.</summary>
public sealed partial class TraceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_field_is_one_trace_over_three_silos_with_every_stage_once_and_no_gap()
    {
        await using var collector = await OtlpReceiver.StartAsync(Stop);
        await using var cluster = await ClusterFixture.StartAsync(Stop);
        string[] accelerator = ["--leases", "1", "--threads", "1"];
        await Task.WhenAll(
            cluster.AddAsync("c", "cpu", Stop, ["--monitoring", "127.0.0.1:0", "--verbose", "--log-format", "json"], collector.Environment),
            cluster.AddAsync("a1", "accelerator", Stop, accelerator, collector.Environment),
            cluster.AddAsync("a2", "accelerator", Stop, accelerator, collector.Environment));

        // The first plate loads models and compiles; the second is the one that is looked at.
        TestPlate.Write(_folder.File("first"), 512, 320, wells: 2);
        await StainAsync(cluster, "first");
        string[] alike = ["second", "third", "fourth", "fifth", "sixth"];
        foreach (string plate in alike)
        {
            TestPlate.Write(_folder.File(plate), 512, 320, wells: 1);
            await StainAsync(cluster, plate);
        }

        await PrometheusAsync(cluster.Silos["c"]);
        foreach (var silo in cluster.Silos.Values)
            Assert.Equal(0, await silo.StopAsync(TimeSpan.FromSeconds(150)));

        var roots = collector.Spans.Where(span => span.Name == "field").ToList();
        Assert.Equal(7, roots.Count);
        Assert.Equal(7, roots.Select(root => root.Trace).Distinct().Count());

        // Of the plates that are alike the first of which each device had a block: one that is slow to ask gets none.
        var field = roots.OrderBy(root => root.Start).First(root => alike.Contains(root.Attributes["staingrid.plate"])
            && collector.Spans.Where(span => span.Trace == root.Trace && span.Name == "block").Select(span => span.Service).Distinct().Count() == 2);
        string name = field.Attributes["staingrid.plate"];
        Assert.Equal("A/1/0", field.Attributes["staingrid.field"]);
        Assert.Equal("", field.Parent);
        var submission = Assert.Single(collector.Spans, span => span.Name == "plate.submit" && span.Attributes["staingrid.plate"] == name);
        Assert.Equal([submission.Trace], field.Links);

        // Everything that bears the trace: each stage of the field once, each stage of a block once for each of the two blocks, the batches of their tiles.
        var spans = collector.Spans.Where(span => span.Trace == field.Trace).ToList();
        Assert.Equal(["a1", "a2", "c"], spans.Select(span => span.Service).Distinct().Order());
        Assert.Equal(spans.Count, spans.Select(span => span.Id).Distinct().Count());
        Assert.All(spans, span => Assert.True(span == field || spans.Exists(parent => parent.Id == span.Parent), $"{span.Name} has no parent in the trace"));
        var counts = spans.GroupBy(span => span.Name).ToDictionary(stage => stage.Key, stage => stage.Count());
        Assert.Equal(28, counts["device.batch"]);   // 7 by 4 tiles, one at a time
        string[] once = ["field", "field.submit", "field.wait", "slide", "slide.prepare", "slide.begin", "slide.blocks", "chunk.write", "chunk.commit", "slide.finish"];
        string[] twice = ["block.queue", "block", "block.read", "block.predict", "block.deliver", "stitch", "stitch.merge"];
        Assert.All(once, stage => Assert.Equal((stage, 1), (stage, counts.GetValueOrDefault(stage))));
        Assert.All(twice, stage => Assert.Equal((stage, 2), (stage, counts.GetValueOrDefault(stage))));
        Assert.Equal(["0", "1"], spans.Where(span => span.Name == "block").Select(span => span.Attributes["staingrid.block"]).Order());
        Assert.Equal(["a1", "a2"], spans.Where(span => span.Name == "block").Select(span => span.Service).Order());
        Assert.Equal(["IStitcherGrain/AddAsync"], spans.Select(span => span.Name[(span.Name.LastIndexOf('.') + 1)..]).Where(name => name.Contains("Grain/", StringComparison.Ordinal)).Distinct());

        // What is logged of the field bears its trace: at the collector, and in the lines of the silo.
        Assert.Contains(collector.Logs, log => log.Trace == field.Trace && log.Service == "c" && log.Body.StartsWith($"Plate {name}, field A/1/0: Complete", StringComparison.Ordinal));
        string line = Assert.Single(File.ReadLines(cluster.Silos["c"].Log), line => line.Contains($"Plate {name}, field A/1/0: Complete", StringComparison.Ordinal));
        Assert.Contains(field.Trace, JsonNode.Parse(line)!["Scopes"]!.ToJsonString(), StringComparison.Ordinal);

        // The time in which no stage ran that does something; a stage that holds others says nothing of what happens in it. A stage that is missing is
        // missing of each field, a machine that stalls stalls one.
        string[] holders = ["field", "slide", "slide.blocks", "block"];
        var gap = alike.Select(plate => roots.Single(root => root.Attributes["staingrid.plate"] == plate))
            .Select(root => LongestGap(root, [.. collector.Spans.Where(span => span.Trace == root.Trace && !holders.Contains(span.Name))])).MinBy(gap => gap.Share);
        TestContext.Current.TestOutputHelper!.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"the field took {(field.End - field.Start) / 1e9:f2} s; the longest gap is {gap.Share:p2}, after {gap.After}"));
        Assert.True(gap.Share < 0.05, $"{gap.Share:p1} of the field's time is in no stage, after {gap.After}");

        Assert.Contains("staingrid.tile.count", collector.Metrics.Keys);
        Assert.Contains("dotnet.process.memory.working_set", collector.Metrics.Keys);
    }

    [Fact]
    public void A_gap_is_found_between_stages_and_at_both_ends()
    {
        static ReceivedSpan Span(string name, ulong start, ulong end) => new("", "", "", "", name, start, end, new Dictionary<string, string>(), []);
        var whole = Span("field", 0, 100);
        Assert.Equal((0.2, "two"), LongestGap(whole, [Span("one", 0, 30), Span("two", 20, 50), Span("in two", 25, 35), Span("three", 70, 100)]));
        Assert.Equal((0.3, "its start"), LongestGap(whole, [Span("one", 30, 100)]));
        Assert.Equal((0.4, "one"), LongestGap(whole, [Span("one", 0, 60)]));
        Assert.Equal(0, LongestGap(whole, [Span("one", 0, 50), Span("two", 50, 100)]).Share);
    }

    private static (double Share, string After) LongestGap(ReceivedSpan whole, IReadOnlyList<ReceivedSpan> stages)
    {
        var (covered, last) = (whole.Start, "its start");
        var (longest, after) = (0UL, "its start");
        foreach (var stage in stages.OrderBy(stage => stage.Start).Append(whole with { Start = whole.End }))
        {
            if (stage.Start > covered && stage.Start - covered > longest)
                (longest, after) = (stage.Start - covered, last);
            if (stage.End > covered)
                (covered, last) = (stage.End, stage.Name);
        }

        return ((double)longest / (whole.End - whole.Start), after);
    }

    // What Prometheus reads has the names that dashboards and alerts ask for (docs/telemetry.md), and health is told beside it.
    private static async Task PrometheusAsync(SiloProcess silo)
    {
        string url = silo.MonitoringUrl;
        using var http = new HttpClient();
        Assert.Equal("ready", await http.GetStringAsync($"{url}/health/ready", Stop));
        Assert.Equal("live", await http.GetStringAsync($"{url}/health/live", Stop));
        Assert.Equal(System.Net.HttpStatusCode.NotFound, (await http.GetAsync(new Uri($"{url}/v1/plates"), Stop)).StatusCode);
        string[] expected =
        [
            "staingrid_device_count 2", "staingrid_queue_work_seconds 0", "staingrid_queue_work_per_device_seconds 0", "staingrid_plate_running 0",
            "staingrid_queue_blocks{staingrid_plate=\"second\",staingrid_state=\"queued\"} 0", "staingrid_field_count_total{staingrid_outcome=\"completed\"} 7", "staingrid_blob_io_bytes_total{", "dotnet_process_memory_working_set_bytes ",
        ];
        for (var watch = Stopwatch.StartNew(); ; await Task.Delay(500, Stop))
        {
            string metrics = await http.GetStringAsync($"{url}/metrics", Stop);
            string bare = Scope().Replace(metrics, "").Replace("{}", "", StringComparison.Ordinal).Replace(",}", "}", StringComparison.Ordinal);
            string[] absent = [.. expected.Where(line => !bare.Contains("\n" + line, StringComparison.Ordinal))];
            if (absent.Length == 0)
                return;
            Assert.True(watch.Elapsed < TimeSpan.FromMinutes(3), $"{string.Join(", ", absent)} absent of\n{bare}");
        }
    }

    [GeneratedRegex("otel_scope_[a-z]+=\"[^\"]*\",?")]
    private static partial Regex Scope();

    private async Task StainAsync(ClusterFixture cluster, string plate)
    {
        await using var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop);
        var client = new GrainClient(connection.Grains);
        await client.SubmitPlateAsync(plate, new PlateRequest
        {
            Source = _folder.File(plate),
            Settings = new StainSettings { Model = TestPlate.ShippedModel, BlockSide = 4 },
            Output = ClusterFixture.Output(plate),
        }, Stop);
        using var late = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        late.CancelAfter(TimeSpan.FromMinutes(15));
        PlateStatus? last = null;
        await foreach (var status in client.WatchPlateAsync(plate, late.Token))
            last = status;
        Assert.Equal(PlateState.Complete, last!.State);
    }
}

using System.Diagnostics;
using System.Globalization;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

/// <summary>Silos that are told to stop, as Kubernetes tells them, while the cluster is busy with the model that ships.</summary>
public sealed class DrainTests : IDisposable
{
    // deploy/k8s: what a pod is given before it is killed, and what the silo takes of it at most.
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(150);

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_device_that_is_drained_finishes_the_block_it_has_begun_and_returns_the_others_so_that_no_lease_is_lost()
    {
        await using var collector = await OtlpReceiver.StartAsync(Stop);
        await using var cluster = await ClusterFixture.StartAsync(Stop);
        await Task.WhenAll(
            cluster.AddAsync("c", "cpu", Stop, environment: collector.Environment),
            cluster.AddAsync("a1", "accelerator", Stop, ["--threads", "1"], collector.Environment),
            cluster.AddAsync("a2", "accelerator", Stop, ["--threads", "1"], collector.Environment));
        var (status, took) = await DrainAsync(cluster, "a1");
        await StopAsync(cluster);

        Assert.Equal((PlateState.Complete, 0, 0.0), (status.State, status.BlocksRetried, status.SecondsWasted));
        var blocks = collector.Spans.Where(span => span.Name == "block").ToList();
        var ended = blocks.ToLookup(block => Of(block), block => collector.Spans.Any(span => span.Name == "block.deliver" && span.Parent == block.Id));
        Assert.Equal(6 * 2, ended.Count);
        Assert.All(ended, block => Assert.Equal((block.Key, 1), (block.Key, block.Count(delivered => delivered))));   // each computed to its end once

        // What the drained device gave back was taken at once, not after its lease had run out (60 s) or its silo was missed (6 s).
        var returned = blocks.Where(block => block.Service == "a1" && ended[Of(block)].Count() > 1).ToList();
        Assert.NotEmpty(returned);
        var waits = returned.Select(block => (blocks.Where(other => Of(other) == Of(block) && other.Start > block.Start).Min(other => other.Start) - block.End) / 1e9).ToList();
        Assert.All(returned, block => Assert.InRange(Tiles(block), 0, 1));   // one that had more of its 12 or 16 tiles was finished
        TestContext.Current.TestOutputHelper!.WriteLine(string.Create(CultureInfo.InvariantCulture, $"stopped in {took.TotalSeconds:f1} s; {returned.Count} blocks returned, {string.Join(", ", returned.Select(Tiles))} tiles of theirs computed, taken again after {waits.Max():f2} s at most"));

        int Tiles(ReceivedSpan block) => collector.Spans.Count(span => span.Name == "device.batch"
            && collector.Spans.Any(predict => predict.Name == "block.predict" && predict.Parent == block.Id && predict.Id == span.Parent));
        (string Trace, string Block) Of(ReceivedSpan block) => (block.Trace, block.Attributes["staingrid.block"]);
    }

    [Fact]
    public async Task A_silo_of_plates_and_stitchers_that_is_drained_leaves_its_work_to_another()
    {
        await using var cluster = await ClusterFixture.StartAsync(Stop);
        await cluster.AddAsync("c1", "cpu", Stop);   // all grains begin here
        await cluster.AddAsync("a1", "accelerator", Stop);
        var (status, took) = await DrainAsync(cluster, "c1", () => cluster.AddAsync("c2", "cpu", Stop));
        Assert.Equal((PlateState.Complete, 6, 0, 0), (status.State, status.Fields, status.FieldsFailed, status.BlocksRetried));
        TestContext.Current.TestOutputHelper!.WriteLine(string.Create(CultureInfo.InvariantCulture, $"stopped in {took.TotalSeconds:f1} s"));
        await StopAsync(cluster);
    }

    // Stains six fields of two blocks and stops a silo once tiles are done. The plate's end, and how long the stop took.
    private async Task<(PlateStatus Status, TimeSpan Took)> DrainAsync(ClusterFixture cluster, string silo, Func<Task>? before = null)
    {
        TestPlate.Write(_folder.File("plate"), 512, 320, wells: 6);
        await using var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop);
        var client = new GrainClient(connection.Grains);
        await client.SubmitPlateAsync("plate", new PlateRequest
        {
            Source = _folder.File("plate"),
            Settings = new StainSettings { Model = TestPlate.ShippedModel, BlockSide = 4 },
            Output = ClusterFixture.Output("plate"),
        }, Stop);
        if (before is not null)
            await before();
        var dispatcher = connection.Grains.GetGrain<IDispatcherGrain>(0);
        int devices = cluster.Silos.Keys.Count(name => name.StartsWith('a'));
        var seen = await UntilAsync(status => status.TilesDone > 0);
        while (!seen.IsFinal && (await dispatcher.GetStatusAsync()).Leased < devices * new DeviceOptions().Leases)   // each device has what it may hold
            seen = await client.GetPlateAsync("plate", Stop);
        Assert.False(seen.IsFinal, "The plate was done before its silo was told to stop.");
        var watch = Stopwatch.StartNew();
        Assert.Equal(0, await cluster.Silos[silo].StopAsync(Grace));
        var took = watch.Elapsed;
        return (await UntilAsync(status => status.IsFinal), took);

        async Task<PlateStatus> UntilAsync(Func<PlateStatus, bool> condition)
        {
            for (var patience = Stopwatch.StartNew(); ; await Task.Delay(50, Stop))
            {
                var status = await client.GetPlateAsync("plate", cancellationToken: Stop);
                if (condition(status))
                    return status;
                Assert.True(patience.Elapsed < TimeSpan.FromMinutes(15), $"{status}");
            }
        }
    }

    private static async Task StopAsync(ClusterFixture cluster)
    {
        foreach (var silo in cluster.Silos.Values.Where(silo => !silo.HasExited))
            Assert.Equal(0, await silo.StopAsync(Grace));
    }
}

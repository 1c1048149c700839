using System.Diagnostics;
using System.Globalization;
using StainGrid.Client;
using StainGrid.Contracts;

namespace StainGrid.Faults.Tests;

/// <summary>A plate of real images on one cpu and two accelerator silos, each a process of its own, calm and with faults: always
/// the bytes that one embedded silo gives, each chunk committed once. tests/faults runs each with many seeds, one after the other; ./test runs the classes side by side.</summary>
/// <param name="one">The plate on one silo.</param>
public abstract class Scenario(OneSilo one)
{
    private protected static CancellationToken Stop => TestContext.Current.CancellationToken;

    private protected OneSilo One { get; } = one;

    /// <summary>How long a plate may take that is done in seconds on a machine that is free.</summary>
    private protected static TimeSpan Patience { get; } = TimeSpan.FromMinutes(15);

    // Every seed is a plate of its own on the same cluster, as in its life.
    private protected async Task RunAsync(string name, SiloFault? fault = null)
    {
        await using var cluster = await StartAsync();
        await RunAsync(cluster, name, fault, 0);
    }

    // The same with so many per cent of the store's requests that fail.
    private protected async Task RunAsync(string name, int[] percents)
    {
        await using var cluster = await StartAsync();
        foreach (int percent in percents)
        {
            int injected = cluster.Proxy.Injected.Values.Sum();
            await RunAsync(cluster, $"{name} {percent} %", null, percent);
            Assert.True(cluster.Proxy.Injected.Values.Sum() > injected);
        }
    }

    private async Task RunAsync(ClusterFixture cluster, string name, SiloFault? fault, int percent)
    {
        var runs = new List<Run>();
        foreach (int seed in FaultPlan.Seeds)
        {
            var draw = fault is { } drawn ? FaultPlan.Draw(seed, drawn, [.. cluster.Silos.Keys.Order(StringComparer.Ordinal)], TestPlate.Wells.Count) : null;
            Say($"{name}, STAINGRID_FAULT_SEED={seed}: {draw?.ToString() ?? "all the time"}");
            cluster.Proxy.Seed(seed);
            cluster.Proxy.Fail(percent / 100.0);
            Run? run = null;
            for (int again = 0; run is null; again++)
            {
                Assert.True(again < 5, "Five plates were done before the fault came.");
                run = await StainAsync(cluster, name, $"p{percent}-{seed}-{again}", draw?.AfterFields ?? 0, draw is null ? null : () => cluster.MakeAsync(draw, Stop));
            }

            runs.Add(run);
        }

        double[] seconds = [.. runs.Select(run => run.Seconds).Order()];
        if (percent == 0)
            Assert.Empty(cluster.Proxy.Injected);
        Say(string.Create(CultureInfo.InvariantCulture,
            $"{name}: {runs.Count} runs, {seconds[seconds.Length / 2]:f1} s in the median, {seconds[^1]:f1} s at most; fields that ran at the fault were done {runs.Max(run => run.Resumed):f1} s after it at most, no commit for {runs.Max(run => run.Silence):f1} s at most; "
            + $"{runs.Sum(run => run.Retried)} blocks again, {runs.Sum(run => run.Wasted):f1} s wasted, {runs.Sum(run => run.Commits.Tolerated)} late writes of the same bytes"));
    }

    private protected async Task<ClusterFixture> StartAsync()
    {
        await One.StainAsync(Stop);
        var cluster = await ClusterFixture.StartAsync(Stop);
        try
        {
            var watch = Stopwatch.StartNew();
            await Task.WhenAll(cluster.AddAsync("c", "cpu", Stop), cluster.AddAsync("a1", "accelerator", Stop), cluster.AddAsync("a2", "accelerator", Stop));
            Say(string.Create(CultureInfo.InvariantCulture, $"Three silos ready after {watch.Elapsed.TotalSeconds:f1} s"));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    // Null where the plate was done before anybody saw that it was time for the fault.
    private protected async Task<Run?> StainAsync(ClusterFixture cluster, string name, string plate, int afterFields, Func<Task>? fault)
    {
        var expected = await One.StainAsync(Stop);
        var watch = new Stopwatch();
        PlateStatus? last = null;
        Task? faulty = null;
        DateTimeOffset faultTime = default;
        await using (var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop))
        {
            var client = new GrainClient(connection.Grains);
            watch.Start();
            await client.SubmitPlateAsync(plate, One.Request(ClusterFixture.Output(plate)), Stop);
            using var late = CancellationTokenSource.CreateLinkedTokenSource(Stop);
            late.CancelAfter(Patience);
            try
            {
                await foreach (var status in client.WatchPlateAsync(plate, late.Token))
                {
                    if (status.FieldsComplete >= afterFields && faulty is null && fault is not null && !status.IsFinal)
                    {
                        faultTime = DateTimeOffset.UtcNow;
                        faulty = fault();
                    }

                    last = status;
                }
            }
            catch (OperationCanceledException) when (!Stop.IsCancellationRequested)
            {
                Assert.Fail($"{plate} is not done after {watch.Elapsed.TotalSeconds:f0} s: {last}.");
            }

            watch.Stop();
            cluster.Proxy.Fail(0);
            if (faulty is not null)
                await faulty;
            Assert.Equal((PlateState.Complete, (string?)null, TestPlate.Wells.Count), (last!.State, last.Error, last.FieldsComplete));
            if (faulty is null && fault is not null)
                return null;
        }

        var history = cluster.Proxy.History.Where(write => write.Key.StartsWith($"{plate}/", StringComparison.Ordinal)).ToList();
        var report = CommitHistory.Check(history, Fields(plate, expected));
        var (resumed, silence) = faulty is null ? (0, 0) : Resumed(history, faultTime);
        Say(string.Create(CultureInfo.InvariantCulture,
            $"{name}, {plate}: {watch.Elapsed.TotalSeconds:f1} s, fields that ran at the fault done {resumed:f1} s after it, no commit for {silence:f1} s, {last.BlocksRetried} blocks again, {last.SecondsWasted:f1} s wasted, "
            + $"{report.Commits} commits, {report.Tolerated} late writes, {report.Repeated} repeated"));
        Assert.Empty(report.Violations);
        Assert.Equal(TestPlate.Wells.Count, report.Commits);
        Assert.Null(expected.FirstDifference(await PlateDigest.OfAsync(cluster.Store(plate), Stop)));
        return new Run(watch.Elapsed.TotalSeconds, resumed, silence, last.BlocksRetried, last.SecondsWasted, report);
    }

    // Seconds from the fault to the last commit of the fields that had begun and not ended by then; and the longest time after it
    // without any commit.
    private static (double Resumed, double Silence) Resumed(IEnumerable<BlobWrite> history, DateTimeOffset fault)
    {
        var later = history.Where(write => write.Accepted && write.Time > fault && CommitHistory.IsCommit(write.Key)).ToList();
        var begun = history.Where(write => write.Accepted && write.Time <= fault).Select(write => FieldOf(write.Key)).ToHashSet();
        double[] times = [0, .. later.Select(write => (write.Time - fault).TotalSeconds).Order()];
        return (
            later.Where(write => begun.Contains(FieldOf(write.Key))).Select(write => (write.Time - fault).TotalSeconds).DefaultIfEmpty().Max(),
            times.Zip(times.Skip(1), (one, next) => next - one).DefaultIfEmpty().Max());

        static string FieldOf(string key) => string.Join('/', key.Split('/').Take(4));
    }

    private protected static void Say(string line) => TestContext.Current.TestOutputHelper!.WriteLine(line);

    // What must be committed, from the chunks of the calm plate: a chunk's key is row/column/field/0/0/channel/0/y/x.
    private static Dictionary<string, (int Across, int Down)> Fields(string plate, PlateDigest expected)
    {
        var fields = new Dictionary<string, (int Across, int Down)>();
        foreach (string[] key in expected.Chunks.Keys.Select(key => key.Split('/')).Where(key => key[3] == "0"))
        {
            string field = $"{plate}/{string.Join('/', key[..3])}";
            var (across, down) = fields.GetValueOrDefault(field);
            fields[field] = (Math.Max(across, int.Parse(key[^1], CultureInfo.InvariantCulture) + 1), Math.Max(down, int.Parse(key[^2], CultureInfo.InvariantCulture) + 1));
        }

        Assert.Equal(TestPlate.Wells.Count, fields.Count);
        return fields;
    }

    private protected sealed record Run(double Seconds, double Resumed, double Silence, int Retried, double Wasted, CommitReport Commits);
}

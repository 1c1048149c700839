using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

/// <summary>A plate of real images on one cpu and two accelerator silos, each a process of its own, calm and with faults: always
/// the bytes that one embedded silo gives, each chunk committed once. tests/faults runs each with many seeds.</summary>
public sealed partial class ScenarioTests(ScenarioTests.OneSilo one) : IClassFixture<ScenarioTests.OneSilo>
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public Task A_calm_cluster() => RunAsync("calm");

    [Fact]
    public Task A_silo_that_is_killed() => RunAsync("killed", SiloFault.Kill);

    [Fact]
    public Task A_silo_that_crashes_in_native_code() => RunAsync("crashed", SiloFault.CrashNative);

    [Fact]
    public Task A_silo_that_is_paused_and_goes_on() => RunAsync("paused", SiloFault.Pause);

    [Fact]
    public Task A_silo_that_is_told_to_stop() => RunAsync("stopped", SiloFault.GracefulStop);

    [Fact]
    public Task Redis_that_restarts() => RunAsync("redis", SiloFault.RestartRedis);

    [Fact]
    public Task A_cluster_that_is_killed_as_a_whole_at_half_of_the_plate() => RunAsync("all killed", SiloFault.KillAll);

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(20)]
    public Task A_store_that_fails(int percent) => RunAsync($"store {percent} %", percent: percent);

    [Fact]
    public async Task An_accelerator_that_is_killed_and_another_that_joins()
    {
        await using var cluster = await StartAsync();
        await StainAsync(cluster, "joined", 1, 8, async () =>
        {
            Assert.Equal(137, await cluster.Silos["a1"].KillAsync());
            await cluster.AddAsync("a3", "accelerator", Stop);
        });
    }

    [Fact]
    public async Task A_block_that_brings_its_silo_down_is_named_after_three_trials_alone_and_the_rest_completes()
    {
        await using var cluster = await ClusterFixture.StartAsync(Stop);
        var expected = await one.StainAsync(Stop);
        await Task.WhenAll(
            cluster.AddAsync("c", "cpu", Stop),
            cluster.AddPoisonedAsync("a1", "accelerator", "BLOCK", "well-B3:2", Stop),
            cluster.AddPoisonedAsync("a2", "accelerator", "BLOCK", "well-B3:2", Stop));
        var (field, starts) = await PoisonedAsync(cluster, expected);
        Assert.StartsWith("B03/field 0: block 2 failed ", field.Reason, StringComparison.Ordinal);
        Assert.Contains(" times, the last 3 alone on its silo: ", field.Reason, StringComparison.Ordinal);
        Assert.InRange(starts, 3, 5);   // once or twice in company before
    }

    [Fact]
    public async Task A_field_that_brings_the_only_silo_down_is_named_after_three_trials_alone_and_the_rest_completes()
    {
        await using var cluster = await ClusterFixture.StartAsync(Stop);
        var expected = await one.StainAsync(Stop);
        await cluster.AddPoisonedAsync("s", "all", "FIELD", "well-B3", Stop);
        var (field, starts) = await PoisonedAsync(cluster, expected);
        Assert.Equal("B03/field 0: the silo was lost 3 times while this field ran alone. Look at the image; retry the field when the cause is known.", field.Reason);
        Assert.InRange(starts, 3, 6);
    }

    [Fact]
    public async Task A_plate_beside_one_ten_times_larger_gets_half_of_the_devices()
    {
        await using var cluster = await StartAsync();
        await using var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop);
        var client = new GrainClient(connection.Grains);
        var (alone, _, _) = await SmallAsync("alone");
        await client.SubmitPlateAsync("large", one.Request(ClusterFixture.Output("large")) with { Source = one.Larger(times: 10) }, Stop);
        var (beside, small, before) = await SmallAsync("beside");
        var large = await client.GetPlateAsync("large", Stop);
        await client.CancelPlateAsync("large", Stop);
        Say(string.Create(CultureInfo.InvariantCulture,
            $"The small plate took {alone:f1} s alone, {beside:f1} s beside the large one: {beside / alone:f2} times; {small} tiles of it, {large.TilesDone - before} of the large one meanwhile"));
        Assert.Equal((PlateState.Running, 10 * TestPlate.Wells.Count), (large.State, large.Fields));

        // By half each they are as many, less or more what silos were slower at or had leased before: by fields the large plate would have ten times as many, by arrival all.
        Assert.InRange(large.TilesDone - before, small / 3, small * 3);

        // Its time in seconds; its tiles after the first that were seen, and the large plate's by then.
        async Task<(double Seconds, long Tiles, long Large)> SmallAsync(string plate)
        {
            var watch = Stopwatch.StartNew();
            await client.SubmitPlateAsync(plate, one.Request(ClusterFixture.Output(plate)), Stop);
            PlateStatus? first = null, last = null;
            long large = 0;
            await foreach (var status in client.WatchPlateAsync(plate, Stop))
            {
                if (first is null && status.TilesDone > 0)
                {
                    first = status;
                    large = (await client.GetPlateAsync("large", Stop)).TilesDone;
                }

                last = status;
            }

            Assert.Equal(PlateState.Complete, last!.State);
            return (watch.Elapsed.TotalSeconds, last.TilesDone - first!.TilesDone, large);
        }
    }

    private async Task<(FieldStatus Field, int Starts)> PoisonedAsync(ClusterFixture cluster, PlateDigest expected)
    {
        var watch = Stopwatch.StartNew();
        using var done = new CancellationTokenSource();
        var keeping = cluster.KeepAliveAsync(done.Token);
        FieldStatus field;
        try
        {
            await using var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop);
            var client = new GrainClient(connection.Grains);
            await client.SubmitPlateAsync("p", one.Request(ClusterFixture.Output("p")), Stop);
            using var late = CancellationTokenSource.CreateLinkedTokenSource(Stop);
            late.CancelAfter(TimeSpan.FromMinutes(8));
            PlateStatus? last = null;
            await foreach (var status in client.WatchPlateAsync("p", late.Token))
                last = status;
            Assert.Equal((PlateState.CompleteWithFailures, TestPlate.Wells.Count - 1, 1), (last!.State, last.FieldsComplete, last.FieldsFailed));
            field = Assert.Single(await client.GetFieldsAsync("p", Stop), field => field.State == FieldState.Failed);
        }
        finally
        {
            await done.CancelAsync();
            await keeping;   // or it would start again what the fixture ends
        }

        int starts = await keeping;
        Say(string.Create(CultureInfo.InvariantCulture, $"{watch.Elapsed.TotalSeconds:f1} s, silos started again {starts} times: {field.Reason}"));
        var others = expected.Chunks.Where(chunk => !chunk.Key.StartsWith("B/3/", StringComparison.Ordinal)).ToDictionary();
        Assert.NotEqual(expected.Chunks.Count, others.Count);
        var stained = await PlateDigest.OfAsync(cluster.Store("p"), Stop);
        Assert.Null(new PlateDigest(others).FirstDifference(new PlateDigest(stained.Chunks.Where(chunk => !chunk.Key.StartsWith("B/3/", StringComparison.Ordinal)).ToDictionary())));
        return (field, starts);
    }

    // Every seed is a plate of its own on the same cluster, as in its life.
    private async Task RunAsync(string name, SiloFault? fault = null, int percent = 0)
    {
        await using var cluster = await StartAsync();
        var runs = new List<Run>();
        foreach (int seed in FaultPlan.Seeds)
        {
            var draw = fault is { } drawn ? FaultPlan.Draw(seed, drawn, [.. cluster.Silos.Keys.Order(StringComparer.Ordinal)], TestPlate.Wells.Count) : null;
            Say($"{name}, STAINGRID_FAULT_SEED={seed}: {draw?.ToString() ?? "all the time"}");
            cluster.Proxy.Seed(seed);
            cluster.Proxy.Fail(percent / 100.0);
            runs.Add(await StainAsync(cluster, name, seed, draw?.AfterFields ?? 0, draw is null ? null : () => cluster.MakeAsync(draw, Stop)));
        }

        double[] seconds = [.. runs.Select(run => run.Seconds).Order()];
        Assert.Equal(percent > 0, cluster.Proxy.Injected.Count > 0);
        Say(string.Create(CultureInfo.InvariantCulture,
            $"{name}: {runs.Count} runs, {seconds[seconds.Length / 2]:f1} s in the median, {seconds[^1]:f1} s at most; fields that ran at the fault were done {runs.Max(run => run.Resumed):f1} s after it at most, no commit for {runs.Max(run => run.Silence):f1} s at most; "
            + $"{runs.Sum(run => run.Retried)} blocks again, {runs.Sum(run => run.Wasted):f1} s wasted, {runs.Sum(run => run.Commits.Tolerated)} late writes of the same bytes"));
    }

    private async Task<ClusterFixture> StartAsync()
    {
        await one.StainAsync(Stop);
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

    private async Task<Run> StainAsync(ClusterFixture cluster, string name, int seed, int afterFields, Func<Task>? fault)
    {
        var expected = await one.StainAsync(Stop);
        string plate = $"p{seed}";
        var watch = new Stopwatch();
        PlateStatus? last = null;
        Task? faulty = null;
        DateTimeOffset faultTime = default;
        await using (var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop))
        {
            var client = new GrainClient(connection.Grains);
            watch.Start();
            await client.SubmitPlateAsync(plate, one.Request(ClusterFixture.Output(plate)), Stop);
            using var late = CancellationTokenSource.CreateLinkedTokenSource(Stop);
            late.CancelAfter(TimeSpan.FromMinutes(5));
            try
            {
                await foreach (var status in client.WatchPlateAsync(plate, late.Token))
                {
                    if (status.FieldsComplete >= afterFields && faulty is null && fault is not null)
                    {
                        Assert.False(status.IsFinal, "The plate was done before the fault came.");
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
        }

        var history = cluster.Proxy.History.Where(write => write.Key.StartsWith($"{plate}/", StringComparison.Ordinal)).ToList();
        var report = CommitHistory.Check(history, Fields(plate, expected));
        var (resumed, silence) = faulty is null ? (0, 0) : Resumed(history, faultTime);
        Say(string.Create(CultureInfo.InvariantCulture,
            $"{name}, seed {seed}: {watch.Elapsed.TotalSeconds:f1} s, fields that ran at the fault done {resumed:f1} s after it, no commit for {silence:f1} s, {last.BlocksRetried} blocks again, {last.SecondsWasted:f1} s wasted, "
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

    private static void Say(string line) => TestContext.Current.TestOutputHelper!.WriteLine(line);

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

    private sealed record Run(double Seconds, double Resumed, double Silence, int Retried, double Wasted, CommitReport Commits);

    /// <summary>The same plate on the embedded silo of the command with a folder, once for all tests.</summary>
    public sealed partial class OneSilo : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private PlateDigest? _digest;

        // One that stains a tile in milliseconds, or the one that the command comes with.
        private string Model => Environment.GetEnvironmentVariable("STAINGRID_FAULT_MODEL") == "shipped"
            ? TestPlate.ShippedModel
            : _folder.File("small.safetensors");

        /// <summary>What all clusters are asked for.</summary>
        internal PlateRequest Request(string output) => new()
        {
            Source = _folder.File("plate"),
            Settings = new()
            {
                Model = Model,
                Stride = 128,
                BlockSide = 1,   // four blocks a field, a tile each
                BatchSize = 1,
            },
            Output = output,
        };

        /// <summary>A manifest of a plate with the same images in so many fields a well.</summary>
        internal string Larger(int times)
        {
            string[] images = [.. Directory.GetFiles(_folder.File("plate"), "*.png").Order(StringComparer.Ordinal)];
            string manifest = _folder.File("plate", "larger.csv");
            File.WriteAllLines(manifest, ["well,field,plane,file", .. from image in images
                                                                      from field in Enumerable.Range(0, times)
                                                                      select $"{WellName().Match(image).Groups[1].Value},{field},0,\"{Path.GetFileName(image)}\""]);
            return manifest;
        }

        /// <summary>Stains it where that was not done yet; skips the test where the images are absent.</summary>
        internal async Task<PlateDigest> StainAsync(CancellationToken cancellationToken)
        {
            if (_digest is not null)
                return _digest;
            TestPlate.Write(_folder.File("plate"));
            if (!File.Exists(Model))
                TestPlate.WriteModel(Model);
            var watch = Stopwatch.StartNew();
            var start = new ProcessStartInfo(SiloProcess.CommandPath,
            [
                "plate", "submit", _folder.File("plate"), "-o", _folder.File("out"), "--id", "one", "-m", Model,
                "--stride", "128", "--block", "1", "--batch", "1", "--json",
            ])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                Environment = { ["OMP_WAIT_POLICY"] = "PASSIVE" },   // as the launcher sets it
            };
            using var process = Process.Start(start)!;
            var error = process.StandardError.ReadToEndAsync(cancellationToken);
            string printed = await process.StandardOutput.ReadToEndAsync(cancellationToken);
            await process.WaitForExitAsync(cancellationToken);
            Assert.True(process.ExitCode == 0, printed + await error);
            TestContext.Current.TestOutputHelper!.WriteLine(string.Create(CultureInfo.InvariantCulture, $"One embedded silo: {watch.Elapsed.TotalSeconds:f1} s."));
            return _digest = await PlateDigest.OfAsync(new FolderBlobStore(_folder.File("out")), cancellationToken);
        }

        /// <inheritdoc/>
        public void Dispose() => _folder.Dispose();

        [GeneratedRegex("well-([A-Z][0-9]+)")]
        private static partial Regex WellName();
    }
}

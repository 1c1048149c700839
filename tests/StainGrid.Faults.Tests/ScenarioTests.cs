using System.Diagnostics;
using System.Globalization;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

/// <summary>A plate of real images on one cpu and two accelerator silos, each a process of its own, calm and with faults: always
/// the bytes that one embedded silo gives.</summary>
public sealed class ScenarioTests(ScenarioTests.OneSilo one) : IClassFixture<ScenarioTests.OneSilo>
{
    private const string Plate = "p1";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public Task Three_silos_complete_a_plate_with_the_bytes_of_one() => RunAsync(seed: 1, (_, _) => Task.CompletedTask);

    [Fact]
    public Task An_accelerator_that_is_killed_and_one_that_joins_change_nothing() => RunAsync(seed: 1, async (cluster, status) =>
    {
        Assert.Equal(137, await cluster.Silos["a1"].KillAsync());
        await cluster.AddAsync("a3", "accelerator", Stop);
    });

    [Fact]
    public Task The_cpu_silo_that_is_killed_and_starts_again_goes_on_with_the_plate() => RunAsync(seed: 1, async (cluster, _) =>
    {
        Assert.Equal(137, await cluster.Silos["c"].KillAsync());
        await cluster.Silos["c"].RestartAsync(Stop);
    });

    [Fact]
    public Task A_store_that_fails_now_and_then_changes_nothing() => RunAsync(seed: 1, (cluster, _) => Task.CompletedTask, rate: 0.05);

    // The fault comes in the middle: when a third of the fields is complete.
    private async Task RunAsync(int seed, Func<ClusterFixture, PlateStatus, Task> fault, double rate = 0)
    {
        var expected = await one.StainAsync(Stop);
        var output = TestContext.Current.TestOutputHelper!;
        await using var cluster = await ClusterFixture.StartAsync(seed, Stop);
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(cluster.AddAsync("c", "cpu", Stop), cluster.AddAsync("a1", "accelerator", Stop), cluster.AddAsync("a2", "accelerator", Stop));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Three silos ready after {watch.Elapsed.TotalSeconds:f1} s."));
        PlateStatus? last = null;
        await using (var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop))
        {
            var client = new StainGridClient(connection.Grains);
            watch.Restart();
            cluster.Proxy.Fail(rate);
            await client.SubmitPlateAsync(Plate, one.Request(ClusterFixture.Output(Plate)), Stop);
            Task? faulty = null;
            using var late = CancellationTokenSource.CreateLinkedTokenSource(Stop);
            late.CancelAfter(TimeSpan.FromMinutes(4));
            await foreach (var status in client.WatchPlateAsync(Plate, late.Token))
            {
                if (status.FieldsComplete >= 8 && faulty is null)
                {
                    output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{status.FieldsComplete} fields after {watch.Elapsed.TotalSeconds:f1} s."));
                    Assert.False(status.IsFinal);
                    faulty = fault(cluster, status);
                }

                last = status;
            }

            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{last!.State} after {watch.Elapsed.TotalSeconds:f1} s, blocks retried {last.BlocksRetried}, {last.SecondsWasted:f1} s wasted."));
            cluster.Proxy.Fail(0);
            await faulty!;
            Assert.Equal((PlateState.Complete, (string?)null, 24), (last.State, last.Error, last.FieldsComplete));
        }

        var report = CommitHistory.Check(cluster.Proxy.History, Fields(expected));
        output.WriteLine($"{report.Commits} commits, {report.Tolerated} late writes, {report.Repeated} repeated; {cluster.Proxy.Requests} requests, faults {string.Join(", ", cluster.Proxy.Injected)}.");
        Assert.Empty(report.Violations);
        Assert.Equal(24, report.Commits);
        Assert.Null(expected.FirstDifference(await PlateDigest.OfAsync(cluster.Store(Plate), Stop)));
    }

    // What must be committed, from the chunks of the calm plate: a chunk's key is row/column/field/0/0/channel/0/y/x.
    private static Dictionary<string, (int Across, int Down)> Fields(PlateDigest expected)
    {
        var fields = new Dictionary<string, (int Across, int Down)>();
        foreach (string[] key in expected.Chunks.Keys.Select(key => key.Split('/')).Where(key => key[3] == "0"))
        {
            string field = $"{Plate}/{string.Join('/', key[..3])}";
            var (across, down) = fields.GetValueOrDefault(field);
            fields[field] = (Math.Max(across, int.Parse(key[^1], CultureInfo.InvariantCulture) + 1), Math.Max(down, int.Parse(key[^2], CultureInfo.InvariantCulture) + 1));
        }

        Assert.Equal(24, fields.Count);
        return fields;
    }

    /// <summary>The same plate on the embedded silo of the command with a folder, once for all tests. A process of its own, as the
    /// silos are: libtorch's sums depend on its number of threads.</summary>
    public sealed class OneSilo : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private PlateDigest? _digest;

        /// <summary>What all clusters are asked for.</summary>
        internal PlateRequest Request(string output) => new()
        {
            Source = _folder.File("plate"),
            Settings = new()
            {
                Model = _folder.File("small.safetensors"),
                Stride = 128,
                BlockSide = 1,   // four blocks a field, a tile each
                BatchSize = 1,
            },
            Output = output,
        };

        /// <summary>Stains it where that was not done yet; skips the test where the images are absent.</summary>
        internal async Task<PlateDigest> StainAsync(CancellationToken cancellationToken)
        {
            if (_digest is not null)
                return _digest;
            TestPlate.Write(_folder.File("plate"));
            TestPlate.WriteModel(_folder.File("small.safetensors"));
            var watch = Stopwatch.StartNew();
            var start = new ProcessStartInfo(SiloProcess.CommandPath,
            [
                "plate", "submit", _folder.File("plate"), "-o", _folder.File("out"), "--id", Plate, "-m", _folder.File("small.safetensors"),
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
    }
}

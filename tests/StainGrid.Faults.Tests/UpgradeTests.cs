using System.Diagnostics;
using System.Globalization;
using StainGrid.Client;
using StainGrid.Contracts;

namespace StainGrid.Faults.Tests;

/// <summary>Silos of the commit before this one beside those of this one, while plates run: what docs/upgrade.md promises.</summary>
public sealed class UpgradeTests(OneSilo one)
{
    // Of each well, so that the plate lasts while silos come and go, by the model of milliseconds.
    private const int Fields = 4;

    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(150);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Silos_are_replaced_one_by_one_by_another_version_and_back_while_plates_run()
    {
        var expected = await one.StainAsync(Stop);
        string previous = await PreviousCommit.CommandAsync(Stop);
        await using var cluster = await ClusterFixture.StartAsync(Stop);

        // Upgrade: as long as the old cpu silo is there, plates, slides and the dispatcher may be of either version.
        await StartAsync(cluster, ("old-c", "cpu", previous), ("old-a", "accelerator", previous));
        await StainAsync(cluster, expected, "upgrade",
            () => StartAsync(cluster, ("new-c", "cpu", null), ("new-a", "accelerator", null)),
            () => StopAsync(cluster, "old-c"),
            () => StopAsync(cluster, "old-a"));

        // And back: what the new version wrote is the old one's to go on with.
        await StainAsync(cluster, expected, "rollback",
            () => StartAsync(cluster, ("back-c", "cpu", previous), ("back-a", "accelerator", previous)),
            () => StopAsync(cluster, "new-c"),
            () => StopAsync(cluster, "new-a"));
    }

    private static async Task StartAsync(ClusterFixture cluster, params (string Name, string Role, string? Command)[] silos) =>
        await Task.WhenAll(silos.Select(silo => cluster.AddAsync(silo.Name, silo.Role, Stop, command: silo.Command)));

    private static async Task StopAsync(ClusterFixture cluster, string silo) => Assert.Equal(0, await cluster.Silos[silo].StopAsync(s_grace));

    // Stains plates, one after the other, until all steps are taken, and one more; each is taken once another part of a plate's fields is complete, and before its end.
    private async Task StainAsync(ClusterFixture cluster, PlateDigest expected, string name, params Func<Task>[] steps)
    {
        int all = Fields * TestPlate.Wells.Count, taken = 0;
        var watch = Stopwatch.StartNew();
        await using var connection = await StainGridCluster.ConnectAsync(cluster.Redis, cluster.Cluster, cancellationToken: Stop);
        var client = new GrainClient(connection.Grains);
        using var late = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        late.CancelAfter(TimeSpan.FromMinutes(15));
        var working = Task.CompletedTask;
        bool after = false;   // one more when all steps are done, on the silos that are there then
        for (int number = 1; !after; number++)
        {
            after = taken == steps.Length;
            string plate = $"{name}-{number}";
            await client.SubmitPlateAsync(plate, one.Request(ClusterFixture.Output(plate)) with { Source = one.Larger(Fields) }, Stop);
            PlateStatus? last = null;
            await foreach (var status in client.WatchPlateAsync(plate, late.Token))
            {
                last = status;
                if (taken < steps.Length && working.IsCompleted && !status.IsFinal && status.FieldsComplete >= all * (taken + 1) / 10)
                {
                    await working;
                    Say(string.Create(CultureInfo.InvariantCulture, $"{plate}: step {taken + 1} after {watch.Elapsed.TotalSeconds:f1} s, {status.FieldsComplete} of {all} fields"));
                    working = steps[taken++]();
                }
            }

            await working;
            Say(string.Create(CultureInfo.InvariantCulture, $"{plate}: {watch.Elapsed.TotalSeconds:f1} s, {last!.BlocksRetried} blocks again, {last.SecondsWasted:f1} s wasted"));
            if (last.FieldsFailed > 0)
                Assert.Fail((await client.GetFieldsAsync(plate, Stop)).First(field => field.State == FieldState.Failed).Reason);
            Assert.Equal((PlateState.Complete, null, all, 0), (last.State, last.Error, last.FieldsComplete, last.FieldsFailed));
            await CheckAsync(cluster, expected, plate);
        }
    }

    private static async Task CheckAsync(ClusterFixture cluster, PlateDigest expected, string plate)
    {
        // Every field of a well has the well's image, so the bytes of the one that one silo made.
        var stained = await PlateDigest.OfAsync(cluster.Store(plate), Stop);
        for (int field = 0; field < Fields; field++)
        {
            var chunks = stained.Chunks.Where(chunk => FieldOf(chunk.Key) == field).ToDictionary(chunk => Rename(chunk.Key), chunk => chunk.Value);
            Assert.Null(expected.FirstDifference(new PlateDigest(chunks)));
        }

        static int FieldOf(string key) => int.Parse(key.Split('/')[2], CultureInfo.InvariantCulture);

        static string Rename(string key) => string.Join('/', key.Split('/').Select((part, i) => i == 2 ? "0" : part));
    }

    private static void Say(string line) => TestContext.Current.TestOutputHelper!.WriteLine(line);
}

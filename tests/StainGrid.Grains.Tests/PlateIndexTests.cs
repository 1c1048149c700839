using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Silo;
using StainGrid.TestSupport;

namespace StainGrid.Grains.Tests;

public class PlateIndexTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_is_set_one_after_the_other_or_at_once_is_there_after_a_restart()
    {
        using var folder = new TemporaryFolder();
        var state = BlobStores.Open(folder.Path);
        var start = DateTimeOffset.UnixEpoch;
        await using (var silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: state, cancellationToken: Stop))
        {
            var index = silo.Grains.GetGrain<IPlateIndexGrain>(0);
            for (int i = 0; i < 3; i++)
                await index.SetAsync(Plate($"a{i}", i, PlateState.Running));
            await Task.WhenAll(Enumerable.Range(0, 50).Select(i => index.SetAsync(Plate($"b{i}", 10 + i, PlateState.Running))));
            await index.SetAsync(Plate("a1", 1, PlateState.Complete));
        }

        await using (var silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: state, cancellationToken: Stop))
        {
            var index = silo.Grains.GetGrain<IPlateIndexGrain>(0);
            Assert.Equal(53, (await index.ListAsync()).Count);
            Assert.Equal(["a2", "a1", "a0"], (await index.QueryAsync(new PlateQuery { Prefix = "a" })).Select(plate => plate.PlateId));
            Assert.Equal(["a1"], (await index.QueryAsync(new PlateQuery { State = PlateState.Complete })).Select(plate => plate.PlateId));
            Assert.Equal(["b48", "b47"], (await index.QueryAsync(new PlateQuery { Prefix = "b", After = "b49", Limit = 2 })).Select(plate => plate.PlateId));
            Assert.Equal((2, 50), (await index.CountRunningAsync("a"), await index.CountRunningAsync("b")));
        }

        PlateSummary Plate(string id, int minute, PlateState state) => new(id, "source", "output", start.AddMinutes(minute), state);
    }
}

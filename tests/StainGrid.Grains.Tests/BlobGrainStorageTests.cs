using Azure.Storage.Blobs;
using Orleans.Storage;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Grains.Tests;

public sealed class BlobGrainStorageTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_folder_fences_grain_state() => await FencesAsync(new FolderBlobStore(folder.Path), new FolderBlobStore(folder.Path));

    [Fact]
    public async Task A_real_blob_service_fences_grain_state()
    {
        await using var azurite = await AzuriteServer.StartAsync(Stop);
        var container = new BlobContainerClient(azurite.ConnectionString, "grainstate");
        await container.CreateAsync(cancellationToken: Stop);
        await FencesAsync(new AzureBlobStore(container), new AzureBlobStore(container));
    }

    [Theory]
    [InlineData("plate-1", "slide-t/plate-1.json")]
    [InlineData("silo/cuda:0", "slide-t/silo/cuda%3A0.json")]
    [InlineData("a\\b%3A/../x.json/.staingrid-locks/y.partial/\n")]
    [InlineData("a//é𝄞/")]
    public void Any_key_of_a_grain_has_a_blob_of_its_own(string grain, string? expected = null)
    {
        string key = BlobGrainStorage.KeyOf("slide", GrainId.Create("t", grain));
        BlobKey.Check(key);
        Assert.Equal(expected ?? key, key);
        Assert.Equal($"slide-t/{grain}", BlobGrainStorage.Unescape(key));
    }

    private static async Task FencesAsync(IBlobStore firstStore, IBlobStore secondStore)
    {
        var (first, second, id) = (new BlobGrainStorage(firstStore), new BlobGrainStorage(secondStore), GrainId.Create("counter", "a:b"));
        var (mine, theirs) = (new GrainState<Counter>(), new GrainState<Counter>());
        await first.ReadStateAsync("s", id, mine);
        Assert.False(mine.RecordExists);
        await second.ReadStateAsync("s", id, theirs);
        mine.State = new Counter { Value = 1, Day = DayOfWeek.Friday };
        await first.WriteStateAsync("s", id, mine);
        Assert.Equal("""{"Value":1,"Day":"Friday"}""", System.Text.Encoding.UTF8.GetString((await firstStore.ReadAsync("s-counter/a%3Ab.json", Stop))!.Value.Span));

        // Same bytes, another writer: still only one wins.
        theirs.State = new Counter { Value = 1, Day = DayOfWeek.Friday };
        await Assert.ThrowsAsync<InconsistentStateException>(() => second.WriteStateAsync("s", id, theirs));
        await Assert.ThrowsAsync<InconsistentStateException>(() => second.ClearStateAsync("s", id, theirs));
        await second.ReadStateAsync("s", id, theirs);
        Assert.Equal(1, theirs.State!.Value);

        // Racing writers, each from what it read: no write is lost.
        await Task.WhenAll(Enumerable.Range(0, 4).Select(writer => Task.Run(async () =>
        {
            for (int done = 0; done < 5;)
            {
                var state = new GrainState<Counter>();
                var storage = writer % 2 == 0 ? first : second;
                await storage.ReadStateAsync("s", id, state);
                state.State!.Value++;
                try
                {
                    await storage.WriteStateAsync("s", id, state);
                    done++;
                }
                catch (InconsistentStateException)
                {
                    // The other was first.
                }
            }
        }, Stop)));
        await first.ReadStateAsync("s", id, mine);
        Assert.Equal(21, mine.State!.Value);
        await Assert.ThrowsAsync<InconsistentStateException>(() => second.ClearStateAsync("s", id, theirs));
        await first.ClearStateAsync("s", id, mine);
        Assert.False(mine.RecordExists);
        Assert.Null(await firstStore.ReadAsync("s-counter/a%3Ab.json", Stop));
    }

    private sealed class Counter
    {
        public int Value { get; set; }

        public DayOfWeek Day { get; set; }
    }
}

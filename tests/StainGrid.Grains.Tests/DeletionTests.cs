using Azure.Storage.Blobs;
using Orleans.Core.Internal;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Silo;
using StainGrid.TestSupport;
using static StainGrid.Grains.Tests.PlateRuns;

namespace StainGrid.Grains.Tests;

/// <summary>Plates that are deleted, or cancelled, also while something fails.</summary>
public sealed class DeletionTests(Slides slides) : IClassFixture<Slides>, IAsyncLifetime
{
    private EmbeddedSilo? silo;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private GrainClient Client => new(silo!.Grains);

    public async ValueTask InitializeAsync() => silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: BlobStores.Open(slides.File($"state-{Guid.NewGuid():n}")), cancellationToken: Stop);

    public async ValueTask DisposeAsync() => await silo!.DisposeAsync();

    [Fact]
    public async Task A_plate_goes_without_its_result_unless_that_is_asked_for()
    {
        var request = Request("A01", "A02");
        await RunAsync(Client, "kept", request);
        await Client.DeletePlateAsync("kept", withResult: false, Stop);
        Assert.Equal((PlateState.New, 0), ((await Client.GetPlateAsync("kept", Stop)).State, (await Client.GetFieldsAsync("kept", Stop)).Count));
        Assert.DoesNotContain(await Client.ListPlatesAsync(), plate => plate.PlateId == "kept");
        await Client.DeletePlateAsync("kept", withResult: true, Stop);   // there is none
        Assert.Equal(2, (await PlateDiscovery.DiscoverAsync(request.Output, null, slides.Blobs, Stop)).Fields.Count);

        // Its output is still its own: submitted again it takes the fields that are there.
        string marker = Path.Combine(request.Output, "A/1/0/staingrid.json");
        var written = File.GetLastWriteTimeUtc(marker);
        Assert.Equal(PlateState.Complete, (await AgainAsync("kept", request)).State);
        Assert.Equal(written, File.GetLastWriteTimeUtc(marker));
        await Client.DeletePlateAsync("kept", withResult: true, Stop);
        await UntilAsync(() => !Directory.Exists(request.Output));
    }

    [Fact]
    public async Task A_result_that_is_another_plates_stays()
    {
        var request = Request("B01");
        await RunAsync(Client, "robbed", request);
        await File.WriteAllTextAsync(Path.Combine(request.Output, PlateOutput.MarkerKey), "{\"plate\":\"owner\"}", Stop);
        await Client.DeletePlateAsync("robbed", withResult: true, Stop);
        Assert.Equal(PlateState.Complete, (await AgainAsync("robbed", request with { Output = request.Output + "2" })).State);   // so the other one is gone
        Assert.True(File.Exists(Path.Combine(request.Output, "B/1/0/.zattrs")));
    }

    [Fact]
    public async Task Nothing_is_deleted_where_the_service_does_not_keep_results()
    {
        var request = Request("B02");
        await RunAsync(Client, "elsewhere", request);
        string copy = Directory.CreateDirectory(slides.File("copy.plate.zarr")).FullName;
        File.Copy(Path.Combine(request.Output, PlateOutput.MarkerKey), Path.Combine(copy, PlateOutput.MarkerKey));
        await silo!.Grains.GetGrain<IPlateGrain>("elsewhere").DeleteAsync(new PlateDeletion { Result = true, At = copy });
        Assert.Equal(PlateState.Complete, (await AgainAsync("elsewhere", request)).State);
        Assert.True(File.Exists(Path.Combine(copy, PlateOutput.MarkerKey)));
    }

    [Fact]
    public async Task A_deletion_that_was_interrupted_goes_on_in_the_next_silo()
    {
        var request = Request("C01", "C02");
        var state = new FolderBlobStore(slides.File("interrupted"));
        var failing = new FailingStore(state);
        await using (var first = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: failing, cancellationToken: Stop))
        {
            var client = new GrainClient(first.Grains);
            await RunAsync(client, "long", request);
            failing.Fails = true;
            await client.DeletePlateAsync("long", withResult: true, Stop);
            await UntilAsync(() => failing.Failures > 1);   // it has tried again
            Assert.False(Directory.Exists(request.Output));
            Assert.Equal(PlateState.New, (await client.GetPlateAsync("long", Stop)).State);
            Assert.Empty(await client.ListPlatesAsync());
            var refused = await Assert.ThrowsAsync<PlateException>(() => client.SubmitPlateAsync("long", request, Stop));
            Assert.True(refused.IsConflict);
            Assert.Contains("is being deleted", refused.Message, StringComparison.Ordinal);
            await client.CancelPlateAsync("long", Stop);
            Assert.Equal(0, await client.RetryPlateAsync("long", Stop));
        }

        Assert.Contains(await KeysAsync(state), key => key.StartsWith("plate-", StringComparison.Ordinal));

        // Nobody asks: the new silo finds it by itself.
        await using var second = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: state, cancellationToken: Stop);
        await UntilAsync(async () => !(await KeysAsync(state)).Any(key => key.Contains("long", StringComparison.Ordinal)));
        string index = (await KeysAsync(state)).Single(key => key.Contains("plateindex", StringComparison.Ordinal));
        await UntilAsync(async () => !(await File.ReadAllTextAsync(Path.Combine(state.Root, index), Stop)).Contains("long", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_deletion_that_cannot_succeed_goes_on_by_what_it_is_asked_for_again(bool whileItIsTried)
    {
        var request = Request("E01");
        var state = new FolderBlobStore(slides.File($"corrected {whileItIsTried}"));
        var failing = new FailingStore(state);
        await using var other = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: failing, cancellationToken: Stop);
        var client = new GrainClient(other.Grains);
        await RunAsync(client, "corrected", request);
        failing.Fails = true;
        var tried = new TaskCompletionSource();
        if (whileItIsTried)
            failing.Waits = tried.Task;
        await client.DeletePlateAsync("corrected", withResult: false, Stop);
        await UntilAsync(() => whileItIsTried ? failing.Waiting > 0 : failing.Failures > 0);
        await client.DeletePlateAsync("corrected", withResult: true, Stop);
        tried.SetResult();
        await UntilAsync(() => failing.Failures > 0);
        failing.Fails = false;
        await UntilAsync(() => !Directory.Exists(request.Output));
        await UntilAsync(async () => !(await KeysAsync(state)).Contains("plate-plate/corrected.json"));
    }

    [Fact]
    public async Task A_plate_of_the_same_id_is_stained_whole_also_where_only_late_slides_of_the_one_before_are_left()
    {
        string[] wells = [.. Enumerable.Range(1, 17).Select(column => $"A{column:00}")];
        var request = Request(wells);
        Assert.Equal(PlateState.Complete, (await RunAsync(Client, "again", request)).State);
        await Client.DeletePlateAsync("again", withResult: true, Stop);
        await UntilAsync(() => !Directory.Exists(request.Output));
        foreach (string well in wells[..16])
        {
            var slide = silo!.Grains.GetGrain<ISlideGrain>($"again/A/{int.Parse(well[1..], System.Globalization.CultureInfo.InvariantCulture)}/0/0.0");
            Assert.Equal(SlideState.Complete, (await slide.GetStatusAsync()).State);   // so this is how slides are called
            await slide.AsReference<IGrainManagementExtension>().DeactivateOnIdle(Stop);
            await UntilAsync(async () => (await slide.GetStatusAsync()).State == SlideState.New, seconds: 30);
        }

        Assert.Equal(PlateState.Complete, (await AgainAsync("again", request)).State);
        Assert.All(wells, well => Assert.True(File.Exists(Path.Combine(request.Output, $"A/{well[1..].TrimStart('0')}/0/.zattrs")), well));
    }

    [Fact]
    public async Task A_deletion_that_is_asked_for_twice_leaves_the_next_plate_of_the_id_alone()
    {
        var request = Request("D01");
        var state = new FolderBlobStore(slides.File("twice"));
        var calls = new DeletingCalls();
        await using var twice = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: new FailingStore(state) { Waits = calls.Arrived.Task }, configure: host => host.AddIncomingGrainCallFilter(calls), cancellationToken: Stop);
        var client = new GrainClient(twice.Grains);
        await RunAsync(client, "twice", request);
        var plate = twice.Grains.GetGrain<IPlateGrain>("twice");
        var first = plate.DeleteAsync(new PlateDeletion());
        RequestContext.Set(DeletingCalls.Late, true);
        var second = plate.DeleteAsync(new PlateDeletion());
        RequestContext.Clear();
        await first;
        await calls.Arrived.Task.WaitAsync(TimeSpan.FromSeconds(60), Stop);
        await UntilAsync(() => !File.Exists(Path.Combine(state.Root, "plate-plate", "twice.json")) && !Index().Contains("twice", StringComparison.Ordinal));
        await Task.Delay(500, Stop);
        calls.Go.SetResult();   // the second call goes on where the deletion has ended
        await second;
        Assert.Equal(PlateState.Complete, (await RunAsync(client, "twice", request)).State);
        Assert.Equal(3, calls.Count);   // no other deletion was begun
        Assert.Equal("twice", Assert.Single(await client.ListPlatesAsync()).PlateId);
        await plate.WakeAsync();
        await UntilAsync(() => System.Text.Json.Nodes.JsonNode.Parse(Index())!["Deleting"]!.AsArray().Count == 0);
        Assert.Contains("twice", Index(), StringComparison.Ordinal);

        string Index() => File.ReadAllText(Directory.EnumerateFiles(state.Root, "*.json", SearchOption.AllDirectories).Single(file => file.Contains("plateindex", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Slides_of_a_cancelled_plate_stop_also_where_the_list_of_plates_cannot_be_told()
    {
        var request = Request("F01");
        File.Move(slides.RandomSlide(900, 900)[0], Path.Combine(request.Source, "F01.png"), overwrite: true);   // more than is done in a moment
        request = request with { Settings = request.Settings with { Stride = 16, BatchSize = 1 } };
        var list = new FailingList();
        await using var other = await EmbeddedSilo.StartAsync(new DeviceOptions { Threads = 1 }, state: new FolderBlobStore(slides.File("cancelled")), configure: host => host.AddIncomingGrainCallFilter(list), cancellationToken: Stop);
        await new GrainClient(other.Grains).SubmitPlateAsync("cancelled", request, Stop);
        var field = other.Grains.GetGrain<ISlideGrain>("cancelled/F/1/0/0.0");
        await UntilAsync(async () => (await field.GetStatusAsync()).TilesDone > 0);
        list.Fails = true;
        await Assert.ThrowsAsync<TimeoutException>(() => other.Grains.GetGrain<IPlateGrain>("cancelled").CancelAsync());
        Assert.Equal(PlateState.Cancelled, (await new GrainClient(other.Grains).GetPlateAsync("cancelled", Stop)).State);
        await UntilAsync(async () =>
        {
            var status = await field.GetStatusAsync();
            Assert.NotEqual(SlideState.Complete, status.State);
            return status.State == SlideState.Cancelled;
        });
    }

    [Theory]
    [InlineData("folder")]
    [InlineData("azure")]
    public async Task What_lets_readers_open_a_result_goes_first_and_the_marker_last(string kind)
    {
        await using var azurite = kind == "azure" ? await AzuriteServer.StartAsync(Stop) : null;
        IBlobStore store = new FolderBlobStore(slides.File("ordered"));
        if (azurite is not null)
        {
            var container = new BlobContainerClient(azurite.ConnectionString, "results");
            await container.CreateAsync(cancellationToken: Stop);
            store = new AzureBlobStore(container, "lab/plate");
            await container.GetBlobClient("lab/plate2").UploadAsync(BinaryData.FromString("another's"), Stop);
        }

        string[] keys = [".zattrs", ".zgroup", "A/1/0/.zattrs", "A/1/0/0/0", "A/1/0/.staingrid/commits/0.json", "A/2/0/.zattrs", "staingrid-fields.csv", PlateOutput.MarkerKey];
        foreach (string key in keys)
            await store.WriteAsync(key, key == PlateOutput.MarkerKey ? "{\"plate\":\"p\"}"u8.ToArray() : "x"u8.ToArray(), Stop);
        var layout = new PlateLayout("p", "", ["A"], ["1", "2"], [new PlateField("A", 1, 0, []), new PlateField("A", 2, 0, [])]);
        var failing = new FailingStore(store) { FailsAt = ".zgroup" };
        Assert.False(await PlateOutput.DeleteAsync(failing, "q", layout, Stop));
        Assert.Equal(keys.Order(StringComparer.Ordinal), await store.ListAsync("", Stop).ToListAsync(Stop));
        await Assert.ThrowsAsync<BlobStoreException>(() => PlateOutput.DeleteAsync(failing, "p", layout, Stop));
        Assert.Equal([".zattrs", "A/1/0/.zattrs", "A/2/0/.zattrs"], failing.Deleted.Take(3));
        Assert.Contains(PlateOutput.MarkerKey, await store.ListAsync("", Stop).ToListAsync(Stop));
        failing.FailsAt = null;
        failing.Deleted.Clear();
        Assert.True(await PlateOutput.DeleteAsync(failing, "p", layout, Stop));
        Assert.Equal(PlateOutput.MarkerKey, failing.Deleted.Last());
        Assert.True(await PlateOutput.DeleteAsync(store, "p", layout, Stop));
        Assert.Empty(await store.ListAsync("", Stop).ToListAsync(Stop));
        if (azurite is not null)
            Assert.True(await new BlobContainerClient(azurite.ConnectionString, "results").GetBlobClient("lab/plate2").ExistsAsync(Stop));
    }

    [Fact]
    public async Task A_folder_s_links_are_deleted_and_not_followed()
    {
        string outside = Directory.CreateDirectory(slides.File("outside")).FullName, root = Directory.CreateDirectory(slides.File("linked")).FullName;
        await File.WriteAllTextAsync(Path.Combine(outside, "a"), "a", Stop);
        Directory.CreateSymbolicLink(Path.Combine(root, "link"), outside);
        Directory.CreateDirectory(Path.Combine(root, "B", "1"));
        Directory.CreateSymbolicLink(Path.Combine(root, "B", "1", "link"), outside);
        await new FolderBlobStore(root).DeleteAllAsync(cancellationToken: Stop);
        Assert.False(Directory.Exists(root));
        Assert.True(File.Exists(Path.Combine(outside, "a")));
    }

    private static async Task<List<string>> KeysAsync(FolderBlobStore store) => await store.ListAsync("", Stop).ToListAsync(Stop);

    private static Task UntilAsync(Func<bool> there) => UntilAsync(() => Task.FromResult(there()));

    private static async Task UntilAsync(Func<Task<bool>> there, int seconds = 180)
    {
        for (var deadline = DateTime.UtcNow.AddSeconds(seconds); !await there(); await Task.Delay(50, Stop))
            Assert.True(DateTime.UtcNow < deadline, $"It did not come within {seconds} s.");
    }

    // As soon as the one of the id before is gone.
    private async Task<PlateStatus> AgainAsync(string plate, PlateRequest request)
    {
        for (var deadline = DateTime.UtcNow.AddSeconds(60); ; await Task.Delay(50, Stop))
        {
            try
            {
                return await RunAsync(Client, plate, request);
            }
            catch (PlateException e) when (e.Message.Contains("is being deleted", StringComparison.Ordinal) && DateTime.UtcNow < deadline)
            {
                // In a while.
            }
        }
    }

    private PlateRequest Request(params string[] wells)
    {
        string folder = Directory.CreateDirectory(slides.File(Guid.NewGuid().ToString("n"))).FullName;
        for (int i = 0; i < wells.Length; i++)
            File.Move(slides.RandomSlide(180 + (8 * i), 130)[0], Path.Combine(folder, wells[i] + ".png"));
        return new PlateRequest
        {
            Source = folder,
            Pattern = @"^(?<well>[A-P]\d\d)\.png$",
            Settings = new() { Model = slides.Model, Stride = 128, BatchSize = 2 },
            Output = slides.File($"{Guid.NewGuid():n}.plate.zarr"),
        };
    }

    // Holds the call of the deletion that was asked for late until it is let go.
    private sealed class DeletingCalls : IIncomingGrainCallFilter
    {
        public const string Late = "late";

        private int count;

        public int Count => count;

        public TaskCompletionSource Arrived { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Go { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async Task Invoke(IIncomingGrainCallContext context)
        {
            if (context.Grain is PlateIndexGrain && context.MethodName == nameof(IPlateIndexGrain.DeletingAsync))
            {
                Interlocked.Increment(ref count);
                if (RequestContext.Get(Late) is true)
                {
                    Arrived.SetResult();
                    await Go.Task;
                }
            }

            await context.Invoke();
        }
    }

    private sealed class FailingList : IIncomingGrainCallFilter
    {
        public bool Fails { get; set; }

        public Task Invoke(IIncomingGrainCallContext context) => Fails && context.Grain is PlateIndexGrain && context.MethodName == nameof(IPlateIndexGrain.SetAsync)
            ? throw new TimeoutException("The list is away.") : context.Invoke();
    }

    // A real store, whose deletions fail when they are told to.
    private sealed class FailingStore(IBlobStore store) : IBlobStore
    {
        public bool Fails { get; set; }

        public Task Waits { get; set; } = Task.CompletedTask;

        public int Waiting { get; private set; }

        public string? FailsAt { get; set; }

        public int Failures { get; private set; }

        public System.Collections.Concurrent.ConcurrentQueue<string> Deleted { get; } = [];

        public string Name => store.Name;

        public Task<Blob?> ReadBlobAsync(string key, long maxBytes, CancellationToken cancellationToken) => store.ReadBlobAsync(key, maxBytes, cancellationToken);

        public Task WriteAsync(string key, ReadOnlyMemory<byte> data, CancellationToken cancellationToken) => store.WriteAsync(key, data, cancellationToken);

        public Task<string> WriteIfAsync(string key, ReadOnlyMemory<byte> data, string? etag, CancellationToken cancellationToken) => store.WriteIfAsync(key, data, etag, cancellationToken);

        public Task<bool> CreateAsync(string key, IAsyncEnumerable<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken) => store.CreateAsync(key, parts, cancellationToken);

        public Task<bool> ExistsAsync(string key, CancellationToken cancellationToken) => store.ExistsAsync(key, cancellationToken);

        public async Task DeleteAsync(string key, string? etag, CancellationToken cancellationToken)
        {
            Waiting++;
            await Waits.WaitAsync(cancellationToken);
            if (Fails || key == FailsAt)
            {
                Failures++;
                throw new BlobStoreException($"{Name}: cannot delete {key}: the disk is away. Bring it back.");
            }

            Deleted.Enqueue(key);
            await store.DeleteAsync(key, etag, cancellationToken);
        }

        public IAsyncEnumerable<string> ListAsync(string prefix, CancellationToken cancellationToken) => store.ListAsync(prefix, cancellationToken);
    }
}

using System.Text;
using System.Text.Json.Nodes;
using StainGrid.Imaging;
using StainGrid.Imaging.Tests;
using StainGrid.Model;
using StainGrid.TestSupport;

namespace StainGrid.Grains.Tests;

/// <summary>Models by name and hash, in a folder and in a real blob service.</summary>
public sealed class ModelRegistryTests(BlobInputs inputs) : IClassFixture<BlobInputs>, IDisposable
{
    private const string Record = "models/names/neuron.json";

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_name_means_the_version_that_is_pinned_and_a_hash_always_the_same(bool azure)
    {
        var (registry, store, address) = Open(azure);
        string first = Write(1), second = Write(2);
        var pushed = await registry.PushAsync(first, "neuron", "ann", Stop);
        Assert.Equal((true, true, true), (pushed.IsPinned, pushed.IsNew, pushed.IsCopied));
        string key = $"models/sha256/{pushed.Version.Sha256}.safetensors";
        Assert.Equal(await File.ReadAllBytesAsync(first, Stop), (await store.ReadAsync(key, Stop))!.Value.ToArray());
        var found = await registry.FindAsync("neuron", Stop);
        Assert.Equal(($"{address}/{key}", pushed.Version.Sha256), (found.Address, ModelRegistry.HashOf(found.Address)));
        Assert.Equal(["A", "B"], found.Version.Labels);

        // The same file again, and under another name: nothing is copied, the first is not written again.
        string record = (await store.ReadBlobAsync(Record, 1 << 20, Stop))!.ETag;
        pushed = await registry.PushAsync(first, "neuron", "bob", Stop);
        Assert.Equal((true, false, false), (pushed.IsPinned, pushed.IsNew, pushed.IsCopied));
        Assert.Equal(record, (await store.ReadBlobAsync(Record, 1 << 20, Stop))!.ETag);
        pushed = await registry.PushAsync(first, "another", "bob", Stop);
        Assert.Equal((true, true, false), (pushed.IsPinned, pushed.IsNew, pushed.IsCopied));

        // Another version is there for who names it, and for all once it is pinned.
        var other = await registry.PushAsync(second, "neuron", "bob", Stop);
        Assert.False(other.IsPinned);
        Assert.Equal(found.Version.Sha256, (await registry.FindAsync("neuron", Stop)).Version.Sha256);
        Assert.Equal(other.Version.Sha256, (await registry.FindAsync($"neuron@{other.Version.Sha256[..8].ToUpperInvariant()}", Stop)).Version.Sha256);
        Assert.Equal(found.Version.Sha256, (await registry.PinAsync("neuron", other.Version.Sha256[..12], "bob", Stop)).Before);
        Assert.Equal(other.Version.Sha256, (await registry.FindAsync("neuron", Stop)).Version.Sha256);
        await registry.PinAsync("neuron", found.Version.Sha256, "ann", Stop);
        await registry.PinAsync("neuron", found.Version.Sha256, "ann", Stop);   // as it is
        var kept = await registry.GetAsync("neuron", Stop);
        Assert.Equal([(found.Version.Sha256, "ann"), (other.Version.Sha256, "bob"), (found.Version.Sha256, "ann")], kept!.Pins.Select(pin => (pin.Sha256, pin.By)));
        Assert.Equal(2, kept.Versions.Count);
        Assert.Equal(["another", "neuron"], await registry.NamesAsync(Stop).ToListAsync(Stop));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pushes_and_pins_at_the_same_time_all_count(bool azure)
    {
        const int Pushers = 5;
        string[] files = [.. Enumerable.Range(1, Pushers).Select(Write)];

        // Each with a store of its own, as several processes have; two push each file.
        var (first, store, _) = Open(azure);
        string root = store.Name;
        var pushed = await Task.WhenAll(Enumerable.Range(0, 2 * Pushers).Select(i => Task.Run(() => Again(i).PushAsync(files[i / 2], "neuron", $"{i}", Stop), Stop)));
        Assert.Equal(Pushers, pushed.Count(push => push.IsCopied));
        Assert.Equal(Pushers, pushed.Count(push => push.IsNew));
        var record = (await first.GetAsync("neuron", Stop))!;
        Assert.Equal(pushed.Select(push => push.Version.Sha256).Distinct().Order(), record.Versions.Select(version => version.Sha256).Order());

        await Task.WhenAll(record.Versions.Where(version => version.Sha256 != record.Pinned).Select((version, i) => Task.Run(() => Again(i).PinAsync("neuron", version.Sha256, $"{i}", Stop), Stop)));
        record = (await first.GetAsync("neuron", Stop))!;
        Assert.Equal(record.Versions.Select(version => version.Sha256).Order(), record.Pins.Select(pin => pin.Sha256).Order());
        Assert.Equal(record.Pinned, record.Pins[^1].Sha256);

        ModelRegistry Again(int _) => azure ? new ModelRegistry("azure://plates", new AzureBlobStore(inputs.Container, root[(root.LastIndexOf('/') + 1)..])) : new ModelRegistry(root);
    }

    [Theory]
    [InlineData("../x")]
    [InlineData("a/b")]
    [InlineData("..")]
    [InlineData(".hidden")]
    [InlineData("Neuron")]
    [InlineData("a b")]
    [InlineData("a:b")]
    [InlineData("a\n")]
    [InlineData("")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    public async Task What_cannot_be_a_name_is_refused(string name)
    {
        var registry = new ModelRegistry(folder.File("registry"));
        string file = Write(1);
        foreach (var act in (Func<Task>[])[() => registry.PushAsync(file, name, "ann", Stop), () => registry.PinAsync(name, "0123456789abcdef", "ann", Stop), () => registry.FindAsync(name, Stop), () => registry.GetAsync(name, Stop)])
            Assert.DoesNotContain('\n', (await Assert.ThrowsAsync<ArgumentException>(act)).Message);
        Assert.False(Directory.Exists(folder.File("registry")));
    }

    [Fact]
    public async Task A_hash_must_mean_one_version()
    {
        var (registry, store, _) = Open(azure: false);
        var pushed = await registry.PushAsync(Write(1), "neuron", "ann", Stop);
        string hash = pushed.Version.Sha256;
        foreach (string wrong in (string[])["", hash[..7], "../../etc", hash + "0", "xxxxxxxxxx"])
            await Assert.ThrowsAsync<ArgumentException>(() => registry.FindAsync($"neuron@{wrong}", Stop));
        Assert.DoesNotContain("SECRET", (await Assert.ThrowsAsync<ArgumentException>(() => registry.PushAsync("https://store.example/m.safetensors?sig=SECRET", "neuron", "ann", Stop))).Message, StringComparison.Ordinal);
        string unknown = hash[..8] == "00000000" ? "11111111" : "00000000";
        Assert.Contains($"no version {unknown}", (await Assert.ThrowsAsync<ModelNotFoundException>(() => registry.PinAsync("neuron", unknown, "ann", Stop))).Message, StringComparison.Ordinal);
        Assert.Contains("no model 'absent'", (await Assert.ThrowsAsync<ModelNotFoundException>(() => registry.FindAsync("absent", Stop))).Message, StringComparison.Ordinal);

        // Two that start alike, as hashes seldom do.
        var record = JsonNode.Parse((await store.ReadAsync(Record, Stop))!.Value.Span)!;
        var twin = record["versions"]![0]!.DeepClone();
        twin["sha256"] = hash[..20] + new string(hash[20] == '0' ? '1' : '0', 44);
        record["versions"]!.AsArray().Add(twin);
        await store.WriteAsync(Record, Encoding.UTF8.GetBytes(record.ToJsonString()), Stop);
        Assert.Contains("2 versions", (await Assert.ThrowsAsync<ModelNotFoundException>(() => registry.FindAsync($"neuron@{hash[..20]}", Stop))).Message, StringComparison.Ordinal);
        Assert.Equal(hash, (await registry.FindAsync($"neuron@{hash[..21]}", Stop)).Version.Sha256);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{\"pinned\":")]
    [InlineData("""{"pinned":"HASH","versions":[],"pins":[]}""")]
    [InlineData("""{"pinned":"HASH","versions":[null],"pins":[]}""")]
    [InlineData("""{"pinned":"HASH","versions":null,"pins":[]}""")]
    [InlineData("""{"pinned":"../../x","versions":[{"sha256":"../../x","bytes":1,"labels":[],"variant":"paper","licence":"","pushed":"2026-01-01T00:00:00Z","by":""}],"pins":[]}""")]
    public async Task A_damaged_record_is_told_and_the_others_are_as_good_as_before(string content)
    {
        var (registry, store, _) = Open(azure: false);
        string file = Write(1);
        var pushed = await registry.PushAsync(file, "neuron", "ann", Stop);
        await registry.PushAsync(file, "other", "ann", Stop);
        await store.WriteAsync(Record, Encoding.UTF8.GetBytes(content.Replace("HASH", pushed.Version.Sha256, StringComparison.Ordinal)), Stop);
        foreach (var act in (Func<Task>[])[() => registry.FindAsync("neuron", Stop), () => registry.PushAsync(file, "neuron", "ann", Stop), () => registry.PinAsync("neuron", pushed.Version.Sha256, "ann", Stop)])
        {
            string said = (await Assert.ThrowsAsync<BlobStoreException>(act)).Message;
            Assert.Contains($"{Record} is damaged", said, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', said);
        }

        Assert.Equal(pushed.Version.Sha256, (await registry.FindAsync("other", Stop)).Version.Sha256);

        // As the message says.
        await store.DeleteAsync(Record, null, Stop);
        pushed = await registry.PushAsync(file, "neuron", "ann", Stop);
        Assert.Equal((true, true, false), (pushed.IsPinned, pushed.IsNew, pushed.IsCopied));
    }

    [Fact]
    public async Task A_record_of_a_later_version_is_read()
    {
        var (registry, store, _) = Open(azure: false);
        await registry.PushAsync(Write(1), "neuron", "ann", Stop);
        var record = JsonNode.Parse((await store.ReadAsync(Record, Stop))!.Value.Span)!;
        record["later"] = 1;
        record["versions"]![0]!["later"] = "x";
        await store.WriteAsync(Record, Encoding.UTF8.GetBytes(record.ToJsonString()), Stop);
        Assert.Equal((string)record["pinned"]!, (await registry.FindAsync("neuron", Stop)).Version.Sha256);
    }

    [Fact]
    public async Task What_is_no_model_is_not_uploaded()
    {
        var (registry, store, _) = Open(azure: false);
        string whole = Write(1);
        await File.WriteAllTextAsync(folder.File("text.safetensors"), "no model", Stop);
        await File.WriteAllBytesAsync(folder.File("cut.safetensors"), (await File.ReadAllBytesAsync(whole, Stop))[..^1], Stop);
        foreach (string file in (string[])["text.safetensors", "cut.safetensors", "absent.safetensors"])
            await Assert.ThrowsAsync<ModelFileException>(() => registry.PushAsync(folder.File(file), "neuron", "ann", Stop));

        // A file that another process writes between the check and the upload.
        var version = (await new ModelRegistry(folder.File("elsewhere")).PushAsync(whole, "neuron", "ann", Stop)).Version;
        string key = $"models/sha256/{version.Sha256}.safetensors";
        byte[] changed = await File.ReadAllBytesAsync(whole, Stop);
        changed[^1] ^= 1;
        await File.WriteAllBytesAsync(folder.File("changed.safetensors"), changed, Stop);
        foreach (string file in (string[])["changed.safetensors", "cut.safetensors"])
        {
            var failure = await Assert.ThrowsAsync<ModelFileException>(() => store.CreateAsync(key, ModelRegistry.PartsAsync(folder.File(file), version, Stop), Stop));
            Assert.Contains("changed while it was pushed", failure.Message, StringComparison.Ordinal);
        }

        Assert.Empty(await store.ListAsync("", Stop).ToListAsync(Stop));
    }

    [Fact]
    public async Task A_file_of_the_registry_that_has_not_its_hash_is_refused()
    {
        var (registry, store, _) = Open(azure: false);
        var pushed = await registry.PushAsync(Write(1), "neuron", "ann", Stop);
        string address = (await registry.FindAsync("neuron", Stop)).Address;
        using var blobs = new BlobFiles();
        var models = new ModelFiles(blobs);
        Assert.Equal(pushed.Version.Sha256, (await models.DescribeAsync(address, Stop)).Sha256);
        await store.WriteAsync($"models/sha256/{pushed.Version.Sha256}.safetensors", await File.ReadAllBytesAsync(Write(2), Stop), Stop);
        var failure = await Assert.ThrowsAsync<ModelFileException>(() => new ModelFiles(blobs).DescribeAsync(address, Stop));
        Assert.Contains("is damaged", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("azure://c/models/sha256/{0}.safetensors", true)]
    [InlineData("https://a/c/p/models/sha256/{0}.safetensors?sig=x", true)]
    [InlineData("/data/models/sha256/{0}.safetensors", true)]
    [InlineData("/data/models/sha256/x{0}.safetensors", false)]
    [InlineData("/data/mymodels/sha256/{0}.safetensors", false)]
    [InlineData("/data/{0}.safetensors", false)]
    public void Only_the_files_of_a_registry_promise_a_hash(string address, bool promises)
    {
        string hash = new('a', 64);
        Assert.Equal(promises ? hash : null, ModelRegistry.HashOf(string.Format(System.Globalization.CultureInfo.InvariantCulture, address, hash)));
    }

    // A registry of its own.
    private (ModelRegistry Registry, IBlobStore Store, string Address) Open(bool azure)
    {
        string place = Guid.NewGuid().ToString("n");
        IBlobStore store = azure ? new AzureBlobStore(inputs.Container, place) : new FolderBlobStore(folder.File(place));
        string address = azure ? $"azure://plates/{place}" : folder.File(place);
        return (new ModelRegistry(address, store), store, address);
    }

    private string Write(int seed)
    {
        string path = folder.File($"{seed}.safetensors");
        using var model = StainModel.Create(
            new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("A", 0, 65_535, "0000FF"), new("B", 0, 65_535, "00FF00")], (ulong)seed);
        model.Save(path);
        return path;
    }
}

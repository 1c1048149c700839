using System.Text;
using Azure.Core;
using Azure.Identity;
using Azure.Storage.Blobs;
using StainGrid.TestSupport;

namespace StainGrid.Imaging.Tests;

public sealed class BlobStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_folder_keeps_the_contract_of_a_store() => await KeepsTheContractAsync(new FolderBlobStore(_folder.File("root")));

    [Fact]
    public async Task A_part_of_a_folder_keeps_the_contract_of_a_store() =>
        await KeepsTheContractAsync(new FolderBlobStore(_folder.File("root")).Within("plates/p1"));

    [Fact]
    public async Task A_real_blob_service_keeps_the_contract_of_a_store()
    {
        await using var azurite = await AzuriteServer.StartAsync(Stop);
        var container = new BlobContainerClient(azurite.ConnectionString, "results");
        await container.CreateAsync(cancellationToken: Stop);
        await KeepsTheContractAsync(new AzureBlobStore(container));
        await KeepsTheContractAsync(new AzureBlobStore(container, "plates/p2"));

        Environment.SetEnvironmentVariable(BlobStores.ConnectionStringVariable, azurite.ConnectionString);
        try
        {
            var opened = BlobStores.Open("azure://results/plates/p2");
            await opened.WriteAsync("seen", "x"u8.ToArray(), Stop);
            Assert.True(await new AzureBlobStore(container, "plates/p2").ExistsAsync("seen", Stop));
            Assert.DoesNotContain("AccountKey", opened.Name, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable(BlobStores.ConnectionStringVariable, null);
        }

        // A shared access signature opens the container, and does not show in the name.
        string signed = container.GenerateSasUri(Azure.Storage.Sas.BlobContainerSasPermissions.All, DateTimeOffset.UtcNow.AddHours(1)).ToString();
        var bySignature = new AzureBlobStore(new BlobContainerClient(new Uri(signed)), "plates/p2");
        Assert.True(await bySignature.ExistsAsync("seen", Stop));
        Assert.DoesNotContain("sig=", bySignature.Name, StringComparison.Ordinal);

        var absent = new AzureBlobStore(new BlobContainerClient(azurite.ConnectionString, "absent"));
        var failure = await Assert.ThrowsAsync<BlobStoreException>(() => absent.WriteAsync("k", "x"u8.ToArray(), Stop));
        Assert.Contains("ContainerNotFound", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', failure.Message);
    }

    [Theory]
    [InlineData("/data/p?.zarr/", "/data/p?.zarr/", "/data/p?.zarr/B/7/0", null)]
    [InlineData("/data/p.zarr", "/data/p.zarr", "/data/p.zarr/B/7/0", "p.zarr")]
    [InlineData("azure://c/p.zarr", "azure://c/p.zarr", "azure://c/p.zarr/B/7/0", "p.zarr")]
    [InlineData("https://a/c/p.zarr/?sig=s%2Bx", "https://a/c/p.zarr/", "https://a/c/p.zarr/B/7/0?sig=s%2Bx", "p.zarr")]
    public void An_address_is_shown_without_its_signature_and_goes_on_before_it(string address, string shown, string field, string? name)
    {
        Assert.Equal(shown, BlobAddress.Show(address));
        Assert.Equal(field, BlobAddress.Append(address, "B/7/0"));
        Assert.Equal(address, BlobAddress.Full(address));
        if (name is not null)
            Assert.Equal(name, BlobAddress.FileName(address));
    }

    [Theory]
    [InlineData("")]
    [InlineData("..")]
    [InlineData("a/../b")]
    [InlineData("../out")]
    [InlineData("/etc/passwd")]
    [InlineData("a//b")]
    [InlineData("a/")]
    [InlineData("./a")]
    [InlineData("a\\b")]
    [InlineData("c:a")]
    [InlineData("a\0b")]
    [InlineData("a\nb")]
    [InlineData("a.partial")]
    [InlineData(".staingrid-locks/00")]
    public async Task Keys_that_lead_elsewhere_are_refused(string key)
    {
        var folder = new FolderBlobStore(_folder.File("root"));
        foreach (var store in new[] { folder, folder.Within("part"), new AzureBlobStore(new BlobContainerClient(new Uri("https://localhost/c"))) })
        {
            await Assert.ThrowsAsync<ArgumentException>(() => store.WriteAsync(key, new byte[1], Stop));
            await Assert.ThrowsAsync<ArgumentException>(() => store.ReadBlobAsync(key, 10, Stop));
            await Assert.ThrowsAsync<ArgumentException>(() => store.WriteIfAsync(key, new byte[1], null, Stop));
            await Assert.ThrowsAsync<ArgumentException>(() => store.DeleteAsync(key, null, Stop));
            await Assert.ThrowsAsync<ArgumentException>(() => store.ExistsAsync(key, Stop));
            await Assert.ThrowsAsync<ArgumentException>(() => store.CreateAsync(key, PartsAsync([1]), Stop));
        }

        Assert.False(Directory.Exists(_folder.File("root")));
    }

    [Fact]
    public async Task Links_out_of_the_root_are_not_followed()
    {
        string outside = Directory.CreateDirectory(_folder.File("outside")).FullName;
        File.WriteAllText(Path.Combine(outside, "secret"), "secret");
        var store = new FolderBlobStore(_folder.File("root"));
        await store.WriteAsync("inside", new byte[1], Stop);
        Directory.CreateSymbolicLink(_folder.File("root", "folder"), outside);
        File.CreateSymbolicLink(_folder.File("root", "file"), Path.Combine(outside, "secret"));
        File.CreateSymbolicLink(_folder.File("root", "dangling"), Path.Combine(outside, "new"));

        foreach (string key in new[] { "folder/secret", "file" })
            await Assert.ThrowsAsync<BlobStoreException>(() => store.ReadAsync(key, Stop));
        foreach (string key in new[] { "folder/new", "file", "dangling" })
        {
            await Assert.ThrowsAsync<BlobStoreException>(() => store.WriteAsync(key, new byte[1], Stop));
            await Assert.ThrowsAsync<BlobStoreException>(() => store.DeleteAsync(key, null, Stop));
        }

        Assert.Equal(["inside"], await KeysAsync(store, ""));
        Assert.Equal(["secret"], Directory.GetFiles(outside).Select(Path.GetFileName));
        Assert.Equal("secret", File.ReadAllText(Path.Combine(outside, "secret")));
    }

    [Fact]
    public async Task A_full_disk_leaves_the_old_bytes_or_none()
    {
        string disk = Directory.CreateDirectory(_folder.File("disk")).FullName;
        Assert.SkipUnless(Environment.IsPrivilegedProcess && OperatingSystem.IsLinux(), "Only root may mount a small disk.");
        try
        {
            await Conformance.RunAsync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], _folder.Path, Stop);
        }
        catch (InvalidOperationException exception)
        {
            Assert.Skip($"A small disk cannot be mounted here: {exception.Message}");
        }

        try
        {
            var store = new FolderBlobStore(disk);
            await store.WriteAsync("kept", Encoding.UTF8.GetBytes("old"), Stop);
            foreach (string key in new[] { "kept", "new" })
            {
                var failure = await Assert.ThrowsAsync<BlobStoreException>(() => store.WriteAsync(key, new byte[1 << 20], Stop));
                Assert.Contains($"cannot write {key}", failure.Message, StringComparison.Ordinal);
                Assert.Contains("Free some space", failure.Message, StringComparison.Ordinal);
            }

            Assert.Equal("old", Encoding.UTF8.GetString((await store.ReadAsync("kept", Stop))!.Value.Span));
            Assert.Null(await store.ReadAsync("new", Stop));
            Assert.Equal([Path.Combine(disk, "kept")], Directory.GetFiles(disk, "*", SearchOption.AllDirectories));
            Assert.Throws<ImageException>(() => PngWriter.WriteGrey8(Path.Combine(disk, "a.png"), Noise(1 << 20), 1024, 1024));
            Assert.Equal([Path.Combine(disk, "kept")], Directory.GetFiles(disk, "*", SearchOption.AllDirectories));
        }
        finally
        {
            await Conformance.RunAsync("umount", ["--lazy", disk], _folder.Path, CancellationToken.None);
        }
    }

    [Fact]
    public async Task A_place_that_cannot_be_written_is_told()
    {
        File.WriteAllText(_folder.File("file"), "");
        var failure = await Assert.ThrowsAsync<BlobStoreException>(() => new FolderBlobStore(_folder.File("file")).WriteAsync("k", new byte[1], Stop));
        Assert.Contains("cannot write k", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_processes_worth_of_stores_never_both_win()
    {
        // Two stores on one folder share nothing but the file locks, as two processes do.
        FolderBlobStore[] stores = [new(_folder.File("root")), new(_folder.File("root"))];
        await stores[0].WriteIfAsync("counter", BitConverter.GetBytes(0), null, Stop);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(async () =>
        {
            for (int n = 0; n < 10;)
            {
                var read = (await stores[i % 2].ReadBlobAsync("counter", 100, Stop))!;
                try
                {
                    await stores[i % 2].WriteIfAsync("counter", BitConverter.GetBytes(BitConverter.ToInt32(read.Data.Span) + 1), read.ETag, Stop);
                    n++;
                }
                catch (BlobConflictException)
                {
                    // Another was first.
                }
            }
        }, Stop)));
        Assert.Equal(80, BitConverter.ToInt32((await stores[0].ReadAsync("counter", Stop))!.Value.Span));
    }

    [Theory]
    [InlineData("s3://bucket/x", "s3://")]
    [InlineData("azure://results", "AZURE_STORAGE_CONNECTION_STRING")]
    [InlineData("https://host/", "names no container")]
    public void Addresses_that_are_not_known_are_refused(string uri, string said) =>
        Assert.Contains(said, Assert.Throws<BlobStoreException>(() => BlobStores.Open(uri)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData(null, "https://lab.blob.example", "https://lab.blob.example/results", true)]
    [InlineData(" ", "https://lab.blob.example/", "https://lab.blob.example/results", true)]
    [InlineData("AccountName=a;AccountKey=aGVsbG8=;BlobEndpoint=https://first.example", "https://lab.blob.example", "https://first.example/results", false)]
    public void An_account_is_opened_by_its_connection_string_or_else_by_the_identity_of_the_process(string? connection, string? service, string expected, bool byIdentity)
    {
        var identity = new Lazy<TokenCredential>(() => new DefaultAzureCredential());
        var container = BlobStores.AzureContainer("azure://results", "results", Account(connection, service), identity);
        Assert.Equal((expected, byIdentity), (container.Uri.AbsoluteUri, identity.IsValueCreated));
    }

    [Theory]
    [InlineData(null, "", "AZURE_STORAGE_SERVICE_URI")]
    [InlineData(null, "http://lab.blob.example", "not the https address")]
    [InlineData(null, "lab.blob.example", "not the https address")]
    [InlineData(null, "https://lab.blob.example/?sig=secret", "not the https address")]
    [InlineData(null, "https://user:secret@lab.blob.example", "not the https address")]
    [InlineData("AccountKey=secret", "https://lab.blob.example", "Copy the connection string again")]   // not passed over for the identity
    public void An_account_that_is_not_named_rightly_is_refused_without_its_secret(string? connection, string service, string said)
    {
        var identity = new Lazy<TokenCredential>(() => new DefaultAzureCredential());
        string message = Assert.Throws<BlobStoreException>(() => BlobStores.AzureContainer("azure://results", "results", Account(connection, service), identity)).Message;
        Assert.Contains(said, message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", message, StringComparison.Ordinal);
        Assert.False(identity.IsValueCreated);
    }

    [Fact]
    public async Task A_pod_s_workload_identity_is_the_only_one_that_is_tried_and_what_is_wrong_with_it_is_told_in_one_line()
    {
        Assert.IsType<WorkloadIdentityCredential>(BlobStores.Identity(name => name == "AZURE_FEDERATED_TOKEN_FILE" ? "/var/run/token" : null));
        Assert.IsType<DefaultAzureCredential>(BlobStores.Identity(_ => null));

        // The webhook has set nothing here: no request leaves this machine.
        var store = new AzureBlobStore(BlobStores.AzureContainer("azure://results", "results", Account(null, "https://127.0.0.1:1"), new(() => new WorkloadIdentityCredential())));
        var failure = await Assert.ThrowsAsync<BlobStoreException>(() => store.ExistsAsync("a", Stop));
        Assert.Contains("WorkloadIdentityCredential", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', failure.Message);
    }

    private static Func<string, string?> Account(string? connection, string? service) => name => name switch
    {
        BlobStores.ConnectionStringVariable => connection,
        BlobStores.ServiceUriVariable => service,
        _ => null,
    };

    [Fact]
    public void Paths_and_file_addresses_open_folders()
    {
        Assert.Equal(_folder.File("a b"), BlobStores.Open(_folder.File("a b")).Name);
        Assert.Equal(_folder.File("a b"), BlobStores.Open(new Uri(_folder.File("a b")).AbsoluteUri).Name);
        Assert.Equal("https://host/container/a/b", BlobStores.Open("https://host/container/a/b?sv=1&sig=secret").Name);
    }

    private static async Task KeepsTheContractAsync(IBlobStore store)
    {
        Assert.Null(await store.ReadAsync("a/b", Stop));
        Assert.False(await store.ExistsAsync("a/b", Stop));
        await store.DeleteAsync("a/b", null, Stop);
        Assert.Empty(await KeysAsync(store, ""));

        byte[] large = Noise(5_000_000);
        await store.WriteAsync("a/b", "first"u8.ToArray(), Stop);
        await store.WriteAsync("a/b", large, Stop);
        await store.WriteAsync("a/.zarray", ReadOnlyMemory<byte>.Empty, Stop);
        await store.WriteAsync("ab", "x"u8.ToArray(), Stop);
        Assert.Equal(large, (await store.ReadAsync("a/b", Stop))!.Value.ToArray());
        Assert.Equal(0, (await store.ReadAsync("a/.zarray", Stop))!.Value.Length);
        Assert.True(await store.ExistsAsync("a/b", Stop));
        Assert.False(await store.ExistsAsync("a", Stop));
        Assert.Equal(["a/.zarray", "a/b", "ab"], await KeysAsync(store, ""));
        Assert.Equal(["a/.zarray", "a/b"], await KeysAsync(store, "a/"));
        Assert.Equal(["a/.zarray"], await KeysAsync(store, "a/.z"));
        Assert.Empty(await KeysAsync(store, "c"));
        Assert.Empty(await KeysAsync(store, "c/d"));
        await Assert.ThrowsAsync<BlobStoreException>(() => store.ReadBlobAsync("a/b", large.Length - 1, Stop));

        string first = await store.WriteIfAsync("s", "1"u8.ToArray(), null, Stop);
        await Assert.ThrowsAsync<BlobConflictException>(() => store.WriteIfAsync("s", "x"u8.ToArray(), null, Stop));
        Assert.Equal(first, (await store.ReadBlobAsync("s", 10, Stop))!.ETag);
        string second = await store.WriteIfAsync("s", "2"u8.ToArray(), first, Stop);
        Assert.NotEqual(first, second);
        await Assert.ThrowsAsync<BlobConflictException>(() => store.WriteIfAsync("s", "x"u8.ToArray(), first, Stop));
        await Assert.ThrowsAsync<BlobConflictException>(() => store.WriteIfAsync("gone", "x"u8.ToArray(), first, Stop));
        Assert.Equal("2", Encoding.UTF8.GetString((await store.ReadAsync("s", Stop))!.Value.Span));
        await Assert.ThrowsAsync<BlobConflictException>(() => store.DeleteAsync("s", first, Stop));
        await store.DeleteAsync("s", second, Stop);
        await Assert.ThrowsAsync<BlobConflictException>(() => store.DeleteAsync("s", second, Stop));
        await store.DeleteAsync("ab", null, Stop);
        Assert.Equal(["a/.zarray", "a/b"], await KeysAsync(store, ""));

        // A blob that is made in parts is there as a whole or not at all, and stays as it was first made.
        await Assert.ThrowsAsync<ArithmeticException>(() => store.CreateAsync("parts/one", PartsAsync(large, breaks: true), Stop));
        Assert.False(await store.ExistsAsync("parts/one", Stop));
        bool[] created = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => store.CreateAsync("parts/one", PartsAsync(large), Stop), Stop)));
        Assert.Single(created, true);
        Assert.False(await store.CreateAsync("parts/one", PartsAsync(Noise(10)), Stop));
        Assert.Equal(large, (await store.ReadAsync("parts/one", Stop))!.Value.ToArray());
        Assert.Equal(["parts/one"], await KeysAsync(store, "parts/"));

        using var stopped = new CancellationTokenSource();
        await stopped.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => store.WriteAsync("late", large, stopped.Token));
        Assert.False(await store.ExistsAsync("late", Stop));
    }

    // One buffer for all parts, as a caller may have.
    private static async IAsyncEnumerable<ReadOnlyMemory<byte>> PartsAsync(byte[] data, bool breaks = false)
    {
        byte[] part = new byte[1_000_003];
        for (int at = 0; at < data.Length; at += part.Length)
        {
            int length = Math.Min(part.Length, data.Length - at);
            data.AsSpan(at, length).CopyTo(part);
            await Task.Yield();
            yield return part.AsMemory(0, length);
            if (breaks && at > 2_000_000)
                throw new ArithmeticException("broken off");
        }
    }

    private static byte[] Noise(int length)
    {
        byte[] bytes = new byte[length];
        new Random(5).NextBytes(bytes);
        return bytes;
    }

    private static async Task<List<string>> KeysAsync(IBlobStore store, string prefix)
    {
        var keys = new List<string>();
        await foreach (string key in store.ListAsync(prefix, Stop))
            keys.Add(key);
        return keys;
    }
}

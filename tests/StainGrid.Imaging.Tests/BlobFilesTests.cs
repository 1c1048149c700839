using System.ComponentModel.DataAnnotations;
using System.Security.Cryptography;
using StainGrid.TestSupport;

namespace StainGrid.Imaging.Tests;

public sealed class BlobFilesTests(BlobInputs inputs) : IClassFixture<BlobInputs>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Asks_for_the_same_blob_at_once_and_later_download_it_once()
    {
        byte[] data = await PutAsync("once.bin", 3 << 20);
        using var files = Files();
        var leases = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => files.OpenAsync(["azure://plates/once.bin"], null, Stop)));
        string path = Assert.Single(leases.Select(lease => lease.Paths[0]).Distinct());
        Assert.Equal(data, await File.ReadAllBytesAsync(path, Stop));
        Assert.Equal(data.Length, files.Held);
        foreach (var lease in leases)
            lease.Dispose();
        using (var again = await files.OpenAsync(["azure://plates/once.bin"], null, Stop))
            Assert.Equal(path, again.Paths[0]);
        Assert.Single(inputs.Requests, "GET once.bin");
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(path)!, "*.partial"));
    }

    [Fact]
    public async Task A_local_path_is_what_it_is()
    {
        using var files = Files();
        using var lease = await files.OpenAsync([_folder.File("absent.png")], null, Stop);
        Assert.Equal([_folder.File("absent.png")], lease.Paths);
        Assert.Empty(Directory.GetDirectories(_folder.Path));
    }

    [Fact]
    public async Task A_blob_that_was_written_again_is_another_file_and_no_longer_the_version_that_was_asked_for()
    {
        await PutAsync("changed.bin", 1000);
        using var files = Files();
        using var first = await files.OpenAsync(["azure://plates/changed.bin"], null, Stop);
        byte[] after = await PutAsync("changed.bin", 1000);
        using var second = await files.OpenAsync(["azure://plates/changed.bin"], null, Stop);
        Assert.NotEqual(first.Paths[0], second.Paths[0]);
        Assert.Equal(after, await File.ReadAllBytesAsync(second.Paths[0], Stop));

        // The old version is still here for who has begun with it; elsewhere it is refused.
        using var same = await files.OpenAsync(["azure://plates/changed.bin"], first.Versions, Stop);
        Assert.Equal(first.Paths, same.Paths);
        using var elsewhere = Files();
        await RefusedAsync(() => elsewhere.OpenAsync(["azure://plates/changed.bin"], first.Versions, Stop), "azure://plates/changed.bin was written again");
    }

    [Fact]
    public async Task A_blob_that_changes_between_the_look_and_the_download_is_read_anew()
    {
        await PutAsync("racing.bin", 100);
        byte[] after = RandomNumberGenerator.GetBytes(100);
        bool changed = false;
        inputs.Before = request =>
        {
            if (request == "GET racing.bin" && !changed)
            {
                changed = true;
                inputs.Container.GetBlobClient("racing.bin").Upload(BinaryData.FromBytes(after), overwrite: true, Stop);
            }
        };
        try
        {
            using var files = Files();
            using var lease = await files.OpenAsync(["azure://plates/racing.bin"], null, Stop);
            Assert.Equal(after, await File.ReadAllBytesAsync(lease.Paths[0], Stop));
            Assert.Equal(100, files.Held);
        }
        finally
        {
            inputs.Before = null;
        }
    }

    [Fact]
    public async Task The_least_recently_used_file_goes_first_and_one_in_use_never()
    {
        foreach (string name in (string[])["a", "b", "c"])
            await PutAsync(name, 400 << 10);
        using var files = Files(1 << 20);
        string a = await PathAsync("a"), b = await PathAsync("b");
        Assert.Equal(a, await PathAsync("a"));
        string c = await PathAsync("c");
        Assert.Equal((true, false, true), (File.Exists(a), File.Exists(b), File.Exists(c)));
        Assert.Equal(800 << 10, files.Held);

        // With two in use the third waits until one is let go.
        var held = new[] { await files.OpenAsync(["azure://plates/a"], null, Stop), await files.OpenAsync(["azure://plates/c"], null, Stop) };
        var waiting = files.OpenAsync(["azure://plates/b"], null, Stop);
        await Task.Delay(200, Stop);
        Assert.False(waiting.IsCompleted);
        Assert.Equal((true, true), (File.Exists(a), File.Exists(c)));
        held[0].Dispose();
        using (var came = await waiting)
            Assert.Equal((false, true, true), (File.Exists(a), File.Exists(came.Paths[0]), File.Exists(c)));

        // Who keeps a file only for later is asked to let go of it.
        var idle = await files.OpenAsync(["azure://plates/b"], null, Stop);
        files.Full += idle.Dispose;
        using (await files.OpenAsync(["azure://plates/a"], null, Stop))
            Assert.False(File.Exists(b));
        held[1].Dispose();

        async Task<string> PathAsync(string name)
        {
            using var lease = await files.OpenAsync([$"azure://plates/{name}"], null, Stop);
            return lease.Paths[0];
        }
    }

    [Fact]
    public async Task What_does_not_fit_at_all_is_refused_before_it_is_downloaded()
    {
        await PutAsync("large.bin", (1 << 20) + 1);
        await PutAsync("half-1.bin", 600 << 10);
        await PutAsync("half-2.bin", 600 << 10);
        using var files = Files(1 << 20);
        await RefusedAsync(() => files.OpenAsync(["azure://plates/large.bin"], null, Stop), "large.bin has 1,048,577 bytes, more than the 1,048,576");
        await RefusedAsync(() => files.OpenAsync(["azure://plates/half-1.bin", "azure://plates/half-2.bin"], null, Stop), "1 more of its stack");
        Assert.DoesNotContain(inputs.Requests, request => request.StartsWith("GET large", StringComparison.Ordinal) || request.StartsWith("GET half", StringComparison.Ordinal));
        Assert.Throws<ValidationException>(() => new BlobFiles(new BlobFilesOptions { MaxBytes = 7 }));
    }

    [Fact]
    public async Task What_is_not_there_is_said_in_a_line_without_the_signature()
    {
        using var files = Files();
        await RefusedAsync(() => files.OpenAsync(["azure://plates/absent.png"], null, Stop), "azure://plates/absent.png does not exist");
        await RefusedAsync(() => files.OpenAsync([inputs.Signed("absent.png")], null, Stop), "https://account.example/plates/absent.png does not exist");
        await RefusedAsync(() => files.OpenAsync([inputs.Signed("a.png").Replace("sig=", "sig=x", StringComparison.Ordinal)], null, Stop), "(403)");
        await RefusedAsync(() => files.OpenAsync(["azure://absent/x.png"], null, Stop), "ContainerNotFound");
        foreach (string address in (string[])["azure://plates/a#b.png", "azure://plates/a?b.png", "s3://plates/a.png", "https://account.example/?sig=secret"])
            await RefusedAsync(() => files.OpenAsync([address], null, Stop), "Give ");
        Assert.Equal(0, files.Held);
    }

    [Fact]
    public async Task A_download_that_nobody_waits_for_any_more_is_stopped_and_leaves_nothing()
    {
        await PutAsync("slow.bin", 8 << 20);
        using var files = Files();
        using var cancelled = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        inputs.Before = request =>
        {
            if (request == "GET slow.bin")
                cancelled.Cancel();
        };
        try
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => files.OpenAsync(["azure://plates/slow.bin"], null, cancelled.Token));
        }
        finally
        {
            inputs.Before = null;
        }

        Assert.Equal(0, files.Held);
        using var again = await files.OpenAsync(["azure://plates/slow.bin"], null, Stop);
        Assert.Equal(8 << 20, new FileInfo(again.Paths[0]).Length);
    }

    [Fact]
    public async Task The_files_end_with_their_owner_and_those_of_one_that_was_killed_with_the_next()
    {
        if (OperatingSystem.IsWindows())
            return;   // folders have no such modes there

        await PutAsync("left.bin", 100);
        const UnixFileMode OursAlone = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        string killed = Directory.CreateDirectory(_folder.File("staingrid-inputs-killed"), OursAlone).FullName;
        string open = Directory.CreateDirectory(_folder.File("staingrid-inputs-open"), OursAlone | UnixFileMode.GroupRead).FullName;
        foreach (string left in (string[])[killed, open])
        {
            await File.WriteAllTextAsync(Path.Combine(left, "lock"), "", Stop);
            await File.WriteAllTextAsync(Path.Combine(left, "abc"), "old", Stop);
        }

        var other = Files();
        using var held = await other.OpenAsync(["azure://plates/left.bin"], null, Stop);
        Assert.False(Directory.Exists(killed));
        Assert.True(File.Exists(Path.Combine(open, "abc")));   // another's, perhaps
        Directory.Delete(open, recursive: true);
        using (var files = Files())
        using (await files.OpenAsync(["azure://plates/left.bin"], null, Stop))
        {
            // One that lives is left alone.
            Assert.True(File.Exists(held.Paths[0]));
            Assert.Equal(2, Directory.GetDirectories(_folder.Path).Length);
        }

        other.Dispose();
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Theory]
    [InlineData("azure://c/in/a.png", "azure://c/in/a.png", "a.png")]
    [InlineData("azure://c/in/a%20%23b.png#channel=DAPI 1", "azure://c/in/a #b.png#channel=DAPI 1", "a #b.png#channel=DAPI 1")]
    [InlineData("https://h/c/p/?sv=1&sig=a%2Fb", "https://h/c/p/", "p")]
    [InlineData("https://h/c/0?sv=1&sig=a/b#channel=1", "https://h/c/0#channel=1", "0#channel=1")]
    [InlineData("https://h/c/0#channel=1?sv=1&sig=a", "https://h/c/0#channel=1", "0#channel=1")]
    [InlineData("/data/a?b.png", "/data/a?b.png", "a?b.png")]
    public void An_address_is_shown_without_its_query(string address, string shown, string name) =>
        Assert.Equal((shown, name), (BlobAddress.Show(address), BlobAddress.FileName(address)));

    [Fact]
    public void Local_paths_become_full_and_addresses_stay()
    {
        Assert.Equal(Path.GetFullPath("a.png"), BlobAddress.Full("a.png"));
        Assert.Equal("/data/a b.png", BlobAddress.Full("file:///data/a%20b.png"));
        Assert.Equal("azure://c/a.png", BlobAddress.Full("azure://c/a.png"));
    }

    private BlobFiles Files(long maxBytes = 1L << 30) => inputs.Files(new BlobFilesOptions { Folder = _folder.Path, MaxBytes = maxBytes });

    private async Task<byte[]> PutAsync(string key, int length)
    {
        byte[] data = RandomNumberGenerator.GetBytes(length);
        await inputs.Container.GetBlobClient(key).UploadAsync(BinaryData.FromBytes(data), overwrite: true, Stop);
        return data;
    }

    private static async Task RefusedAsync(Func<Task<BlobLease>> open, string why)
    {
        var exception = await Assert.ThrowsAsync<BlobStoreException>(open);
        Assert.Contains(why, exception.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', exception.Message);
        Assert.DoesNotContain("sig=", exception.Message, StringComparison.Ordinal);
    }
}

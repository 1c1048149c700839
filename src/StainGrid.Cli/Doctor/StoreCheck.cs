using System.Globalization;
using System.Text;
using StainGrid.Grains;
using StainGrid.Imaging;

namespace StainGrid.Cli.Doctor;

/// <summary>Whether a store does what grains and results need of it, on a key of its own; a registry only as silos read it, since they need no other right.</summary>
internal static class StoreCheck
{
    private const long Reserve = 10L << 30;

    public static async Task<IReadOnlyList<Finding>> RunAsync(string name, string address, bool isRead, CancellationToken cancellationToken)
    {
        string check = $"store {name}";
        string shown = BlobAddress.Show(address);
        try
        {
            var whole = BlobStores.Open(address);
            if (isRead)
                return [await ReadAsync(check, shown, new ModelRegistry(address, whole), cancellationToken)];
            string key = $"doctor/{Guid.NewGuid():n}";
            var store = whole.Within(key);
            try
            {
                byte[] first = Encoding.UTF8.GetBytes(key), second = Encoding.UTF8.GetBytes(key + "2");
                var before = DateTimeOffset.UtcNow;
                string old = await store.WriteIfAsync("a", first, null, cancellationToken);
                var written = await store.ModifiedAsync("a", cancellationToken);
                var after = DateTimeOffset.UtcNow;
                if (await Fails(() => store.WriteIfAsync("a", second, null, cancellationToken)))
                    return [Wrong("takes a blob for a new one that is there")];
                await store.WriteIfAsync("a", second, old, cancellationToken);
                if (await Fails(() => store.WriteIfAsync("a", first, old, cancellationToken)))
                    return [Wrong("takes a write of an old version")];
                if (await store.ReadBlobAsync("a", 1 << 20, cancellationToken) is not { } blob || !blob.Data.Span.SequenceEqual(second))
                    return [Wrong("does not read what was written")];
                if (!await whole.ListAsync(key, cancellationToken).AnyAsync(one => one == key + "/a", cancellationToken))
                    return [Wrong("does not list what was written")];
                await store.DeleteAsync("a", cancellationToken: cancellationToken);
                if (await store.ExistsAsync("a", cancellationToken))
                    return [Wrong("keeps what was deleted")];
                var findings = new List<Finding> { Room(check, whole, $"{shown}: writes, reads, refuses stale writes, lists, deletes") };
                if (written is { } time)
                    findings.Add(ClockCheck.Of($"clock of {check}", time, before, after, whole is FolderBlobStore ? TimeSpan.FromSeconds(0.1) : TimeSpan.FromSeconds(1)));
                return findings;
            }
            finally
            {
                try
                {
                    await store.DeleteAllAsync(cancellationToken: CancellationToken.None);
                    if (whole is FolderBlobStore folder)
                        Directory.Delete(Path.Combine(folder.Root, "doctor"));
                }
                catch (Exception e) when (e is BlobStoreException or IOException or UnauthorizedAccessException)
                {
                    // Another doctor is at it, or what failed is told already.
                }
            }
        }
        catch (BlobStoreException e)
        {
            return [new Finding(check, Health.Fail, e.Message)];
        }
        catch (ArgumentException e)
        {
            return [Finding.Fail(check, $"{shown} is no address of a store ({e.Message})", $"Give a folder, azure://CONTAINER/PREFIX or https://.. (--{name}).")];
        }

        Finding Wrong(string what) => Finding.Fail(check, $"{shown} {what}", "Use another store: plates and chunks would be lost by this one.");
    }

    private static async Task<Finding> ReadAsync(string check, string shown, ModelRegistry registry, CancellationToken cancellationToken)
    {
        int models = 0;
        await foreach (string name in registry.NamesAsync(cancellationToken))
            models += await registry.GetAsync(name, cancellationToken) is null ? 0 : 1;
        return models > 0 ? Finding.Ok(check, $"{shown}: lists and reads; models: {models}")
            : Finding.Warn(check, $"{shown} has no model", "Put one in: staingrid model push. Or is it another place?");
    }

    // Whether what must be refused is not.
    private static async Task<bool> Fails(Func<Task> write)
    {
        try
        {
            await write();
            return true;
        }
        catch (BlobConflictException)
        {
            return false;
        }
    }

    private static Finding Room(string check, IBlobStore store, string text)
    {
        if (store is not FolderBlobStore folder)
            return Finding.Ok(check, text);
        long free = new DriveInfo(folder.Root).AvailableFreeSpace;
        text += string.Create(CultureInfo.InvariantCulture, $"; {free / (double)(1L << 30):0.0} GiB free");
        return free >= Reserve ? Finding.Ok(check, text)
            : Finding.Warn(check, text, "Make room, or keep less: --keep-results, --keep-uploads (docs/housekeeping.md).");
    }
}

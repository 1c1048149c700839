using System.ComponentModel.DataAnnotations;
using System.Security.Cryptography;
using System.Text;

namespace StainGrid.Imaging;

/// <summary>Blobs as local files, for readers that need files: downloaded once, kept in a folder of bounded size while they are
/// used and for the next use. One for each silo; safe for concurrent use.</summary>
/// <remarks>A file is named by its blob's address and version: a blob that was written again is another file. Whoever asks for files
/// must hold none, or two might wait for each other.</remarks>
public sealed class BlobFiles : IDisposable
{
    private const int ChangesWhileReading = 3;
    private const UnixFileMode OursAlone = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private static readonly TimeSpan s_ask = TimeSpan.FromSeconds(0.5);

    private readonly BlobFilesOptions _options;
    private readonly Func<string, AzureBlobStore> _open;
    private readonly CancellationTokenSource _ended = new();
    private readonly SemaphoreSlim _downloads;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Entry> _entries = [];
    private readonly LinkedList<Entry> _recent = [];
    private TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private (string Path, FileStream Lock)? _folder;
    private long _held;

    /// <summary>Files of blobs; the folder is made at the first download.</summary>
    /// <param name="options">Where, and how much; the defaults where null.</param>
    /// <param name="open">Opens a container by its address; <see cref="BlobStores.Open"/> where null.</param>
    /// <exception cref="ValidationException">An option is out of its range.</exception>
    public BlobFiles(BlobFilesOptions? options = null, Func<string, AzureBlobStore>? open = null)
    {
        _options = options ?? new BlobFilesOptions();
        Validator.ValidateObject(_options, new ValidationContext(_options), validateAllProperties: true);
        _downloads = new SemaphoreSlim(_options.Connections);
        _open = open ?? (address => (AzureBlobStore)BlobStores.Open(address));
    }

    /// <summary>Raised while there is no room: who keeps files only for a next use should let go of them.</summary>
    public event Action? Full;

    /// <summary>The bytes that the files take, with those being downloaded.</summary>
    public long Held
    {
        get
        {
            lock (_lock)
                return _held;
        }
    }

    /// <summary>Files of blobs, which stay until the lease is disposed of. Local paths are what they are. Waits for room, and takes all
    /// room at once.</summary>
    /// <param name="addresses">Addresses, as <see cref="BlobAddress"/> says.</param>
    /// <param name="versions">The versions that the blobs must have, as an earlier <see cref="BlobLease.Versions"/> said; null for
    /// those that they have now.</param>
    /// <param name="cancellationToken">Stops the waiting; a download that nobody waits for is stopped too.</param>
    /// <exception cref="BlobStoreException">A blob does not exist, is another version, or is too large; or its store fails.</exception>
    public async Task<BlobLease> OpenAsync(IReadOnlyList<string> addresses, IReadOnlyList<string>? versions = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(addresses);
        for (int attempt = 1; ; attempt++)
        {
            var blobs = new Entry?[addresses.Count];
            var options = new ParallelOptions { MaxDegreeOfParallelism = _options.Connections, CancellationToken = cancellationToken };
            await Parallel.ForAsync(0, blobs.Length, options, async (i, stop) => blobs[i] = await FindAsync(addresses[i], versions?[i], stop));
            var needed = blobs.OfType<Entry>().DistinctBy(entry => entry.Name).ToArray();
            var lease = new BlobLease(this, await TakeAsync(needed, cancellationToken), [.. blobs.Select((blob, i) => blob is null ? addresses[i] : PathOf(blob.Name))],
                [.. blobs.Select(blob => blob?.Blob.ETag ?? "")]);
            try
            {
                bool[] whole = await Task.WhenAll(lease.Entries.Select(entry => entry.Download!)).WaitAsync(cancellationToken);
                if (!whole.Contains(false))
                    return lease;
                if (attempt == ChangesWhileReading)
                    throw new BlobStoreException($"{lease.Entries[Array.IndexOf(whole, false)].Shown} changed again and again while it was read. Wait until it is written and run again.");
            }
            catch
            {
                lease.Dispose();
                throw;
            }

            lease.Dispose();
        }
    }

    /// <summary>Stops what is being downloaded and deletes the files.</summary>
    public void Dispose()
    {
        if (_ended.IsCancellationRequested)
            return;
        _ended.Cancel();
        Task[] downloads;
        lock (_lock)
            downloads = [.. _entries.Values.Select(entry => entry.Download!)];
        Task.WhenAll(downloads).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default).Wait(TimeSpan.FromSeconds(10));
        if (_folder is { } folder)
        {
            TryDelete(folder.Path);
            folder.Lock.Dispose();
        }

        _ended.Dispose();
        _downloads.Dispose();
    }

    /// <summary>The container of an address, and the key in it.</summary>
    internal (AzureBlobStore Store, string Key) Locate(string address)
    {
        var (container, key) = BlobAddress.Split(address);
        return (_open(container), key);
    }

    internal void Release(IReadOnlyList<Entry> entries)
    {
        lock (_lock)
        {
            foreach (var entry in entries)
            {
                entry.Uses--;
                if (entry.Uses > 0)
                    continue;
                if (entry.Download is not { IsCompletedSuccessfully: true, Result: true })
                    Forget(entry);
            }

            _released.SetResult();
            _released = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    // What must be there of an address; null for a local path.
    private async Task<Entry?> FindAsync(string address, string? version, CancellationToken cancellationToken)
    {
        if (!BlobAddress.IsBlob(address))
            return null;
        string shown = BlobAddress.Show(address);
        var (store, key) = Locate(address);
        if (!string.IsNullOrEmpty(version))
        {
            lock (_lock)
            {
                if (_entries.TryGetValue(NameOf(shown, version), out var known))
                    return new Entry(known.Name, shown, store, known.Blob);
            }
        }

        var blob = await store.FindAsync(key, cancellationToken)
            ?? throw new BlobStoreException($"{shown} does not exist. Check the address.");
        if (!string.IsNullOrEmpty(version) && blob.ETag != version)
            throw new BlobStoreException($"{shown} was written again since the work on it started. Submit it again.");
        return new Entry(NameOf(shown, blob.ETag), shown, store, blob);
    }

    private async Task<IReadOnlyList<Entry>> TakeAsync(Entry[] needed, CancellationToken cancellationToken)
    {
        if (needed.Length == 0)
            return [];
        long together = needed.Sum(entry => entry.Blob.Length);
        if (together > _options.MaxBytes)
        {
            throw new BlobStoreException(string.Create(CultureInfo.InvariantCulture,
                $"{needed[0].Shown}{(needed.Length > 1 ? $" and {needed.Length - 1} more of its stack have" : " has")} {together:N0} bytes, more than the {_options.MaxBytes:N0} that are kept of inputs. Raise that limit (--input-cache)."));
        }

        while (true)
        {
            Task released;
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_ended.IsCancellationRequested, this);
                if (TryTake(needed) is { } taken)
                    return taken;
                released = _released.Task;
            }

            // Again and again: what is in use now may later be kept only for a next use.
            Full?.Invoke();
            await Task.WhenAny(released, Task.Delay(s_ask, cancellationToken));
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    // All of them or none; those that are not here start to be downloaded.
    private Entry[]? TryTake(Entry[] needed)
    {
        // Cleaners of temporary folders delete what is old.
        foreach (var asked in needed)
        {
            if (_entries.TryGetValue(asked.Name, out var entry) && entry is { Uses: 0, Download.IsCompleted: true } && !File.Exists(PathOf(asked.Name)))
                Forget(entry);
        }

        var here = needed.Where(entry => _entries.ContainsKey(entry.Name)).Select(entry => _entries[entry.Name]).ToHashSet();
        long missing = needed.Where(entry => !_entries.ContainsKey(entry.Name)).Sum(entry => entry.Blob.Length);
        var idle = _recent.Reverse().Where(entry => entry.Uses == 0 && !here.Contains(entry)).ToArray();
        if (_held - idle.Sum(entry => entry.Blob.Length) + missing > _options.MaxBytes)
            return null;
        foreach (var entry in idle.TakeWhile(_ => _held + missing > _options.MaxBytes))
            Forget(entry);
        if (here.Count < needed.Length)
            Prepare();
        return [.. needed.Select(asked =>
        {
            if (_entries.TryGetValue(asked.Name, out var entry))
            {
                _recent.Remove(entry);
            }
            else
            {
                entry = asked;
                _entries.Add(entry.Name, entry);
                _held += entry.Blob.Length;
                entry.Download = Task.Run(() => DownloadAsync(entry));
            }

            _recent.AddFirst(entry);
            entry.Uses++;
            return entry;
        })];
    }

    // False where the blob is no longer what was found.
    private async Task<bool> DownloadAsync(Entry entry)
    {
        string partial = $"{PathOf(entry.Name)}.{Guid.NewGuid():N}{BlobKey.Partial}";
        try
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token, entry.Unwanted.Token);
            using var turn = await TurnAsync(stop.Token);
            await using (var stream = new FileStream(partial, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, useAsync: true))
            {
                if (!await entry.Store.DownloadAsync(entry.Blob, stream, stop.Token))
                    return false;
                if (stream.Length != entry.Blob.Length)
                    throw new BlobStoreException($"{entry.Shown} came with {stream.Length:N0} of {entry.Blob.Length:N0} bytes. Run again.");
            }

            lock (_lock)
            {
                // Not over the file of another try, where this one was given up.
                if (entry.Unwanted.IsCancellationRequested)
                    return false;
                _ended.Token.ThrowIfCancellationRequested();
                File.Move(partial, PathOf(entry.Name), overwrite: true);
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException and not BlobStoreException or UnauthorizedAccessException)
        {
            throw new BlobStoreException($"{entry.Shown} cannot be kept in {_folder?.Path}: {exception.Message} Free some space and run again.", exception);
        }
        finally
        {
            TryDelete(partial);
        }
    }

    private async Task<Turn> TurnAsync(CancellationToken cancellationToken)
    {
        await _downloads.WaitAsync(cancellationToken);
        return new Turn(_downloads);
    }

    private void Forget(Entry entry)
    {
        if (!_entries.Remove(entry.Name))
            return;
        _recent.Remove(entry);
        _held -= entry.Blob.Length;
        _ = entry.Unwanted.CancelAsync();
        if (_folder is not null)
            TryDelete(PathOf(entry.Name));
    }

    // A folder of this process's own. Those that others left behind, whose lock nobody holds, are deleted.
    private void Prepare()
    {
        if (_folder is { } here)
        {
            if (Directory.Exists(here.Path))
                return;
            here.Lock.Dispose();   // a cleaner took it
            _folder = null;
        }

        try
        {
            string root = _options.Folder ?? Path.GetTempPath();
            Directory.CreateDirectory(root);
            foreach (string old in Directory.EnumerateDirectories(root, "staingrid-inputs-*"))
            {
                // Ours are for us alone; what others may write into is not followed.
                if (new DirectoryInfo(old).LinkTarget is not null || (!OperatingSystem.IsWindows() && File.GetUnixFileMode(old) != OursAlone))
                    continue;
                if (TryLock(old, FileMode.Open) is not { } abandoned)
                    continue;
                TryDelete(old);
                abandoned.Dispose();
            }

            string folder = Path.Combine(root, $"staingrid-inputs-{Guid.NewGuid():N}");
            if (OperatingSystem.IsWindows())
                Directory.CreateDirectory(folder);
            else
                Directory.CreateDirectory(folder, OursAlone);
            _folder = (folder, TryLock(folder, FileMode.Create) ?? throw new IOException($"{folder} cannot be locked."));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BlobStoreException($"The folder for inputs cannot be made: {exception.Message} Check the disk and the permissions.", exception);
        }
    }

    private static FileStream? TryLock(string folder, FileMode mode)
    {
        try
        {
            return new FileStream(Path.Combine(folder, "lock"), mode, FileAccess.ReadWrite, FileShare.None, 1);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            if (Directory.Exists(path))
                Directory.Delete(path, recursive: true);
            else
                File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The next start's turn.
        }
    }

    private string PathOf(string name) => Path.Combine(_folder!.Value.Path, name);

    private static string NameOf(string shown, string etag) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{shown}\n{etag}")));

    private sealed class Turn(SemaphoreSlim semaphore) : IDisposable
    {
        public void Dispose() => semaphore.Release();
    }

    internal sealed class Entry(string name, string shown, AzureBlobStore store, BlobInfo blob)
    {
        public string Name => name;

        public string Shown => shown;

        public AzureBlobStore Store => store;

        public BlobInfo Blob => blob;

        public CancellationTokenSource Unwanted { get; } = new();

        public Task<bool>? Download { get; set; }

        public int Uses { get; set; }
    }
}

/// <summary>Files that stay until this is disposed of.</summary>
public sealed class BlobLease : IDisposable
{
    private BlobFiles? _files;

    internal BlobLease(BlobFiles files, IReadOnlyList<BlobFiles.Entry> entries, IReadOnlyList<string> paths, IReadOnlyList<string> versions)
    {
        _files = files;
        Entries = entries;
        Paths = paths;
        Versions = versions;
    }

    /// <summary>The local files, in the order of the addresses.</summary>
    public IReadOnlyList<string> Paths { get; }

    /// <summary>Their blobs' versions; empty for what is local.</summary>
    public IReadOnlyList<string> Versions { get; }

    internal IReadOnlyList<BlobFiles.Entry> Entries { get; }

    /// <summary>Lets go of the files.</summary>
    public void Dispose() => Interlocked.Exchange(ref _files, null)?.Release(Entries);
}

/// <summary>How inputs are kept that come from blobs.</summary>
public sealed record BlobFilesOptions
{
    /// <summary>Where the folder of the downloaded files is made; null for the system's temporary folder.</summary>
    public string? Folder { get; init; }

    /// <summary>The most bytes of downloaded files, 1 MiB and more; 8 GiB by default. A stack must fit as a whole.</summary>
    [Range(1L << 20, long.MaxValue, ErrorMessage = "MaxBytes (--input-cache) must be at least 1 MiB.")]
    public long MaxBytes { get; init; } = 8L << 30;

    /// <summary>Requests to the store at once, 1 to 256.</summary>
    [Range(1, 256)]
    public int Connections { get; init; } = 16;
}

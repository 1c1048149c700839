using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>The open images of a silo, so that the blocks of a slide share one decoder. The least recently used are closed, and those
/// not in use where inputs need the room of their copies.</summary>
public sealed class SlideImageCache : IDisposable
{
    private const int MaxOpen = 4;

    private readonly BlobFiles blobs;
    private readonly Lock gate = new();
    private readonly LinkedList<Entry> entries = [];

    /// <summary>No images.</summary>
    /// <param name="blobs">Keeps the copies of those that are blobs.</param>
    public SlideImageCache(BlobFiles blobs)
    {
        ArgumentNullException.ThrowIfNull(blobs);
        this.blobs = blobs;
        blobs.Full += CloseIdle;
    }

    /// <summary>Runs <paramref name="use"/> on an image, opening it if it is not open.</summary>
    /// <param name="files">The image's files, as <see cref="ImageReader.OpenStackAsync"/> takes them.</param>
    /// <param name="versions">The versions that they must have, where they are blobs; empty for any.</param>
    /// <param name="use">What to do; it may read, which takes time.</param>
    /// <param name="cancellationToken">Stops the waiting for the image to be opened, not the opening, which others may wait for.</param>
    /// <exception cref="ImageException">The image is refused or damaged.</exception>
    /// <exception cref="BlobStoreException">A blob cannot be had, or is another version.</exception>
    public async Task<T> UseAsync<T>(IReadOnlyList<string> files, IReadOnlyList<string> versions, Func<IPlaneImage, T> use, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(versions);
        ArgumentNullException.ThrowIfNull(use);
        var entry = Take(files, versions);
        try
        {
            return use(await entry.Image.WaitAsync(cancellationToken));
        }
        finally
        {
            Release(entry);
        }
    }

    /// <summary>Closes an image when its last use ends; does nothing if it is not open.</summary>
    public void Close(IReadOnlyList<string> files)
    {
        lock (gate)
        {
            string key = string.Join('\0', files);
            foreach (var entry in entries.Where(entry => entry.Files == key).ToArray())
                Drop(entry);
        }
    }

    /// <summary>Closes all images.</summary>
    public void Dispose()
    {
        blobs.Full -= CloseIdle;
        lock (gate)
        {
            foreach (var entry in entries.ToArray())
                Drop(entry);
        }
    }

    private void CloseIdle()
    {
        lock (gate)
        {
            foreach (var entry in entries.Where(entry => entry.Uses == 0).ToArray())
                Drop(entry);
        }
    }

    private Entry Take(IReadOnlyList<string> files, IReadOnlyList<string> versions)
    {
        string key = string.Join('\0', files), version = string.Join('\0', versions);
        lock (gate)
        {
            var entry = entries.FirstOrDefault(entry => entry.Files == key && entry.Versions == version);
            if (entry is { Image.IsFaulted: true })
            {
                entries.Remove(entry);   // nobody waited for it to the end
                entry = null;
            }

            if (entry is null)
            {
                entry = new Entry(key, version, Task.Run(() => ImageReader.OpenStackAsync(files, blobs, versions.Count > 0 ? versions : null)));
                while (entries.Count >= MaxOpen)
                    Drop(entries.Last!.Value);
            }
            else
            {
                entries.Remove(entry);
            }

            entries.AddFirst(entry);
            entry.Uses++;
            return entry;
        }
    }

    private void Release(Entry entry)
    {
        lock (gate)
        {
            entry.Uses--;
            if (entry.Image.IsFaulted)
                entries.Remove(entry);   // it could not be opened: try afresh next time
            else if (entry.Dropped && entry.Uses == 0)
                entry.CloseWhenOpen();
        }
    }

    private void Drop(Entry entry)
    {
        entries.Remove(entry);
        entry.Dropped = true;
        if (entry.Uses == 0)
            entry.CloseWhenOpen();
    }

    private sealed class Entry(string files, string versions, Task<SourceImage> image)
    {
        public string Files => files;

        public string Versions => versions;

        public Task<SourceImage> Image => image;

        public int Uses { get; set; }

        public bool Dropped { get; set; }

        // At once where it is open.
        public void CloseWhenOpen() => image.ContinueWith(
            opened => opened.Result.Dispose(),
            CancellationToken.None,
            TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }
}

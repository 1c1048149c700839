using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>The open images of a silo, so that the blocks of a slide share one decoder. The least recently used are closed.</summary>
public sealed class SlideImageCache : IDisposable
{
    private const int MaxOpen = 4;

    private readonly Lock gate = new();
    private readonly LinkedList<Entry> entries = [];

    /// <summary>Runs <paramref name="use"/> on an image, opening it if it is not open.</summary>
    /// <exception cref="ImageException">The image is refused or damaged.</exception>
    public T Use<T>(IReadOnlyList<string> files, Func<IPlaneImage, T> use)
    {
        ArgumentNullException.ThrowIfNull(use);
        var entry = Take(string.Join('\0', files), files);
        try
        {
            return use(entry.Image.Value);
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
            foreach (var entry in entries.Where(entry => entry.Key == key).ToArray())
                Drop(entry);
        }
    }

    /// <summary>Closes all images.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            foreach (var entry in entries.ToArray())
                Drop(entry);
        }
    }

    private Entry Take(string key, IReadOnlyList<string> files)
    {
        lock (gate)
        {
            var entry = entries.FirstOrDefault(entry => entry.Key == key);
            if (entry is null)
            {
                entry = new Entry(key, new Lazy<IPlaneImage>(() => ImageReader.OpenStack(files)));
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
            if (!entry.Image.IsValueCreated)
                entries.Remove(entry);   // it could not be opened: try afresh next time
            else if (entry.Dropped && entry.Uses == 0)
                entry.Image.Value.Dispose();
        }
    }

    private void Drop(Entry entry)
    {
        entries.Remove(entry);
        entry.Dropped = true;
        if (entry.Uses == 0 && entry.Image.IsValueCreated)
            entry.Image.Value.Dispose();
    }

    private sealed class Entry(string key, Lazy<IPlaneImage> image)
    {
        public string Key => key;

        public Lazy<IPlaneImage> Image => image;

        public int Uses { get; set; }

        public bool Dropped { get; set; }
    }
}

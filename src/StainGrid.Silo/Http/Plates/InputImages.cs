using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>The fields' inputs that callers look at: a few stay open, and a few at a time are opened.</summary>
internal sealed class InputImages(BlobFiles blobs) : IDisposable
{
    private const int MostOpen = 6, MostWaiting = 64;
    private static readonly ImageLimits s_limits = new() { MaxPixels = 100_000_000, CacheBytes = 32L << 20 };

    private readonly SemaphoreSlim opening = new(2);
    private readonly Lock gate = new();
    private readonly LinkedList<Entry> entries = [];
    private int waiting;

    /// <summary>A file of a field's input, or null where there is none of this name.</summary>
    /// <param name="name">The field's name among all.</param>
    /// <param name="input">What it is stained from.</param>
    /// <param name="path">The file's place in the OME-Zarr image.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="StainGridException">The input cannot be shown, or too much is asked for.</exception>
    public async Task<byte[]?> ReadAsync(string name, FieldInput input, string path, CancellationToken cancellationToken)
    {
        var entry = Take(name, input);
        try
        {
            var opened = await entry.Image.Value.WaitAsync(cancellationToken);
            return await Task.Run(() => opened.Zarr.Read(path), cancellationToken);
        }
        catch (Exception e) when (e is ImageException or BlobStoreException)
        {
            lock (gate)
                entries.Remove(entry);
            throw new StainGridException(StainGridError.NotFound, "The input of this field cannot be shown: it is damaged, too large, not there any more, or of a kind that is not read.", e);
        }
        finally
        {
            Leave(entry);
        }
    }

    public void Dispose()
    {
        lock (gate)
        {
            foreach (var entry in entries.Where(entry => entry.Users == 0))
                entry.Close();
            entries.Clear();
        }

        opening.Dispose();
    }

    // Counted as long as it is read, so that nobody closes it meanwhile.
    private Entry Take(string name, FieldInput input)
    {
        lock (gate)
        {
            var entry = entries.FirstOrDefault(entry => entry.Name == name);
            if (entry is null)
                entry = new Entry(name, new Lazy<Task<Opened>>(() => Task.Run(() => OpenAsync(input))));
            else
                entries.Remove(entry);
            entries.AddFirst(entry);
            entry.Users++;
            return entry;
        }
    }

    private void Leave(Entry left)
    {
        lock (gate)
        {
            left.Users--;
            if (left.Users == 0 && !entries.Contains(left))
                left.Close();
            for (var node = entries.Last; entries.Count > MostOpen && node is not null;)
            {
                var (entry, before) = (node.Value, node.Previous);
                if (entry.Users == 0)
                {
                    entries.Remove(node);
                    entry.Close();
                }

                node = before;
            }
        }
    }

    private async Task<Opened> OpenAsync(FieldInput input)
    {
        if (Interlocked.Increment(ref waiting) > MostWaiting)
        {
            Interlocked.Decrement(ref waiting);
            throw new ImageException("Too many inputs are asked for at once.");
        }

        try
        {
            await opening.WaitAsync();
            try
            {
                var image = await ImageReader.OpenStackAsync(input.Files, blobs, limits: s_limits);
                try
                {
                    return new Opened(image, new PlaneZarr(image, input.Plane ?? image.Info.Planes / 2, "input"));
                }
                catch
                {
                    image.Dispose();
                    throw;
                }
            }
            finally
            {
                opening.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref waiting);
        }
    }

    private sealed record Opened(SourceImage Image, PlaneZarr Zarr);

    private sealed class Entry(string name, Lazy<Task<Opened>> image)
    {
        public string Name => name;

        public Lazy<Task<Opened>> Image => image;

        public int Users { get; set; }

        public void Close()
        {
            if (image.IsValueCreated)
                image.Value.ContinueWith(done => done.Result.Image.Dispose(), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        }
    }
}

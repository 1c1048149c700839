namespace StainGrid.Imaging.Reading;

/// <summary>Decoded pieces (strips, tiles, whole PNG planes) of one image or of the files of one stack, the least recently
/// used of which go first. A piece that several threads want at once is decoded once.</summary>
internal sealed class DecodedCache(long capacity)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(object Owner, long Piece), LinkedListNode<Entry>> _entries = [];
    private readonly LinkedList<Entry> _recent = [];
    private long _held;

    /// <summary>The bytes held now.</summary>
    public long Held
    {
        get
        {
            lock (_lock)
                return _held;
        }
    }

    /// <summary>A piece's samples.</summary>
    /// <param name="owner">The image that the piece is of.</param>
    /// <param name="piece">The piece's number in that image.</param>
    /// <param name="decode">Makes the samples where they are not held.</param>
    public byte[] GetOrDecode(object owner, long piece, Func<long, byte[]> decode)
    {
        var key = (owner, piece);
        LinkedListNode<Entry>? node;
        lock (_lock)
        {
            if (_entries.TryGetValue(key, out node))
            {
                _recent.Remove(node);
            }
            else
            {
                node = new LinkedListNode<Entry>(new Entry(key, new Lazy<byte[]>(() => decode(piece))));
                _entries.Add(key, node);
            }

            _recent.AddFirst(node);
        }

        byte[] samples;
        try
        {
            samples = node.Value.Samples.Value;
        }
        catch
        {
            lock (_lock)
                Remove(node);
            throw;
        }

        lock (_lock)
        {
            if (node.List is not null && node.Value.Bytes == 0)
            {
                node.Value.Bytes = samples.Length;
                _held += node.Value.Bytes;
            }

            // The piece just used stays even where it alone is over the capacity; those still being decoded count 0.
            for (var last = _recent.Last; _held > capacity && last is not null && last != _recent.First;)
            {
                var previous = last.Previous;
                if (last.Value.Bytes > 0 && last != node)
                    Remove(last);
                last = previous;
            }
        }

        return samples;
    }

    public void Clear()
    {
        lock (_lock)
        {
            _entries.Clear();
            _recent.Clear();
            _held = 0;
        }
    }

    private void Remove(LinkedListNode<Entry> node)
    {
        if (node.List is null)
            return;
        _recent.Remove(node);
        _entries.Remove(node.Value.Key);
        _held -= node.Value.Bytes;
    }

    private sealed class Entry((object Owner, long Piece) key, Lazy<byte[]> samples)
    {
        public (object Owner, long Piece) Key { get; } = key;

        public Lazy<byte[]> Samples { get; } = samples;

        public long Bytes { get; set; }
    }
}

using StainGrid.Contracts;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>What of a slide is durable, what its stitchers hold, and so what has to be computed still.</summary>
public sealed class SlideTracker
{
    private readonly TilingPlan plan;
    private readonly int bands;
    private readonly int columns;
    private readonly bool[] committed;
    private readonly int[] openChunks;
    private readonly Dictionary<int, Guid> incarnations = [];
    private readonly Dictionary<int, IReadOnlyDictionary<int, Guid>> deliveries = [];

    /// <summary>Tracks a slide of which nothing is durable yet.</summary>
    public SlideTracker(SlideJob job)
    {
        ArgumentNullException.ThrowIfNull(job);
        plan = job.Plan();
        bands = job.Bands;
        columns = job.ChunkColumns;
        committed = new bool[bands * columns];
        openChunks = [.. Enumerable.Repeat(columns, bands)];
        OpenChunks = bands * columns;
    }

    /// <summary>Chunks that are not durable.</summary>
    public int OpenChunks { get; private set; }

    /// <summary>The checks of the durable chunks, added up in the order of the chunks' arrival.</summary>
    public StitchCheck Check { get; private set; }

    /// <summary>Bands with a chunk that is not durable.</summary>
    public IEnumerable<int> OpenBands => Enumerable.Range(0, bands).Where(band => openChunks[band] > 0);

    /// <summary>A chunk is durable. The same again changes nothing.</summary>
    public void Committed(CommittedChunk chunk)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        ref bool known = ref committed[chunk.Row * columns + chunk.Column];
        if (known)
            return;
        known = true;
        openChunks[chunk.Row]--;
        OpenChunks--;
        Check += chunk.Check;
    }

    /// <summary>A block's map is with its stitchers.</summary>
    /// <param name="block">The block.</param>
    /// <param name="receipts">For each of its bands the incarnation that holds it.</param>
    public void Delivered(int block, IReadOnlyDictionary<int, Guid> receipts) => deliveries[block] = receipts;

    /// <summary>A band's stitcher is of this incarnation: what was delivered to others is lost.</summary>
    public void Incarnation(int band, Guid incarnation) => incarnations[band] = incarnation;

    /// <summary>The blocks that lie over a chunk that is not durable, and are not held whole by the stitchers.</summary>
    public List<int> Missing()
    {
        var missing = new List<int>();
        for (int block = 0; block < plan.BlockCount; block++)
        {
            if (IsMissing(block))
                missing.Add(block);
        }

        return missing;
    }

    private bool IsMissing(int block)
    {
        var extent = plan.Block(block).Extent;
        deliveries.TryGetValue(block, out var receipts);
        for (int band = extent.Y / SlideJob.ChunkSize; band * SlideJob.ChunkSize < extent.Bottom; band++)
        {
            if (openChunks[band] == 0 || !IsOpen(band, extent))
                continue;
            if (receipts is null || !receipts.TryGetValue(band, out var holder))
                return true;
            if (incarnations.TryGetValue(band, out var current) && current != holder)
                return true;
        }

        return false;
    }

    private bool IsOpen(int band, Region extent)
    {
        for (int column = extent.X / SlideJob.ChunkSize; column * SlideJob.ChunkSize < extent.Right; column++)
        {
            if (!committed[band * columns + column])
                return true;
        }

        return false;
    }
}

namespace StainGrid.Grains;

/// <summary>Adds up the tiles of a block and reports them a few times a second, however fast the device is: each report is a message
/// to the slide, which wakes all who watch it. For one thread at a time.</summary>
/// <param name="report">Told the tiles since the last report.</param>
/// <param name="time">The clock.</param>
public sealed class TileProgress(Action<int> report, TimeProvider time)
{
    /// <summary>The least time between two reports.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);

    private long reported = time.GetTimestamp();
    private int tiles;

    /// <summary>More tiles are done.</summary>
    /// <param name="count">How many.</param>
    public void Add(int count)
    {
        tiles += count;
        if (time.GetElapsedTime(reported) >= Interval)
            Flush();
    }

    /// <summary>Reports what was not reported yet.</summary>
    public void Flush()
    {
        if (tiles > 0)
            report(tiles);
        (tiles, reported) = (0, time.GetTimestamp());
    }
}

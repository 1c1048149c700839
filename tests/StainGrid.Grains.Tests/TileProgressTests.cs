namespace StainGrid.Grains.Tests;

public class TileProgressTests
{
    [Fact]
    public void Batches_of_a_fast_device_are_reported_together_and_none_is_lost()
    {
        var clock = new Clock();
        var reports = new List<int>();
        var progress = new TileProgress(reports.Add, clock);
        for (int batch = 0; batch < 16; batch++)
        {
            clock.Advance(TileProgress.Interval / 10);
            progress.Add(4);
        }

        Assert.Equal([40], reports);
        progress.Flush();
        Assert.Equal([40, 24], reports);
        progress.Flush();
        Assert.Equal([40, 24], reports);
    }

    [Fact]
    public void Batches_of_a_slow_device_are_reported_as_they_come()
    {
        var clock = new Clock();
        var reports = new List<int>();
        var progress = new TileProgress(reports.Add, clock);
        foreach (int tiles in (int[])[4, 3])
        {
            clock.Advance(TileProgress.Interval);
            progress.Add(tiles);
        }

        Assert.Equal([4, 3], reports);
    }

    private sealed class Clock : TimeProvider
    {
        private long now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => now;

        public void Advance(TimeSpan time) => now += time.Ticks;
    }
}

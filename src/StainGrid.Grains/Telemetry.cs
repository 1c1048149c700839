using System.Diagnostics.Metrics;

namespace StainGrid.Grains;

/// <summary>What a silo measures of itself, by OpenTelemetry's conventions.</summary>
public static class Telemetry
{
    /// <summary>The name of the meter.</summary>
    public const string MeterName = "StainGrid";

    private static readonly Meter Meter = new(MeterName);
    private static readonly Counter<long> Tiles = Meter.CreateCounter<long>("staingrid.tile.count", "{tile}", "Tiles predicted.");
    private static readonly Histogram<double> BatchDuration =
        Meter.CreateHistogram<double>("staingrid.device.batch.duration", "s", "Time that a device takes for a batch of tiles.");

    internal static void Batch(string device, int tiles, TimeSpan duration)
    {
        var tag = new KeyValuePair<string, object?>("staingrid.device", device);
        Tiles.Add(tiles, tag);
        BatchDuration.Record(duration.TotalSeconds, tag);
    }
}

using System.Diagnostics.Metrics;

namespace StainGrid.Grains;

/// <summary>What is deleted, by kind.</summary>
internal static class RetentionMetrics
{
    private static readonly Counter<long> Count = new Meter(Telemetry.MeterName).CreateCounter<long>(
        "staingrid.retention.deleted", "{item}", "Plates, uploads and days of logs that were deleted, because somebody asked or by age.");

    /// <summary>Counts one.</summary>
    /// <param name="kind">plate, upload or log.</param>
    public static void Deleted(string kind) => Count.Add(1, new KeyValuePair<string, object?>("staingrid.kind", kind));
}

using System.Diagnostics;
using System.Diagnostics.Metrics;
using StainGrid.Contracts;

namespace StainGrid.Grains;

/// <summary>What a silo tells of itself by OpenTelemetry's conventions (docs/telemetry.md): instruments, and the spans of the stages that a
/// field goes through. Without a listener nothing is made.</summary>
public static class Telemetry
{
    /// <summary>The name of the meter and of the activity source.</summary>
    public const string Name = "StainGrid";

    private static readonly ActivitySource Source = new(Name);
    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Tiles = Meter.CreateCounter<long>("staingrid.tile.count", "{tile}", "Tiles predicted.");
    private static readonly Counter<long> Blocks = Meter.CreateCounter<long>("staingrid.block.count", "{block}", "Blocks that a device was leased, by how that ended.");
    private static readonly Counter<long> Retries = Meter.CreateCounter<long>("staingrid.block.retries", "{block}", "Blocks that are leased again, or given up.");
    private static readonly Counter<long> Fields = Meter.CreateCounter<long>("staingrid.field.count", "{field}", "Fields that ended.");
    private static readonly Counter<long> Deletions = Meter.CreateCounter<long>(
        "staingrid.retention.deleted", "{item}", "Plates, uploads and days of logs that were deleted, because somebody asked or by age.");

    private static readonly Counter<double> BusyTime = Meter.CreateCounter<double>("staingrid.device.busy_time", "s", "Time in which the device computed.");

    private static readonly Histogram<double> BlockDuration = Meter.CreateHistogram<double>(
        "staingrid.block.duration", "s", "From the lease of a block to its completion.", advice: new() { HistogramBucketBoundaries = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200] });

    private static readonly Histogram<double> BatchDuration = Meter.CreateHistogram<double>(
        "staingrid.device.batch.duration", "s", "Time that a device takes for a batch of tiles.", advice: new() { HistogramBucketBoundaries = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10] });

    private static readonly Histogram<int> BatchSize = Meter.CreateHistogram<int>(
        "staingrid.device.batch.size", "{tile}", "Tiles in a batch.", advice: new() { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64, 128, 256] });

    /// <summary>A device has computed a batch.</summary>
    /// <param name="device">"cpu" or "cuda:N".</param>
    /// <param name="tiles">How many tiles.</param>
    /// <param name="duration">How long it took on one of the device's threads.</param>
    /// <param name="busy">Its share of the device's time.</param>
    internal static void Batch(string device, int tiles, TimeSpan duration, TimeSpan busy)
    {
        var tag = Device(device);
        Tiles.Add(tiles, tag);
        BatchSize.Record(tiles, tag);
        BatchDuration.Record(duration.TotalSeconds, tag);
        BusyTime.Add(busy.TotalSeconds, tag);
    }

    /// <summary>A lease of a block ended.</summary>
    /// <param name="device">The device.</param>
    /// <param name="outcome">"completed", "returned" or "failed".</param>
    /// <param name="duration">Since the lease came.</param>
    internal static void Block(string device, string outcome, TimeSpan duration)
    {
        Blocks.Add(1, Device(device), new("staingrid.outcome", outcome));
        if (outcome == "completed")
            BlockDuration.Record(duration.TotalSeconds, Device(device));
    }

    /// <summary>A block is leased again, or given up.</summary>
    internal static void Retry(string reason) => Retries.Add(1, new KeyValuePair<string, object?>("error.type", reason));

    /// <summary>Fields ended.</summary>
    /// <param name="state">How.</param>
    /// <param name="error">Of which kind their error is, where they failed.</param>
    /// <param name="count">How many.</param>
    internal static void Field(FieldState state, string? error, int count = 1)
    {
        var tags = new TagList { { "staingrid.outcome", state == FieldState.Complete ? "completed" : state.ToString().ToLowerInvariant() } };
        if (error is not null)
            tags.Add("error.type", error);
        Fields.Add(count, tags);
    }

    /// <summary>Something was deleted.</summary>
    /// <param name="kind">"plate", "upload" or "log".</param>
    internal static void Deleted(string kind) => Deletions.Add(1, new KeyValuePair<string, object?>("staingrid.kind", kind));

    /// <summary>Starts the span of the submission of a plate, in the trace of who asks where there is one.</summary>
    internal static Activity? Submission(string plate) => Source.StartActivity("plate.submit")?.SetTag("staingrid.plate", plate);

    /// <summary>
    /// Starts the trace of a field, one of its own: that of a whole plate would be too large for any viewer. It links to the submission's, and begins with it
    /// where this is the field's first try.
    /// </summary>
    /// <param name="plate">The plate.</param>
    /// <param name="field">The field.</param>
    /// <param name="submission">The span of the submission, as a traceparent.</param>
    /// <param name="received">When the plate came, for the first try of a field; else null.</param>
    /// <param name="submitted">When its submission was durable.</param>
    internal static Activity? FieldTrace(string plate, string field, string? submission, DateTimeOffset? received, DateTimeOffset submitted)
    {
        Activity.Current = null;
        var links = ActivityContext.TryParse(submission, null, isRemote: true, out var link) ? new ActivityLink[] { new(link) } : [];
        var root = Source.StartActivity("field", ActivityKind.Internal, default(ActivityContext), [new("staingrid.plate", plate), new("staingrid.field", field)], links, received ?? default);
        if (root is not null && received is { } came)
        {
            Stage("field.submit", root.Id, came)?.SetEndTime(submitted.UtcDateTime).Dispose();
            Stage("field.wait", root.Id, submitted)?.Dispose();
        }

        return root;
    }

    /// <summary>Starts the span of a stage below another, which may be elsewhere.</summary>
    /// <param name="name">The stage.</param>
    /// <param name="parent">A traceparent; without one there is no span.</param>
    /// <param name="started">When it began; now where left out.</param>
    internal static Activity? Stage(string name, string? parent, DateTimeOffset started = default) =>
        Source.HasListeners() && ActivityContext.TryParse(parent, null, isRemote: true, out var context)
            ? Source.StartActivity(name, ActivityKind.Internal, context, startTime: started) : null;

    /// <summary>Starts the span of a stage below the current one; without one there is none.</summary>
    internal static Activity? Stage(string name) => Activity.Current is null ? null : Source.StartActivity(name);

    private static KeyValuePair<string, object?> Device(string device) => new("staingrid.device", device);
}

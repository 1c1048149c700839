using System.Diagnostics.Metrics;

namespace StainGrid.Grains;

/// <summary>Shows what the dispatcher has, on the silo where it is.</summary>
/// <remarks>OpenTelemetry goes on telling the last value of what is not measured any more until its instrument has gone, and never uses the place of an instrument again: so the
/// instruments go with the dispatcher, those of plates also now and then where plates have ended, which are told as 0 until then.</remarks>
/// <param name="time">The clock.</param>
public sealed class QueueGauges(TimeProvider time) : IDisposable
{
    /// <summary>How long a plate that has ended is told of, at most, while others run or come.</summary>
    public static readonly TimeSpan Renewal = TimeSpan.FromMinutes(10);

    private readonly HashSet<string> told = [];
    private Meter? cluster;
    private Meter? plates;
    private DateTimeOffset renewed;
    private volatile QueueState? state;

    /// <summary>Shows this from now on; nothing where null. For one thread at a time.</summary>
    public void Show(QueueState? state)
    {
        if (state is null)
        {
            this.state = null;
            Dispose();
            return;
        }

        var ended = told.Except(state.Plates.Select(plate => plate.PlateId)).ToList();
        if (ended.Count > 0 && time.GetUtcNow() - renewed >= Renewal)
        {
            plates?.Dispose();
            plates = null;
            told.Clear();
            ended.Clear();
        }

        told.UnionWith(state.Plates.Select(plate => plate.PlateId));
        this.state = state with { Ended = [.. ended.Select(plate => new PlateBlocks(plate, 0, 0, TimeSpan.Zero))] };
        Create();
    }

    /// <summary>Ends the gauges.</summary>
    public void Dispose()
    {
        cluster?.Dispose();
        plates?.Dispose();
        (cluster, plates) = (null, null);
        told.Clear();
    }

    private void Create()
    {
        if (cluster is null)
        {
            cluster = new Meter(Telemetry.Name);
            cluster.CreateObservableGauge("staingrid.device.count", () => One(state => state.Devices), "{device}", "Devices that asked for work lately.");
            cluster.CreateObservableGauge("staingrid.plate.running", () => One(state => state.Plates.Count), "{plate}", "Plates that run.");
            cluster.CreateObservableGauge("staingrid.queue.work", () => One(state => state.Work), "s", "Device seconds of work waiting, fields that have not begun included.");
            cluster.CreateObservableGauge("staingrid.queue.work_per_device", () => One(state => state.Work / Math.Max(1, state.Devices)), "s", "Seconds of work waiting per device.");
        }

        if (plates is null)
        {
            renewed = time.GetUtcNow();
            plates = new Meter(Telemetry.Name);
            plates.CreateObservableGauge("staingrid.queue.oldest_lease", () => Each(plate => [new(plate.OldestLease.TotalSeconds, Plate(plate))]), "s", "Age of a plate's oldest lease.");
            plates.CreateObservableGauge("staingrid.queue.blocks", () => Each(plate =>
                [new(plate.Queued, Plate(plate), new("staingrid.state", "queued")), new Measurement<double>(plate.Leased, Plate(plate), new("staingrid.state", "leased"))]), "{block}", "A plate's blocks.");
        }
    }

    private static KeyValuePair<string, object?> Plate(PlateBlocks plate) => new("staingrid.plate", plate.PlateId);

    private IEnumerable<Measurement<double>> One(Func<QueueState, double> value) => state is { } now ? [new Measurement<double>(value(now))] : [];

    private IEnumerable<Measurement<double>> Each(Func<PlateBlocks, Measurement<double>[]> values) => state is { } now ? now.Plates.Concat(now.Ended).SelectMany(values) : [];
}

/// <summary>What the dispatcher has at a moment.</summary>
/// <param name="Devices">Devices that asked for work lately.</param>
/// <param name="Work">Device seconds of work waiting.</param>
/// <param name="Plates">The plates that run.</param>
public sealed record QueueState(int Devices, double Work, IReadOnlyList<PlateBlocks> Plates)
{
    /// <summary>Those that have ended lately.</summary>
    internal IReadOnlyList<PlateBlocks> Ended { get; init; } = [];
}

/// <summary>What the dispatcher has of a plate.</summary>
/// <param name="PlateId">The plate.</param>
/// <param name="Queued">Blocks that wait.</param>
/// <param name="Leased">Blocks that are computed.</param>
/// <param name="OldestLease">How long the oldest of them has been.</param>
public sealed record PlateBlocks(string PlateId, long Queued, int Leased, TimeSpan OldestLease);

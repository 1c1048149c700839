using System.Diagnostics.Metrics;

namespace StainGrid.Grains;

/// <summary>Shows what the dispatcher has, on the silo where it is.</summary>
public sealed class QueueGauges : IDisposable
{
    private Meter? meter;
    private volatile QueueState? state;

    /// <summary>Shows this from now on; nothing where null. For one thread at a time.</summary>
    public void Show(QueueState? state)
    {
        var before = this.state;
        this.state = state;

        // OpenTelemetry goes on telling the last value of what is not measured any more, until its instrument has gone.
        if (before?.Plates.Any(plate => state?.Plates.Any(now => now.PlateId == plate.PlateId) != true) == true || state is null)
            Dispose();
        if (state is not null && meter is null)
            Create();
    }

    /// <summary>Ends the gauges.</summary>
    public void Dispose()
    {
        meter?.Dispose();
        meter = null;
    }

    private void Create()
    {
        meter = new Meter(Telemetry.Name);
        meter.CreateObservableGauge("staingrid.device.count", () => One(state => state.Devices), "{device}", "Devices that asked for work lately.");
        meter.CreateObservableGauge("staingrid.plate.running", () => One(state => state.Plates.Count), "{plate}", "Plates that run.");
        meter.CreateObservableGauge("staingrid.queue.work", () => One(state => state.Work), "s", "Device seconds of work waiting, fields that have not begun included.");
        meter.CreateObservableGauge("staingrid.queue.work_per_device", () => One(state => state.Work / Math.Max(1, state.Devices)), "s", "Seconds of work waiting per device.");
        meter.CreateObservableGauge("staingrid.queue.oldest_lease", () => Each(plate => [new(plate.OldestLease.TotalSeconds, Plate(plate))]), "s", "Age of a plate's oldest lease.");
        meter.CreateObservableGauge("staingrid.queue.blocks", () => Each(plate =>
            [new(plate.Queued, Plate(plate), new("staingrid.state", "queued")), new Measurement<double>(plate.Leased, Plate(plate), new("staingrid.state", "leased"))]), "{block}", "A plate's blocks.");
    }

    private static KeyValuePair<string, object?> Plate(PlateBlocks plate) => new("staingrid.plate", plate.PlateId);

    private IEnumerable<Measurement<double>> One(Func<QueueState, double> value) => state is { } now ? [new Measurement<double>(value(now))] : [];

    private IEnumerable<Measurement<double>> Each(Func<PlateBlocks, Measurement<double>[]> values) => state is { } now ? now.Plates.SelectMany(values) : [];
}

/// <summary>What the dispatcher has at a moment.</summary>
/// <param name="Devices">Devices that asked for work lately.</param>
/// <param name="Work">Device seconds of work waiting.</param>
/// <param name="Plates">The plates that run.</param>
public sealed record QueueState(int Devices, double Work, IReadOnlyList<PlateBlocks> Plates);

/// <summary>What the dispatcher has of a plate.</summary>
/// <param name="PlateId">The plate.</param>
/// <param name="Queued">Blocks that wait.</param>
/// <param name="Leased">Blocks that are computed.</param>
/// <param name="OldestLease">How long the oldest of them has been.</param>
public sealed record PlateBlocks(string PlateId, long Queued, int Leased, TimeSpan OldestLease);

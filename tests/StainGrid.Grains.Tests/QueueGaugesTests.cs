using System.Diagnostics.Metrics;

namespace StainGrid.Grains.Tests;

public sealed class QueueGaugesTests : IDisposable
{
    private readonly Clock clock = new();
    private readonly QueueGauges gauges;
    private readonly MeterListener listener = new();
    private readonly Dictionary<(string Instrument, string Plate), double> seen = [];
    private int instruments;

    public QueueGaugesTests()
    {
        gauges = new QueueGauges(clock);
        listener.InstrumentPublished = (instrument, _) =>
        {
            // Other tests' silos publish the same ones: these are of this thread's calls.
            if (instrument.Meter.Name != Telemetry.Name || !instrument.IsObservable || Publishing.Value != this)
                return;
            instruments++;
            listener.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) =>
        {
            string plate = "";
            foreach (var (key, text) in tags)
                plate = key == "staingrid.plate" ? (string)text! : plate;
            seen[(instrument.Name, plate)] = value;
        });
        listener.Start();
    }

    private static AsyncLocal<QueueGaugesTests?> Publishing { get; } = new();

    public void Dispose()
    {
        listener.Dispose();
        gauges.Dispose();
    }

    [Fact]
    public void What_the_dispatcher_has_is_told_and_nothing_once_it_has_gone()
    {
        Show(2, 120, ("a", 3), ("b", 4));
        Assert.Equal((2, 120, 60, 2), (seen[("staingrid.device.count", "")], seen[("staingrid.queue.work", "")], seen[("staingrid.queue.work_per_device", "")], seen[("staingrid.plate.running", "")]));
        Assert.Equal((3, 4), (seen[("staingrid.queue.oldest_lease", "a")], seen[("staingrid.queue.oldest_lease", "b")]));
        gauges.Show(null);
        Record();
        Assert.Empty(seen);
        Show(0, 10);
        Assert.Equal(10, seen[("staingrid.queue.work_per_device", "")]);   // by one where there is none
    }

    [Fact]
    public void A_plate_that_has_ended_is_0_until_its_instrument_is_renewed_and_gone_then()
    {
        Show(1, 0, ("a", 3), ("b", 4));
        Show(1, 0, ("b", 5));
        Assert.Equal((0, 5), (seen[("staingrid.queue.oldest_lease", "a")], seen[("staingrid.queue.oldest_lease", "b")]));
        clock.Now += QueueGauges.Renewal;
        Show(1, 0, ("b", 6));
        Assert.False(seen.ContainsKey(("staingrid.queue.oldest_lease", "a")));
        Assert.Equal(6, seen[("staingrid.queue.oldest_lease", "b")]);
        Assert.Equal(6 + 2, instruments);
    }

    [Fact]
    public void A_thousand_plates_in_an_hour_make_few_instruments()
    {
        for (int i = 0; i < 1000; i++, clock.Now += TimeSpan.FromSeconds(3.6))
            Show(1, i, ($"plate-{i}", 1));
        Assert.InRange(instruments, 6, 6 + (2 * 6));
        Assert.Equal(999, seen[("staingrid.queue.work", "")]);
    }

    private void Show(int devices, double work, params (string Plate, double Oldest)[] plates)
    {
        Publishing.Value = this;
        gauges.Show(new QueueState(devices, work, [.. plates.Select(plate => new PlateBlocks(plate.Plate, 1, 1, TimeSpan.FromSeconds(plate.Oldest)))]));
        Publishing.Value = null;
        Record();
    }

    private void Record()
    {
        seen.Clear();
        listener.RecordObservableInstruments();
    }

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

        public override DateTimeOffset GetUtcNow() => Now;
    }
}

using System.Collections;
using System.Globalization;
using StainGrid.Grains;

namespace StainGrid.Bench;

/// <summary>A plate's way through the simulation.</summary>
/// <param name="Submitted">When it came.</param>
/// <param name="Finished">When its last block was computed.</param>
/// <param name="Fields">Its fields.</param>
internal readonly record struct PlateOutcome(TimeSpan Submitted, TimeSpan Finished, int Fields);

/// <summary>What was seen when the metrics were read.</summary>
/// <param name="At">When.</param>
/// <param name="Gpus">GPUs that are held, the starting ones included.</param>
/// <param name="Work">Device seconds that are left.</param>
internal readonly record struct Sample(TimeSpan At, int Gpus, double Work);

/// <summary>What a policy did.</summary>
internal sealed record SimulationResult
{
    /// <summary>The plates, in the order they came.</summary>
    public required IReadOnlyList<PlateOutcome> Plates { get; init; }

    /// <summary>Time for which GPUs were held: from the wish for a silo (the node is paid from its start) to its end.</summary>
    public required TimeSpan Held { get; init; }

    /// <summary>Time in which they computed.</summary>
    public required TimeSpan Busy { get; init; }

    /// <summary>Silos that were started.</summary>
    public required int ColdStarts { get; init; }

    /// <summary>The most GPUs at once that were wanted; those that drain come on top for as long as a block takes.</summary>
    public required int Peak { get; init; }

    /// <summary>Blocks that were computed.</summary>
    public required long Blocks { get; init; }

    /// <summary>From a silo's wish to its first block, the shortest; longest where there was none.</summary>
    public required TimeSpan ShortestStart { get; init; }

    /// <summary>What was seen over time; empty unless asked for.</summary>
    public required IReadOnlyList<Sample> Samples { get; init; }
}

/// <summary>
/// Plates, the dispatcher and GPU silos of one device in simulated time. The dispatcher is the real <see cref="BlockScheduler"/>, devices lease
/// like TileGrain (three at a time) and drain like it (what is not begun goes back, what is begun ends), and a plate keeps PlateGrain's window of
/// fields. Silos that are told to go: first those that start, then the youngest.
/// </summary>
internal sealed class ClusterSimulation
{
    private const int Leases = 3;

    private readonly BlockScheduler scheduler = new();
    private readonly PriorityQueue<(Event Kind, object? Of), (long At, long Order)> events = new();
    private readonly Dictionary<string, Plate> fields = [];
    private readonly List<Plate> plates = [];
    private readonly List<Gpu> gpus = [];   // in the order of their start; draining ones are not here
    private readonly List<Sample> samples = [];
    private readonly IReadOnlyList<PlateArrival> arrivals;
    private readonly TimeSpan[] blockTimes;
    private readonly TimeSpan fieldTime;
    private readonly TimeSpan length;
    private readonly TimeSpan coldStart;
    private readonly ScalerOptions options;
    private readonly Scaler scaler;
    private readonly bool watched;
    private Signals signals = new(0, 0, [], 0);
    private TimeSpan now;
    private TimeSpan work;
    private TimeSpan held;
    private TimeSpan busy;
    private TimeSpan shortestStart = TimeSpan.MaxValue;
    private int unfinished;
    private int ready;
    private int coldStarts;
    private int peak;
    private long order;
    private long blocks;

    private ClusterSimulation(IReadOnlyList<PlateArrival> arrivals, TimeSpan[] blockTimes, TimeSpan length, ScalingPolicy policy, ScalerOptions options, TimeSpan coldStart, bool watched)
    {
        (this.arrivals, this.blockTimes, this.length, this.options, this.coldStart, this.watched) = (arrivals, blockTimes, length, options, coldStart, watched);
        fieldTime = blockTimes.Aggregate(TimeSpan.Zero, (sum, time) => sum + time);
        scaler = new Scaler(policy, options);
    }

    private enum Event
    {
        Arrive,
        Scrape,
        Poll,
        Sync,
        Ready,
        Computed,
    }

    /// <summary>Runs until all plates are done, and at least for a time.</summary>
    /// <param name="arrivals">The plates.</param>
    /// <param name="blockTimes">A device's time for each block of a field.</param>
    /// <param name="length">At least so long: silos are paid for without work too.</param>
    /// <param name="policy">The policy.</param>
    /// <param name="options">The scaler's settings; the defaults where null.</param>
    /// <param name="coldStart">From the wish for a silo to its first lease; 3 minutes where null.</param>
    /// <param name="watched">Whether to keep what is seen over time.</param>
    public static SimulationResult Run(IReadOnlyList<PlateArrival> arrivals, TimeSpan[] blockTimes, TimeSpan length, ScalingPolicy policy, ScalerOptions? options = null,
        TimeSpan? coldStart = null, bool watched = false) =>
        new ClusterSimulation(arrivals, blockTimes, length, policy, options ?? new ScalerOptions(), coldStart ?? TimeSpan.FromMinutes(3), watched).Run();

    private SimulationResult Run()
    {
        unfinished = arrivals.Count;
        for (int plate = 0; plate < arrivals.Count; plate++)
        {
            plates.Add(new Plate(plate.ToString(CultureInfo.InvariantCulture), arrivals[plate], blockTimes.Length));
            At(arrivals[plate].At, Event.Arrive, plates[plate]);
        }

        At(TimeSpan.Zero, Event.Scrape);
        At(options.Sync / 3, Event.Sync);
        At(options.Poll / 3, Event.Poll);
        for (int i = 0; i < scaler.Replicas; i++)   // those that are always there have started before
            Start(coldStart: TimeSpan.Zero);
        while ((unfinished > 0 || now < length) && events.TryDequeue(out var next, out var when))
        {
            now = unfinished == 0 && when.At > length.Ticks ? length : TimeSpan.FromTicks(when.At);
            switch (next.Kind)
            {
                case Event.Arrive:
                    work += fieldTime * ((Plate)next.Of!).Fields;
                    FillWindow((Plate)next.Of!);
                    Wake();
                    break;
                case Event.Scrape:
                    Scrape();
                    At(now + options.Scrape, Event.Scrape);
                    break;
                case Event.Poll:
                    scaler.Poll(now, signals);
                    Scale();
                    At(now + options.Poll, Event.Poll);
                    break;
                case Event.Sync:
                    scaler.Sync(now, signals);
                    Scale();
                    At(now + options.Sync, Event.Sync);
                    break;
                case Event.Ready:
                    BecomeReady((Gpu)next.Of!);
                    break;
                case Event.Computed:
                    Computed((Gpu)next.Of!);
                    break;
            }
        }

        foreach (var gpu in gpus)
            held += now - gpu.Wished;
        return new SimulationResult
        {
            Plates = [.. plates.Select(plate => new PlateOutcome(plate.Submitted, plate.Finished, plate.Fields))],
            Held = held,
            Busy = busy,
            ColdStarts = coldStarts,
            Peak = peak,
            Blocks = blocks,
            ShortestStart = shortestStart,
            Samples = samples,
        };
    }

    private DateTimeOffset Clock => DateTimeOffset.UnixEpoch + now;

    private void At(TimeSpan time, Event kind, object? of = null) => events.Enqueue((kind, of), (time.Ticks, ++order));

    private void Scrape()
    {
        foreach (var failure in scheduler.Expire(Clock))
            throw new InvalidOperationException($"A lease of {failure.SlideId} expired, though every device works: {failure.Reason}");
        var shares = new List<double>();
        int unmeasured = 0;
        foreach (var gpu in gpus)
        {
            var computed = gpu.Busy + (gpu.Computing is null ? TimeSpan.Zero : now - gpu.Since);
            if (gpu.Measured is { } before)
                shares.Add((computed - before) / options.Scrape);
            else
                unmeasured++;
            gpu.Measured = gpu.IsReady ? computed : null;
        }

        signals = new Signals(work.TotalSeconds, scheduler.QueuedBlocks + scheduler.LeasedBlocks, shares, unmeasured);
        if (watched)
            samples.Add(new Sample(now, gpus.Count, work.TotalSeconds));
    }

    private void Scale()
    {
        while (gpus.Count < scaler.Replicas)
        {
            coldStarts++;
            Start(coldStart);
        }

        while (gpus.Count > scaler.Replicas)
        {
            var last = gpus.FindLast(gpu => !gpu.IsReady) ?? gpus[^1];
            gpus.Remove(last);
            Drain(last);
        }
    }

    private void Start(TimeSpan coldStart)
    {
        var gpu = new Gpu($"gpu-{++order}", now);
        gpus.Add(gpu);
        peak = Math.Max(peak, gpus.Count);
        At(now + coldStart, Event.Ready, gpu);
    }

    private void BecomeReady(Gpu gpu)
    {
        if (gpu.IsDraining)
            return;
        gpu.IsReady = true;
        ready++;
        foreach (var plate in plates.Where(plate => plate.Submitted <= now && plate.Ended < plate.Fields))
            FillWindow(plate);
        Lease(gpu);
    }

    private void Drain(Gpu gpu)
    {
        gpu.IsDraining = true;
        if (gpu.IsReady)
            ready--;
        while (gpu.Held.TryDequeue(out var lease))
            scheduler.Return(lease.Lease, null, Clock);
        if (gpu.Computing is null)
            held += now - gpu.Wished;
        Wake();
    }

    private void Wake()
    {
        foreach (var gpu in gpus)
        {
            if (gpu.IsReady && gpu.Computing is null)
                Lease(gpu);
        }
    }

    private void Lease(Gpu gpu)
    {
        int count = Leases - gpu.Held.Count - (gpu.Computing is null ? 0 : 1);
        foreach (var lease in scheduler.Lease(gpu.Name, gpu.Name, count, Clock))
            gpu.Held.Enqueue(lease);
        Compute(gpu);
    }

    private void Compute(Gpu gpu)
    {
        if (gpu.Computing is not null || !gpu.Held.TryDequeue(out var lease))
            return;
        if (gpu.Busy == TimeSpan.Zero && gpu.Wished > TimeSpan.Zero && now - gpu.Wished < shortestStart)
            shortestStart = now - gpu.Wished;
        (gpu.Computing, gpu.Since) = (lease, now);
        At(now + blockTimes[lease.Block], Event.Computed, gpu);
    }

    private void Computed(Gpu gpu)
    {
        var lease = gpu.Computing!.Value;
        var time = blockTimes[lease.Block];
        gpu.Computing = null;
        gpu.Busy += time;
        busy += time;
        work -= time;
        blocks++;
        if (!scheduler.Complete(lease.Lease))
            throw new InvalidOperationException($"Block {lease.Block} of {lease.SlideId} was computed without a lease.");
        var plate = fields[lease.SlideId];
        if (!plate.Mark(lease.SlideId, lease.Block))
            throw new InvalidOperationException($"Block {lease.Block} of {lease.SlideId} was computed twice.");
        if (scheduler.Pending(lease.SlideId, 1) == 0)
            EndField(plate, lease.SlideId);
        if (!gpu.IsDraining)
            Lease(gpu);
        else
            held += now - gpu.Wished;
    }

    private void EndField(Plate plate, string field)
    {
        plate.End(field);
        scheduler.Remove(field);
        fields.Remove(field);
        if (plate.Ended == plate.Fields)
        {
            plate.Finished = now;
            unfinished--;
        }
        else if (FillWindow(plate))
        {
            Wake();
        }
    }

    // PlateGrain's window: four fields a device, at least four, at most 256.
    private bool FillWindow(Plate plate)
    {
        int window = Math.Clamp(4 * ready, 4, 256);
        bool any = false;
        while (plate.Begun < plate.Fields && plate.Begun - plate.Ended < window)
        {
            string field = plate.Begin();
            fields.Add(field, plate);
            scheduler.Enqueue(field, plate.Id, 1, 1, Enumerable.Range(0, blockTimes.Length));
            any = true;
        }

        return any;
    }

    private sealed class Gpu(string name, TimeSpan wished)
    {
        public string Name => name;

        public TimeSpan Wished => wished;

        public Queue<ScheduledBlock> Held { get; } = [];

        public ScheduledBlock? Computing { get; set; }

        public TimeSpan Since { get; set; }

        public TimeSpan Busy { get; set; }

        public TimeSpan? Measured { get; set; }

        public bool IsReady { get; set; }

        public bool IsDraining { get; set; }
    }

    private sealed class Plate(string id, PlateArrival arrival, int blocksOfField)
    {
        private readonly Dictionary<string, BitArray> running = [];

        public string Id => id;

        public TimeSpan Submitted => arrival.At;

        public int Fields => arrival.Fields;

        public TimeSpan Finished { get; set; }

        public int Begun { get; private set; }

        public int Ended { get; private set; }

        public string Begin()
        {
            string field = $"{id}/{Begun++}";
            running.Add(field, new BitArray(blocksOfField));
            return field;
        }

        public bool Mark(string field, int block)
        {
            var done = running[field];
            bool first = !done[block];
            done[block] = true;
            return first;
        }

        public void End(string field)
        {
            if (!running.Remove(field, out var done) || !done.HasAllSet())
                throw new InvalidOperationException($"{field} ended before all its blocks were computed.");
            Ended++;
        }
    }
}

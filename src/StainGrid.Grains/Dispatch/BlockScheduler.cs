namespace StainGrid.Grains;

/// <summary>
/// Which device computes which block next. Plates share the devices by their weights (start-time fair queueing: the plate whose
/// virtual time is least is served, and its time rises by 1/weight a block); within a plate slides are served first come, first
/// served. A block that failed, or was lost with its silo, is tried again after a back-off, alone on a silo, so that it is blamed
/// only for what it does by itself; at the third failure alone it is quarantined. Not safe for concurrent use.
/// </summary>
/// <param name="leaseTime">How long a lease lasts unless it is renewed; 60 s where null.</param>
public sealed class BlockScheduler(TimeSpan? leaseTime = null)
{
    /// <summary>At so many failures alone a block is quarantined.</summary>
    public const int LoneAttempts = 3;

    private static readonly TimeSpan FirstBackOff = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan LongestBackOff = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Presence = TimeSpan.FromSeconds(15);

    private readonly TimeSpan leaseTime = leaseTime ?? TimeSpan.FromSeconds(60);
    private readonly Dictionary<string, QueuedPlate> plates = [];
    private readonly Dictionary<string, QueuedSlide> slides = [];
    private readonly PriorityQueue<QueuedPlate, (double VirtualTime, long Order)> ready = new();
    private readonly List<Suspect> suspects = [];
    private readonly Dictionary<long, ActiveLease> leases = [];
    private readonly Dictionary<string, Silo> silos = [];
    private readonly Dictionary<string, DateTimeOffset> devices = [];
    private double virtualTime;
    private long lastLease;
    private long order;

    private enum BlockState : byte
    {
        None,
        Queued,
        Suspect,
        Leased,
        Quarantined,
    }

    /// <summary>Blocks that wait for a device.</summary>
    public long QueuedBlocks { get; private set; }

    /// <summary>Blocks that are computed.</summary>
    public long LeasedBlocks => leases.Count;

    /// <summary>Devices that asked for blocks lately.</summary>
    public int Devices(DateTimeOffset now) => devices.Values.Count(asked => now - asked < Presence);

    /// <summary>Silos that hold leases.</summary>
    public IReadOnlyList<string> SilosWithLeases() => [.. silos.Where(silo => silo.Value.Leases > 0).Select(silo => silo.Key)];

    /// <summary>Blocks of a slide that wait or are computed; 0 where its epoch is another.</summary>
    public int Pending(string slideId, long epoch) =>
        slides.TryGetValue(slideId, out var slide) && slide.Epoch == epoch ? slide.Pending : 0;

    /// <summary>What there is of each plate.</summary>
    public IReadOnlyList<PlateBlocks> Plates(DateTimeOffset now)
    {
        var leased = leases.Values.GroupBy(lease => lease.Slide.Plate.Id).ToDictionary(plate => plate.Key, plate => (Count: plate.Count(), Oldest: plate.Min(lease => lease.Granted)));
        return [.. slides.Values.GroupBy(slide => slide.Plate.Id).Select(plate =>
        {
            var (count, oldest) = leased.GetValueOrDefault(plate.Key, (0, now));
            return new PlateBlocks(plate.Key, plate.Sum(slide => slide.Pending) - count, count, now - oldest);
        })];
    }

    /// <summary>Queues blocks of a slide; those that are queued, leased or quarantined already stay so. A higher epoch replaces the
    /// slide and ends its leases.</summary>
    /// <returns>False where the slide has a higher epoch already: nothing was queued.</returns>
    public bool Enqueue(string slideId, string plateId, int weight, long epoch, IEnumerable<int> blocks)
    {
        ArgumentNullException.ThrowIfNull(blocks);
        ArgumentOutOfRangeException.ThrowIfLessThan(weight, 1);
        if (slides.TryGetValue(slideId, out var slide) && slide.Epoch != epoch)
        {
            if (slide.Epoch > epoch)
                return false;
            Remove(slideId);
            slide = null;
        }

        if (slide is null)
        {
            if (!plates.TryGetValue(plateId, out var plate))
                plates[plateId] = plate = new QueuedPlate(plateId);
            plate.Weight = weight;
            plate.SlideCount++;
            slides[slideId] = slide = new QueuedSlide(slideId, plate, epoch);
        }

        foreach (int block in blocks)
        {
            ref var state = ref slide.State(block);
            if (state == BlockState.None)
                Queue(slide, block, ref state, first: false);
        }

        return true;
    }

    /// <summary>Takes a slide out; its leases end.</summary>
    public void Remove(string slideId)
    {
        if (!slides.Remove(slideId, out var slide))
            return;
        foreach (var lease in leases.Values.Where(lease => lease.Slide == slide).ToArray())
            End(lease);
        QueuedBlocks -= slide.Pending;
        foreach (var suspect in suspects.Where(suspect => suspect.Slide == slide))
            Unassign(suspect);
        suspects.RemoveAll(suspect => suspect.Slide == slide);
        if (slide.Place is not null)
            slide.Plate.Slides.Remove(slide.Place);
        slide.Plate.SlideCount--;
        Forget(slide.Plate);
    }

    /// <summary>Leases blocks to a device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="silo">Its silo.</param>
    /// <param name="count">At most so many.</param>
    /// <param name="now">The time.</param>
    public IReadOnlyList<ScheduledBlock> Lease(string device, string silo, int count, DateTimeOffset now)
    {
        devices[device] = now;
        if (!silos.TryGetValue(silo, out var home))
            silos[silo] = home = new Silo();
        home.Asked = now;
        if (count < 1 || home.RunsAlone)
            return [];
        var suspect = home.DrainedFor ?? suspects.Find(suspect => suspect.NotBefore <= now && suspect.Drained is null);
        if (suspect is not null && (home.Leases == 0 || suspect.Drained is not null || MayDrain(home, now)))
        {
            if (home.Leases > 0)
            {
                (suspect.Drained, home.DrainedFor) = (home, suspect);
                return [];
            }

            suspects.Remove(suspect);
            Unassign(suspect);
            home.RunsAlone = true;
            return [Grant(suspect.Slide, suspect.Block, device, silo, home, alone: true, now)];
        }

        var granted = new List<ScheduledBlock>();
        while (granted.Count < count && ready.TryDequeue(out var plate, out _))
        {
            plate.IsReady = false;
            if (plate.Slides.First is not { } place)
            {
                Forget(plate);
                continue;
            }

            virtualTime = Math.Max(virtualTime, plate.VirtualTime);
            plate.VirtualTime += 1.0 / plate.Weight;
            var slide = place.Value;
            int block = slide.Next();
            if (slide.IsEmpty)
            {
                plate.Slides.Remove(place);
                slide.Place = null;
            }

            Ready(plate);
            granted.Add(Grant(slide, block, device, silo, home, alone: false, now));
        }

        return granted;
    }

    /// <summary>Prolongs a device's leases.</summary>
    /// <returns>Those that are not valid any more.</returns>
    public IReadOnlyList<long> Renew(string device, IReadOnlyCollection<long> leaseIds, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(leaseIds);
        devices[device] = now;
        var ended = new List<long>();
        foreach (long id in leaseIds)
        {
            if (leases.TryGetValue(id, out var lease) && lease.Device == device)
                lease.Expires = now + leaseTime;
            else
                ended.Add(id);
        }

        return ended;
    }

    /// <summary>A block is computed: its lease ends.</summary>
    /// <returns>Whether the lease was valid.</returns>
    public bool Complete(long leaseId) => Complete(leaseId, out _);

    /// <summary>A block is computed: its lease ends.</summary>
    /// <param name="leaseId">The lease.</param>
    /// <param name="done">What it was.</param>
    /// <returns>Whether the lease was valid.</returns>
    public bool Complete(long leaseId, out CompletedBlock done)
    {
        done = default;
        if (!leases.TryGetValue(leaseId, out var lease))
            return false;
        done = new CompletedBlock(lease.Slide.Id, lease.Block, lease.Device);
        End(lease);
        lease.Slide.State(lease.Block) = BlockState.None;
        lease.Slide.Pending--;
        lease.Slide.Troubles.Remove(lease.Block);
        return true;
    }

    /// <summary>A block was not computed.</summary>
    /// <param name="leaseId">The lease, which ends.</param>
    /// <param name="error">Why; null where the device only stops, which is nobody's fault.</param>
    /// <param name="now">The time.</param>
    public IReadOnlyList<BlockFailure> Return(long leaseId, string? error, DateTimeOffset now)
    {
        if (!leases.TryGetValue(leaseId, out var lease))
            return [];
        if (error is not null)
            return [Fail(lease, error, now)];
        End(lease);
        if (lease.Alone)
            AddSuspect(lease.Slide, lease.Block, now);
        else
            Queue(lease.Slide, lease.Block, ref lease.Slide.State(lease.Block), first: true);
        return [];
    }

    /// <summary>Ends the leases that were not renewed in time.</summary>
    public IReadOnlyList<BlockFailure> Expire(DateTimeOffset now)
    {
        // A silo that was drained for a block and does not ask any more gives the block free.
        foreach (var (name, silo) in silos.Where(silo => silo.Value.Leases == 0 && now - silo.Value.Asked >= Presence).ToArray())
        {
            if (silo.DrainedFor is { } suspect)
                Unassign(suspect);
            silos.Remove(name);
        }

        foreach (string device in devices.Where(device => now - device.Value >= Presence).Select(device => device.Key).ToArray())
            devices.Remove(device);
        foreach (var plate in plates.Values.Where(plate => plate.SlideCount == 0).ToArray())
            Forget(plate);
        return [.. leases.Values.Where(lease => lease.Expires <= now).ToArray().Select(lease =>
            Fail(lease, $"its device {lease.Device} was not heard of for {leaseTime.TotalSeconds:F0} s", now))];
    }

    /// <summary>Ends the leases of a silo that died.</summary>
    public IReadOnlyList<BlockFailure> LoseSilo(string silo, DateTimeOffset now)
    {
        BlockFailure[] failures = [.. leases.Values.Where(lease => lease.SiloName == silo).ToArray().Select(lease =>
            Fail(lease, $"the silo of its device {lease.Device} was lost", now))];
        if (silos.Remove(silo, out var home) && home.DrainedFor is { } suspect)
            Unassign(suspect);
        return failures;
    }

    private ScheduledBlock Grant(QueuedSlide slide, int block, string device, string siloName, Silo silo, bool alone, DateTimeOffset now)
    {
        slide.State(block) = BlockState.Leased;
        QueuedBlocks--;
        silo.Leases++;
        var lease = new ActiveLease(++lastLease, slide, block, device, siloName, silo, alone, now) { Expires = now + leaseTime };
        leases[lease.Id] = lease;
        int attempts = slide.Troubles.GetValueOrDefault(block).Attempts;
        return new ScheduledBlock(lease.Id, slide.Id, slide.Epoch, block, attempts + 1, alone);
    }

    // A silo is emptied for a suspect only where another one goes on with the rest, or there is no other.
    private bool MayDrain(Silo silo, DateTimeOffset now)
    {
        var others = silos.Values.Where(other => other != silo && (other.Leases > 0 || now - other.Asked < Presence)).ToArray();
        return others.Length == 0 || others.Any(other => !other.RunsAlone && other.DrainedFor is null);
    }

    private void End(ActiveLease lease)
    {
        leases.Remove(lease.Id);
        lease.Silo.Leases--;
        if (lease.Alone)
            lease.Silo.RunsAlone = false;
        if (slides.GetValueOrDefault(lease.Slide.Id) != lease.Slide)
            lease.Slide.Pending--;   // of a slide that is being removed: only what waits is left in its count
    }

    private BlockFailure Fail(ActiveLease lease, string reason, DateTimeOffset now)
    {
        End(lease);
        var slide = lease.Slide;
        var trouble = slide.Troubles.GetValueOrDefault(lease.Block);
        trouble = new Trouble(trouble.Attempts + 1, trouble.LoneFailures + (lease.Alone ? 1 : 0));
        slide.Troubles[lease.Block] = trouble;
        bool quarantined = trouble.LoneFailures >= LoneAttempts;
        if (quarantined)
        {
            slide.State(lease.Block) = BlockState.Quarantined;
            slide.Pending--;
        }
        else
        {
            AddSuspect(slide, lease.Block, now + Min(FirstBackOff * (1 << Math.Min(trouble.Attempts - 1, 10)), LongestBackOff));
        }

        return new BlockFailure(slide.Id, slide.Epoch, lease.Block, trouble.Attempts, quarantined, reason, now - lease.Granted);

        static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
    }

    private void AddSuspect(QueuedSlide slide, int block, DateTimeOffset notBefore)
    {
        slide.State(block) = BlockState.Suspect;
        QueuedBlocks++;
        suspects.Add(new Suspect(slide, block, notBefore));
    }

    private static void Unassign(Suspect suspect)
    {
        if (suspect.Drained is not null)
            suspect.Drained.DrainedFor = null;
        suspect.Drained = null;
    }

    private void Queue(QueuedSlide slide, int block, ref BlockState state, bool first)
    {
        if (state == BlockState.None)
            slide.Pending++;
        state = BlockState.Queued;
        QueuedBlocks++;
        slide.Add(block, first);
        if (first && slide.Place is { } place)
        {
            slide.Plate.Slides.Remove(place);
            slide.Plate.Slides.AddFirst(place);
        }

        slide.Place ??= first ? slide.Plate.Slides.AddFirst(slide) : slide.Plate.Slides.AddLast(slide);
        Ready(slide.Plate);
    }

    private void Ready(QueuedPlate plate)
    {
        if (plate.IsReady || plate.Slides.Count == 0)
            return;
        plate.VirtualTime = Math.Max(plate.VirtualTime, virtualTime);
        plate.IsReady = true;
        ready.Enqueue(plate, (plate.VirtualTime, ++order));
    }

    // A plate whose next slide comes soon keeps its virtual time, unless that is past anyway or nobody else waits.
    private void Forget(QueuedPlate plate)
    {
        if (plate.SlideCount == 0 && !plate.IsReady && (plate.VirtualTime <= virtualTime || ready.Count == 0))
            plates.Remove(plate.Id);
    }

    private sealed class QueuedPlate(string id)
    {
        public string Id => id;

        public int Weight { get; set; }

        public double VirtualTime { get; set; }

        public bool IsReady { get; set; }

        public int SlideCount { get; set; }

        public LinkedList<QueuedSlide> Slides { get; } = [];
    }

    private sealed class QueuedSlide(string id, QueuedPlate plate, long epoch)
    {
        private readonly Queue<int> blocks = [];
        private readonly Stack<int> returned = [];
        private BlockState[] states = [];

        public string Id => id;

        public QueuedPlate Plate => plate;

        public long Epoch => epoch;

        public int Pending { get; set; }

        public LinkedListNode<QueuedSlide>? Place { get; set; }

        public Dictionary<int, Trouble> Troubles { get; } = [];

        public bool IsEmpty => blocks.Count == 0 && returned.Count == 0;

        public ref BlockState State(int block)
        {
            if (block >= states.Length)
                Array.Resize(ref states, Math.Max(block + 1, states.Length * 2));
            return ref states[block];
        }

        public void Add(int block, bool first)
        {
            if (first)
                returned.Push(block);
            else
                blocks.Enqueue(block);
        }

        public int Next() => returned.Count > 0 ? returned.Pop() : blocks.Dequeue();
    }

    private sealed class Silo
    {
        public int Leases { get; set; }

        public bool RunsAlone { get; set; }

        public Suspect? DrainedFor { get; set; }

        public DateTimeOffset Asked { get; set; }
    }

    private sealed class Suspect(QueuedSlide slide, int block, DateTimeOffset notBefore)
    {
        public QueuedSlide Slide => slide;

        public int Block => block;

        public DateTimeOffset NotBefore => notBefore;

        public Silo? Drained { get; set; }
    }

    private sealed record ActiveLease(long Id, QueuedSlide Slide, int Block, string Device, string SiloName, Silo Silo, bool Alone, DateTimeOffset Granted)
    {
        public DateTimeOffset Expires { get; set; }
    }

    private readonly record struct Trouble(int Attempts, int LoneFailures);
}

/// <summary>A block that a device computes.</summary>
/// <param name="Lease">The lease's number.</param>
/// <param name="SlideId">The slide.</param>
/// <param name="Epoch">The start of the slide that it is of.</param>
/// <param name="Block">The block's number in the slide's plan.</param>
/// <param name="Attempt">1 for the first time.</param>
/// <param name="Alone">Whether its silo computes nothing else meanwhile.</param>
public readonly record struct ScheduledBlock(long Lease, string SlideId, long Epoch, int Block, int Attempt, bool Alone);

/// <summary>A block that a device has computed.</summary>
/// <param name="SlideId">The slide.</param>
/// <param name="Block">The block's number in the slide's plan.</param>
/// <param name="Device">The device.</param>
public readonly record struct CompletedBlock(string SlideId, int Block, string Device);

/// <summary>A block that was not computed although it was leased.</summary>
/// <param name="SlideId">The slide.</param>
/// <param name="Epoch">The start of the slide that it is of.</param>
/// <param name="Block">The block's number in the slide's plan.</param>
/// <param name="Attempts">How often by now.</param>
/// <param name="Quarantined">Whether it is given up; else it is tried again.</param>
/// <param name="Reason">Why, in one line.</param>
/// <param name="Wasted">How long it was leased in vain.</param>
public sealed record BlockFailure(string SlideId, long Epoch, int Block, int Attempts, bool Quarantined, string Reason, TimeSpan Wasted);

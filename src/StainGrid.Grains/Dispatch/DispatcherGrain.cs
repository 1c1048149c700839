using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using StainGrid.Contracts;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Leases blocks to devices by a <see cref="BlockScheduler"/>, takes back those of silos that died, and wakes plates: as
/// long as a device asks there is a dispatcher, so what was lost elsewhere goes on soon.</summary>
[Reentrant]
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed partial class DispatcherGrain(ISiloStatusOracle silos, QueueGauges gauges, TimeProvider time, IHostApplicationLifetime host, ILogger<DispatcherGrain> logger) : Grain, IDispatcherGrain
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan WakeInterval = TimeSpan.FromSeconds(2);

    private readonly BlockScheduler scheduler = new();
    private readonly WorkEstimate work = new();
    private readonly Dictionary<string, QueuedJob> jobs = [];
    private readonly Dictionary<string, BlockFailure> quarantined = [];
    private readonly Signal queued = new();

    // A lease of a dispatcher that was lost must not be taken for one of this: numbers start at random.
    private readonly long firstLease = Random.Shared.NextInt64(1L << 32) << 30;
    private DateTimeOffset woken;

    private DateTimeOffset Now => time.GetUtcNow();

    /// <inheritdoc/>
    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        this.RegisterGrainTimer(TickAsync, new GrainTimerCreationOptions(Tick, Tick) { Interleave = true });
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task EnqueueAsync(SlideJob job, IReadOnlyList<int> blocks)
    {
        ArgumentNullException.ThrowIfNull(job);
        if (scheduler.Enqueue(job.SlideId, job.PlateId, job.Weight, job.Epoch, blocks))
        {
            if (!jobs.TryGetValue(job.SlideId, out var known) || known.Job.Epoch != job.Epoch)
            {
                jobs[job.SlideId] = known = new QueuedJob(job, Now);
                work.Began(job.PlateId, known.Kind, known.TilesPerBlock * blocks.Count, Now);
            }

            if (quarantined.TryGetValue(job.SlideId, out var failure))
                Quarantine(failure);
            queued.Raise();
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<int> GetPendingAsync(string slideId, long epoch) => Task.FromResult(scheduler.Pending(slideId, epoch));

    /// <inheritdoc/>
    public async Task<IReadOnlyList<BlockLease>> LeaseAsync(string device, string silo, int count, TimeSpan wait)
    {
        var leases = Take(device, silo, count);
        if (leases.Length == 0 && wait > TimeSpan.Zero)
        {
            await queued.WaitAsync(wait, host.ApplicationStopping);
            leases = Take(device, silo, count);
        }

        return leases;
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<long>> RenewAsync(string device, IReadOnlyList<long> leases) => Task.FromResult<IReadOnlyList<long>>(
        [.. scheduler.Renew(device, [.. leases.Select(lease => lease - firstLease)], Now).Select(lease => lease + firstLease)]);

    /// <inheritdoc/>
    public Task CompleteAsync(long lease)
    {
        scheduler.Complete(lease - firstLease);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task CompleteTimedAsync(long lease, double seconds)
    {
        if (scheduler.Complete(lease - firstLease, out var done) && jobs.TryGetValue(done.SlideId, out var job))
            work.Completed(done.Device, job.Kind, job.Tiles(done.Block), seconds);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ReturnAsync(long lease, string? error)
    {
        Report(scheduler.Return(lease - firstLease, error, Now), "failed");
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task RemoveAsync(string slideId)
    {
        scheduler.Remove(slideId);
        jobs.Remove(slideId);
        quarantined.Remove(slideId);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task SetBacklogAsync(string plateId, int? fields)
    {
        if (fields is { } waiting)
            work.SetBacklog(plateId, waiting, Now);
        else
            work.Ended(plateId);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        gauges.Show(null);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<DispatcherStatus> GetStatusAsync() =>
        Task.FromResult(new DispatcherStatus(scheduler.Devices(Now), scheduler.QueuedBlocks, scheduler.LeasedBlocks));

    private BlockLease[] Take(string device, string silo, int count) => [.. scheduler.Lease(device, silo, count, Now).Select(block =>
    {
        var (job, queuedAt) = jobs[block.SlideId];
        using (Telemetry.Stage("block.queue", job.TraceParent, queuedAt)?.SetTag("staingrid.block", block.Block).SetTag("staingrid.attempt", block.Attempt))
            return new BlockLease(job, block.Block, block.Attempt, block.Lease + firstLease);
    })];

    private void Show()
    {
        var plates = scheduler.Plates(Now);
        double queuedWork = jobs.Values.Sum(job => work.Seconds(job.Kind, job.TilesPerBlock * scheduler.Pending(job.Job.SlideId, job.Job.Epoch)));
        var idle = work.Plates(Now).Except(plates.Select(plate => plate.PlateId)).Select(plate => new PlateBlocks(plate, 0, 0, TimeSpan.Zero));
        gauges.Show(new QueueState(scheduler.Devices(Now), queuedWork + work.BacklogSeconds(Now), [.. plates, .. idle]));
    }

    private Task TickAsync(CancellationToken cancellationToken)
    {
        Report(scheduler.Expire(Now), "expired");
        foreach (string silo in scheduler.SilosWithLeases())
        {
            if (silos.IsDeadSilo(SiloAddress.FromParsableString(silo)))
                Report(scheduler.LoseSilo(silo, Now), "silo_lost");
        }

        if (Now - woken >= WakeInterval)
        {
            woken = Now;
            GrainFactory.GetGrain<IPlateIndexGrain>(0).WakeAsync().Ignore();
        }

        // A back-off may have ended, or a silo been emptied for a block that runs alone.
        if (scheduler.QueuedBlocks > 0)
            queued.Raise();
        Show();
        return Task.CompletedTask;
    }

    private void Report(IReadOnlyList<BlockFailure> failures, string reason)
    {
        foreach (var failure in failures)
        {
            Telemetry.Retry(failure.Quarantined ? "quarantined" : reason);
            LogFailure(logger, failure.SlideId, failure.Block, failure.Attempts, failure.Reason);
            var slide = GrainFactory.GetGrain<ISlideGrain>(failure.SlideId);
            slide.ReportRetryAsync(failure.Quarantined ? 0 : 1, failure.Wasted.TotalSeconds).Ignore();
            if (failure.Quarantined)
            {
                quarantined[failure.SlideId] = failure;
                Quarantine(failure);
            }
        }

        queued.Raise();
    }

    // Told again whenever the slide asks for the block again: a message may be lost.
    private void Quarantine(BlockFailure failure) => GrainFactory.GetGrain<ISlideGrain>(failure.SlideId).FailAsync(
        failure.Epoch, $"block {failure.Block} failed {failure.Attempts} times, the last {BlockScheduler.LoneAttempts} alone on its silo: {failure.Reason}", quarantined: true).Ignore();

    private sealed record QueuedJob(SlideJob Job, DateTimeOffset Queued)
    {
        /// <summary>What costs the same time a tile.</summary>
        public string Kind { get; } = $"{Job.ModelSha256}/{Job.Labels.Count}/{Job.Precision}";

        // Kept: to make one takes longer than a lease.
        private readonly TilingPlan plan = Job.Plan();

        public double TilesPerBlock => (double)plan.TileCount * Job.Planes.Count / plan.BlockCount;

        /// <summary>A tile and plane counts one.</summary>
        public int Tiles(int block) => plan.Block(block).TileCount * Job.Planes.Count;
    }

    [LoggerMessage(LogLevel.Warning, "Slide {SlideId}, block {Block} failed, attempt {Attempts}: {Reason}")]
    private static partial void LogFailure(ILogger logger, string slideId, int block, int attempts, string reason);
}

using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using StainGrid.Contracts;

namespace StainGrid.Grains;

/// <summary>Leases blocks to devices by a <see cref="BlockScheduler"/>, takes back those of silos that died, and wakes plates: as
/// long as a device asks there is a dispatcher, so what was lost elsewhere goes on soon.</summary>
[Reentrant]
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed partial class DispatcherGrain(ISiloStatusOracle silos, TimeProvider time, ILogger<DispatcherGrain> logger) : Grain, IDispatcherGrain
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan WakeInterval = TimeSpan.FromSeconds(2);

    private readonly BlockScheduler scheduler = new();
    private readonly Dictionary<string, SlideJob> jobs = [];
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
            jobs[job.SlideId] = job;
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
            await queued.WaitAsync(wait);
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
    public Task ReturnAsync(long lease, string? error)
    {
        Report(scheduler.Return(lease - firstLease, error, Now));
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
    public Task<DispatcherStatus> GetStatusAsync() =>
        Task.FromResult(new DispatcherStatus(scheduler.Devices(Now), scheduler.QueuedBlocks, scheduler.LeasedBlocks));

    private BlockLease[] Take(string device, string silo, int count) =>
        [.. scheduler.Lease(device, silo, count, Now).Select(block => new BlockLease(jobs[block.SlideId], block.Block, block.Attempt, block.Lease + firstLease))];

    private Task TickAsync(CancellationToken cancellationToken)
    {
        Report(scheduler.Expire(Now));
        foreach (string silo in scheduler.SilosWithLeases())
        {
            if (silos.IsDeadSilo(SiloAddress.FromParsableString(silo)))
                Report(scheduler.LoseSilo(silo, Now));
        }

        if (Now - woken >= WakeInterval)
        {
            woken = Now;
            GrainFactory.GetGrain<IPlateIndexGrain>(0).WakeAsync().Ignore();
        }

        // A back-off may have ended, or a silo been emptied for a block that runs alone.
        if (scheduler.QueuedBlocks > 0)
            queued.Raise();
        return Task.CompletedTask;
    }

    private void Report(IReadOnlyList<BlockFailure> failures)
    {
        foreach (var failure in failures)
        {
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

    [LoggerMessage(LogLevel.Warning, "Slide {SlideId}, block {Block} failed, attempt {Attempts}: {Reason}")]
    private static partial void LogFailure(ILogger logger, string slideId, int block, int attempts, string reason);
}

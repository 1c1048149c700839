using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Leases blocks for one device and carries each from its pixels to its stitchers.</summary>
[DevicePinnedPlacement]
[SuppressMessage("Design", "CA1001", Justification = "Leases may come in after the activation has ended, and are handed back then; the source has no timer to free.")]
public sealed partial class TileGrain(DeviceExecutors executors, SlideImageCache images, ILocalSiloDetails silo, ILogger<TileGrain> logger)
    : Grain, ITileGrain
{
    private static readonly TimeSpan LeaseWait = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan RenewInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LostStitcherPatience = TimeSpan.FromMinutes(1);
    private const int WriteAttempts = 3;
    private const int CompleteAttempts = 5;

    private readonly CancellationTokenSource stopped = new();
    private readonly Dictionary<long, HeldBlock> leases = [];
    private bool draining;
    private Task? loop;

    private string Key => this.GetPrimaryKeyString();

    private IDispatcherGrain Dispatcher => GrainFactory.GetGrain<IDispatcherGrain>(0);

    private IDeviceExecutor Device => executors[Key.Split('/', 2)[1]];

    /// <inheritdoc/>
    public Task StartAsync()
    {
        DelayDeactivation(Timeout.InfiniteTimeSpan);
        if (loop is null)
        {
            loop = LeaseAndRunAsync();
            this.RegisterGrainTimer(RenewAsync, new GrainTimerCreationOptions(RenewInterval, RenewInterval) { Interleave = true });
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task StopAsync()
    {
        draining = true;
        await Task.WhenAll([.. leases.Values.Where(block => !block.IsBegun).Select(block => block.Stop.CancelAsync())]);   // all at once: while one is awaited the next may begin
        if (loop is not null)
            await loop;
    }

    /// <inheritdoc/>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => stopped.CancelAsync();

    private async Task LeaseAndRunAsync()
    {
        Activity.Current = null;   // what runs from now on is no part of the call that started it
        var running = new HashSet<Task>();
        while (!draining && !stopped.IsCancellationRequested)
        {
            try
            {
                foreach (var lease in await Dispatcher.LeaseAsync(Key, silo.SiloAddress.ToParsableString(), executors.Options.Leases - running.Count, LeaseWait))
                    running.Add(RunAsync(lease));
                if (running.Count >= executors.Options.Leases)
                    await Task.WhenAny(running);
                running.RemoveWhere(task => task.IsCompleted);
            }
            catch (Exception e) when (!stopped.IsCancellationRequested)
            {
                LogLeasing(logger, e, Key);
                await Task.Delay(TimeSpan.FromSeconds(1));
            }
        }

        await Task.WhenAll(running);
    }

    // Keeps the leases, and stops what need not be computed any more: its slide was cancelled, or the lease is another's.
    private async Task RenewAsync(CancellationToken cancellationToken)
    {
        if (leases.Count == 0)
            return;
        try
        {
            foreach (long ended in await Dispatcher.RenewAsync(Key, [.. leases.Keys]))
            {
                if (leases.TryGetValue(ended, out var block))
                    await block.Stop.CancelAsync();
            }
        }
        catch (Exception e) when (e.IsTransient(cancellationToken))
        {
            LogLeasing(logger, e, Key);
        }
    }

    private async Task RunAsync(BlockLease lease)
    {
        var job = lease.Job;
        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(stopped.Token);
        var block = leases[lease.Lease] = new HeldBlock(cancellation);
        if (draining)
            await cancellation.CancelAsync();   // it came while the device was told to stop
        string? error = null, unreadable = null;
        long started = Stopwatch.GetTimestamp();
        using var span = Telemetry.Stage("block", job.TraceParent)
            ?.SetTag("staingrid.block", lease.Block).SetTag("staingrid.attempt", lease.Attempt).SetTag("staingrid.device", Key);
        try
        {
            await ComputeAsync(lease, block, cancellation.Token);
            Telemetry.Block(Device.Name, "completed", Stopwatch.GetElapsedTime(started));
            await CompleteAsync(lease.Lease, block.Busy);
            return;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // The slide ended or the device stops: nobody is to blame.
        }
        catch (StaleSlideException)
        {
            // The slide was started again: its blocks are queued anew.
        }
        catch (BlobStoreException e)
        {
            // The store has been asked long enough, and the block is not to blame: the field is tried again as a whole.
            LogBlock(logger, e, job.SlideId, lease.Block, lease.Attempt);
            unreadable = e.Message;
        }
        catch (Exception e)
        {
            LogBlock(logger, e, job.SlideId, lease.Block, lease.Attempt);
            error = e is ImageException or ModelFileException
                ? e.Message
                : $"{job.Name}, block {lease.Block}: {e.GetType().Name}: {e.Message.Split('\n')[0]}";
        }
        finally
        {
            leases.Remove(lease.Lease);
        }

        span?.SetStatus(ActivityStatusCode.Error, error ?? unreadable ?? "returned");
        Telemetry.Block(Device.Name, error is null && unreadable is null ? "returned" : "failed", Stopwatch.GetElapsedTime(started));
        try
        {
            if (unreadable is not null)
                await GrainFactory.GetGrain<ISlideGrain>(job.SlideId).FailAsync(job.Epoch, unreadable, quarantined: false);
            await Dispatcher.ReturnAsync(lease.Lease, error);
        }
        catch (Exception e) when (e.IsTransient())
        {
            // The dispatcher was lost, or will end the lease when it expires.
            LogLeasing(logger, e, Key);
        }
    }

    // What is delivered is no failure of the block where the dispatcher cannot be told: one that has moved does not know the lease, and the slide knows the block.
    private async Task CompleteAsync(long lease, TimeSpan busy)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await Dispatcher.CompleteTimedAsync(lease, busy.TotalSeconds);
                return;
            }
            catch (TypeLoadException)
            {
                await Dispatcher.CompleteAsync(lease);   // a silo of the version before
                return;
            }
            catch (Exception e) when (e.IsTransient())
            {
                LogLeasing(logger, e, Key);
                if (attempt >= CompleteAttempts)
                    return;
                await Task.Delay(TimeSpan.FromSeconds(1));
            }
        }
    }

    private async Task ComputeAsync(BlockLease lease, HeldBlock held, CancellationToken cancelled)
    {
        cancelled.ThrowIfCancellationRequested();
        var job = lease.Job;
        var block = job.Plan().Block(lease.Block);
        var rule = new NormalisationRule { Clamp = job.Clamp };
        PlaneWindow[] windows;
        using (Telemetry.Stage("block.read"))
        {
            windows = await Task.Run(() => images.UseAsync(job.Files, job.FileVersions, image => job.Planes
                .Select(plane => PlaneWindow.Read(image, plane.Index, block.Input, new PlaneRange(plane.Low, plane.High), rule))
                .ToArray(), cancelled), cancelled);
        }

        var slide = GrainFactory.GetGrain<ISlideGrain>(job.SlideId);
        var progress = new TileProgress(tiles => slide.ReportTilesAsync(tiles).Ignore(), TimeProvider.System);
        var map = await Device.PredictAsync(job, block, windows, Count, cancelled);
        progress.Flush();
        using var delivering = Telemetry.Stage("block.deliver");
        var receipts = new Dictionary<int, Guid>();
        for (int band = block.Extent.Y / SlideJob.ChunkSize; band * SlideJob.ChunkSize < block.Extent.Bottom; band++)
            receipts[band] = await DeliverAsync(job, band, map.Crop(job.Band(band)), cancelled);
        await slide.ReportDeliveryAsync(job.Epoch, lease.Block, receipts);

        void Count(int tiles, TimeSpan busy)
        {
            held.Add(busy);
            progress.Add(tiles);
        }
    }

    // A stitcher that cannot write, or was lost, is asked again with the same map, so that no tile is computed twice for that.
    private async Task<Guid> DeliverAsync(SlideJob job, int band, ProbabilityMap part, CancellationToken cancelled)
    {
        long started = Environment.TickCount64;
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await GrainFactory.GetGrain<IStitcherGrain>(IStitcherGrain.Key(job.SlideId, band)).AddAsync(job, part);
            }
            catch (Exception e) when (e is not StaleSlideException && !cancelled.IsCancellationRequested)
            {
                bool lost = e.IsTransient(cancelled);
                if (lost ? Environment.TickCount64 - started > LostStitcherPatience.TotalMilliseconds : attempt >= WriteAttempts)
                    throw;
                LogDelivery(logger, e, job.SlideId, band, attempt);
                await Task.Delay(TimeSpan.FromMilliseconds(200 << Math.Min(attempt, 4)), cancelled);
            }
        }
    }

    // A device that stops finishes the blocks that it has begun, and returns the others.
    private sealed class HeldBlock(CancellationTokenSource stop)
    {
        private long busy;

        public CancellationTokenSource Stop => stop;

        public bool IsBegun => Interlocked.Read(ref busy) > 0;

        /// <summary>How long the device has computed it.</summary>
        public TimeSpan Busy => TimeSpan.FromTicks(Interlocked.Read(ref busy));

        public void Add(TimeSpan batch) => Interlocked.Add(ref busy, Math.Max(1, batch.Ticks));
    }

    [LoggerMessage(LogLevel.Warning, "{Device} cannot reach the dispatcher; asking again.")]
    private static partial void LogLeasing(ILogger logger, Exception exception, string device);

    [LoggerMessage(LogLevel.Warning, "Slide {SlideId}, block {Block}, attempt {Attempt} failed.")]
    private static partial void LogBlock(ILogger logger, Exception exception, string slideId, int block, int attempt);

    [LoggerMessage(LogLevel.Warning, "Slide {SlideId}, band {Band}: the stitcher failed, attempt {Attempt}.")]
    private static partial void LogDelivery(ILogger logger, Exception exception, string slideId, int band, int attempt);
}

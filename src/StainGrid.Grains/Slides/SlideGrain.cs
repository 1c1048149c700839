using System.Diagnostics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Grains;

/// <summary>Plans a slide, queues its blocks and tracks them until every chunk is durable. What others lose of it (a dispatcher its
/// queue, a stitcher its parts) is noticed by asking them now and then, and queued again.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed partial class SlideGrain(SlidePreparation preparation, SlideImageCache images, SlideGate gate, IHostApplicationLifetime host, ILogger<SlideGrain> logger)
    : Grain, ISlideGrain, IDisposable
{
    private static readonly TimeSpan ReconcileInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan DropPatience = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan WritePatience = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource cancelled = new();
    private readonly TaskCompletionSource allChunks = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Signal changed = new();
    private SlideStatus status = new(SlideState.New, 0, 0, 0, 0, 0, null, null);
    private SlideRequest? request;
    private SlideJob? job;
    private SlideTracker? tracker;
    private IGrainTimer? reconciling;
    private Task running = Task.CompletedTask;
    private Task? ending;
    private int retries;
    private double wasted;

    private string SlideId => this.GetPrimaryKeyString();

    private IDispatcherGrain Dispatcher => GrainFactory.GetGrain<IDispatcherGrain>(0);

    /// <inheritdoc/>
    public Task StartAsync(SlideRequest request)
    {
        if (this.request is not null)
        {
            return this.request.SameAs(request)
                ? Task.CompletedTask
                : throw new InvalidOperationException($"The slide {SlideId} was started with another request. Give it another id.");
        }

        this.request = request;
        if (status.State == SlideState.New)
        {
            Change(status with { State = SlideState.Preparing });
            running = RunAsync(request);
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<SlideStatus> GetStatusAsync(long version = -1, TimeSpan wait = default)
    {
        if (status.Version == version && wait > TimeSpan.Zero && !status.IsFinal)
            await changed.WaitAsync(wait, host.ApplicationStopping);
        return status;
    }

    /// <inheritdoc/>
    public async Task CancelAsync()
    {
        await EndAsync(SlideState.Cancelled);

        // What it is writing itself, a marker or the pyramid, may be on its way: who deletes the output comes after that.
        await running.WaitAsync(WritePatience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }

    /// <inheritdoc/>
    public Task ReportTilesAsync(int tiles)
    {
        if (ending is null)
            Change(status with { TilesDone = status.TilesDone + tiles });
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ReportDeliveryAsync(long epoch, int block, IReadOnlyDictionary<int, Guid> receipts)
    {
        if (epoch == job?.Epoch)
            tracker!.Delivered(block, receipts);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ReportChunkAsync(string planHash, CommittedChunk chunk)
    {
        if (ending is null && planHash == job?.PlanHash)
            Commit([chunk]);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ReportRetryAsync(int blocks, double seconds)
    {
        retries += blocks;
        wasted += seconds;
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task FailAsync(long epoch, string error, bool quarantined) =>
        epoch == job?.Epoch ? EndAsync(SlideState.Failed, error, quarantined, quarantined ? "quarantined" : "store") : Task.CompletedTask;

    /// <inheritdoc/>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => cancelled.CancelAsync();

    /// <summary>At the end of the activation.</summary>
    public void Dispose() => cancelled.Dispose();

    private async Task RunAsync(SlideRequest request)
    {
        DelayDeactivation(Timeout.InfiniteTimeSpan);
        var stop = cancelled.Token;
        using var span = Telemetry.Stage("slide", request.TraceParent)?.SetTag("staingrid.slide", SlideId);
        try
        {
            PreparedSlide slide;
            OutputStart start;
            using (Telemetry.Stage("slide.prepare"))
                slide = await gate.RunAsync(() => preparation.PrepareAsync(SlideId, request, stop), stop);
            var output = new SlideOutput(slide.Job);
            using (Telemetry.Stage("slide.begin"))
                start = await output.BeginAsync(request.Overwrite, request.KeepComplete, stop);
            if (!start.IsComplete)
                await StainAsync(slide, output, start, stop);
            await EndAsync(SlideState.Complete);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // EndAsync has set the status.
        }
        catch (Exception e)
        {
            string type = e switch
            {
                SlideException or ImageException => "input",
                ModelFileException => "model",
                BlobStoreException => "store",
                _ => "internal",
            };
            if (type == "internal")
                LogUnexpected(logger, e, SlideId);
            span?.SetStatus(ActivityStatusCode.Error, e.Message);
            await EndAsync(SlideState.Failed, type == "internal" ? $"{SlideId}: {e.GetType().Name}: {e.Message}" : e.Message, errorType: type);
        }
        finally
        {
            DelayDeactivation(TimeSpan.FromMinutes(10));
        }
    }

    private async Task StainAsync(PreparedSlide slide, SlideOutput output, OutputStart start, CancellationToken stop)
    {
        using var blocks = Telemetry.Stage("slide.blocks");
        job = start.Job with { TraceParent = blocks?.Id };
        tracker = new SlideTracker(job);
        var plan = job.Plan();
        foreach (var chunk in start.Committed)
            tracker.Committed(chunk);
        var missing = tracker.Missing();
        Change(status with
        {
            State = SlideState.Running,
            TilesTotal = missing.Sum(block => plan.Block(block).TileCount) * job.Planes.Count,
            ChunksTotal = (long)job.Bands * job.ChunkColumns,
        });
        Commit([]);
        reconciling = this.RegisterGrainTimer(ReconcileAsync, new GrainTimerCreationOptions(TimeSpan.Zero, ReconcileInterval) { Interleave = true });
        await allChunks.Task.WaitAsync(stop);
        reconciling.Dispose();
        blocks?.Dispose();

        Change(status with { State = SlideState.Finishing });
        var report = new SlideReport(tracker.Check, retries, wasted);
        if (report.Check.Pixels != (long)job.Width * job.Height || report.Check.MisweightedPixels != 0)
            throw new SlideException($"{job.Name}: the merged image does not pass its own check ({report.Check}). Please report this.");
        using var finishing = Telemetry.Stage("slide.finish");
        await gate.RunAsync(async () =>
        {
            await output.CompleteAsync(SlideOutput.Provenance(slide, report), stop);
            return true;
        }, stop);
        status = status with { Report = report };
    }

    // Asks the stitchers what they hold and the dispatcher what it has of this slide, and queues what neither has.
    private async Task ReconcileAsync(CancellationToken cancellationToken)
    {
        try
        {
            foreach (int band in tracker!.OpenBands.ToArray())
            {
                var held = await GrainFactory.GetGrain<IStitcherGrain>(IStitcherGrain.Key(SlideId, band)).GetStatusAsync();
                tracker.Incarnation(band, held.Incarnation);
                if (held.PlanHash == job!.PlanHash)
                    Commit(held.Committed);
            }

            int pending = await Dispatcher.GetPendingAsync(SlideId, job!.Epoch);
            if (ending is null && tracker.Missing() is var missing && missing.Count > pending)
                await Dispatcher.EnqueueAsync(job, missing);
        }
        catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            // A silo was lost a moment ago: its grains are elsewhere the next time.
            LogReconciling(logger, e, SlideId);
        }
    }

    private void Commit(IReadOnlyList<CommittedChunk> chunks)
    {
        foreach (var chunk in chunks)
            tracker!.Committed(chunk);
        long done = status.ChunksTotal - tracker!.OpenChunks;
        if (done != status.ChunksDone)
            Change(status with { ChunksDone = done });
        if (tracker.OpenChunks == 0)
            allChunks.TrySetResult();
    }

    // Lets go of what others hold of the slide, then makes the status final.
    private Task EndAsync(SlideState state, string? error = null, bool quarantined = false, string? errorType = null) =>
        ending ??= EndOnceAsync(state, error, quarantined, errorType);

    private async Task EndOnceAsync(SlideState state, string? error, bool quarantined, string? errorType)
    {
        reconciling?.Dispose();
        await cancelled.CancelAsync();
        if (request is not null)
            images.Close(request.Files);
        try
        {
            if (job is not null)
            {
                await Dispatcher.RemoveAsync(SlideId);
                await Task.WhenAll(Enumerable.Range(0, job.Bands).Select(band =>
                    GrainFactory.GetGrain<IStitcherGrain>(IStitcherGrain.Key(SlideId, band)).DropAsync())).WaitAsync(DropPatience);
            }
        }
        catch (Exception e) when (e.IsTransient())
        {
            // They were lost, and what they held; or a store is slow, and what comes late is refused by its epoch.
            LogReconciling(logger, e, SlideId);
        }

        Change(status with { State = state, Error = error, Quarantined = quarantined, ErrorType = errorType });
    }

    private void Change(SlideStatus next)
    {
        status = next with { Version = status.Version + 1 };
        changed.Raise();
    }

    [LoggerMessage(LogLevel.Error, "Slide {SlideId} failed unexpectedly.")]
    private static partial void LogUnexpected(ILogger logger, Exception exception, string slideId);

    [LoggerMessage(LogLevel.Debug, "Slide {SlideId}: a grain that it needs was lost.")]
    private static partial void LogReconciling(ILogger logger, Exception exception, string slideId);
}

using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Plans a slide, queues its blocks and tracks them until every chunk is written.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed partial class SlideGrain(SlideImageCache images, ILogger<SlideGrain> logger) : Grain, ISlideGrain, IDisposable
{
    private readonly CancellationTokenSource cancelled = new();
    private readonly TaskCompletionSource allChunks = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SlideStatus status = new(SlideState.New, 0, 0, 0, 0, 0, null, null);
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private SlideRequest? request;
    private StitchCheck check;
    private int retries;
    private int bands;

    private string SlideId => this.GetPrimaryKeyString();

    private IDispatcherGrain Dispatcher => GrainFactory.GetGrain<IDispatcherGrain>(0);

    /// <inheritdoc/>
    public Task StartAsync(SlideRequest request)
    {
        if (this.request is not null)
        {
            return SameRequest(this.request, request)
                ? Task.CompletedTask
                : throw new InvalidOperationException($"The slide {SlideId} was started with another request. Give it another id.");
        }

        this.request = request;
        if (status.State == SlideState.New)
        {
            Change(status with { State = SlideState.Preparing });
            RunAsync(request).Ignore();
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<SlideStatus> GetStatusAsync(long version = -1, TimeSpan wait = default)
    {
        if (status.Version <= version && wait > TimeSpan.Zero && !status.IsFinal)
            await Task.WhenAny(changed.Task, Task.Delay(wait));
        return status;
    }

    /// <inheritdoc/>
    public async Task CancelAsync()
    {
        if (status.IsFinal)
            return;
        Change(status with { State = SlideState.Cancelled });
        await EndAsync();
    }

    /// <inheritdoc/>
    public Task ReportTilesAsync(int tiles)
    {
        if (!status.IsFinal)
            Change(status with { TilesDone = status.TilesDone + tiles });
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ReportChunksAsync(int chunks, StitchCheck check)
    {
        if (status.IsFinal)
            return Task.CompletedTask;
        this.check += check;
        Change(status with { ChunksDone = status.ChunksDone + chunks });
        if (status.ChunksDone == status.ChunksTotal)
            allChunks.TrySetResult();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ReportRetryAsync()
    {
        retries++;
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task FailAsync(string error)
    {
        if (status.IsFinal)
            return;
        Change(status with { State = SlideState.Failed, Error = error });
        await EndAsync();
    }

    /// <summary>At the end of the activation.</summary>
    public void Dispose() => cancelled.Dispose();

    private async Task RunAsync(SlideRequest request)
    {
        DelayDeactivation(Timeout.InfiniteTimeSpan);
        var stop = cancelled.Token;
        try
        {
            var slide = await Task.Run(() => SlidePreparation.PrepareAsync(SlideId, request, stop), stop);
            var job = slide.Job;
            await new SlideOutput(job).BeginAsync(request.Overwrite, stop);
            stop.ThrowIfCancellationRequested();
            bands = job.Bands;
            Change(status with
            {
                State = SlideState.Running,
                TilesTotal = job.Plan().TileCount * job.Planes.Count,
                ChunksTotal = (long)job.Bands * job.ChunkColumns,
            });
            await Dispatcher.EnqueueAsync(job);
            await allChunks.Task.WaitAsync(stop);

            Change(status with { State = SlideState.Finishing });
            var report = new SlideReport(check, retries);
            if (check.Pixels != (long)job.Width * job.Height || check.MisweightedPixels != 0)
                throw new SlideException($"{job.Name}: the merged image does not pass its own check ({check}). Please report this.");
            await Task.Run(() => new SlideOutput(job, SlideOutput.Provenance(slide, report)).CompleteAsync(stop), stop);
            Change(status with { State = SlideState.Complete, Report = report });
            await EndAsync();
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // CancelAsync or FailAsync has set the status.
        }
        catch (Exception e)
        {
            bool expected = e is SlideException or ImageException or ModelFileException or BlobStoreException;
            if (!expected)
                LogUnexpected(logger, e, SlideId);
            await FailAsync(expected ? e.Message : $"{SlideId}: {e.GetType().Name}: {e.Message}");
        }
        finally
        {
            DelayDeactivation(TimeSpan.FromMinutes(10));
        }
    }

    // After the status became final: let go of what others hold of the slide.
    private async Task EndAsync()
    {
        await cancelled.CancelAsync();
        await Dispatcher.RemoveAsync(SlideId);
        await Task.WhenAll(Enumerable.Range(0, bands).Select(band =>
            GrainFactory.GetGrain<IStitcherGrain>(IStitcherGrain.Key(SlideId, band)).DropAsync()));
        images.Close(request!.Files);
    }

    private void Change(SlideStatus next)
    {
        status = next with { Version = status.Version + 1 };
        var waiters = changed;
        changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        waiters.SetResult();
    }

    private static bool SameRequest(SlideRequest left, SlideRequest right) =>
        left with { Files = right.Files, Labels = right.Labels, Statistics = right.Statistics } == right
        && left.Files.SequenceEqual(right.Files) && left.Labels.SequenceEqual(right.Labels)
        && left.Statistics.SequenceEqual(right.Statistics);

    [LoggerMessage(LogLevel.Error, "Slide {SlideId} failed unexpectedly.")]
    private static partial void LogUnexpected(ILogger logger, Exception exception, string slideId);
}

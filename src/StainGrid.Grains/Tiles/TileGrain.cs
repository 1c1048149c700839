using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Grains;

/// <summary>Leases blocks for one device and carries each from its pixels to its stitchers.</summary>
[DevicePinnedPlacement]
public sealed partial class TileGrain(DeviceExecutors executors, SlideImageCache images, ILogger<TileGrain> logger) : Grain, ITileGrain, IDisposable
{
    private const int Deliveries = 3;
    private static readonly TimeSpan LeaseWait = TimeSpan.FromSeconds(10);

    private readonly CancellationTokenSource stopped = new();
    private readonly Dictionary<string, (CancellationTokenSource Cancellation, int Blocks)> slides = [];
    private Task? loop;

    private IDispatcherGrain Dispatcher => GrainFactory.GetGrain<IDispatcherGrain>(0);

    private DeviceExecutor Device => executors[this.GetPrimaryKeyString().Split('/', 2)[1]];

    /// <inheritdoc/>
    public Task StartAsync()
    {
        DelayDeactivation(Timeout.InfiniteTimeSpan);
        loop ??= LeaseAndRunAsync();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task CancelAsync(string slideId)
    {
        if (slides.TryGetValue(slideId, out var slide))
            await slide.Cancellation.CancelAsync();
    }

    /// <inheritdoc/>
    public async Task StopAsync()
    {
        await stopped.CancelAsync();
        if (loop is not null)
            await loop;
    }

    /// <inheritdoc/>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => stopped.CancelAsync();

    /// <summary>At the end of the activation.</summary>
    public void Dispose()
    {
        foreach (var (_, (cancellation, _)) in slides)
            cancellation.Dispose();
        stopped.Dispose();
    }

    private async Task LeaseAndRunAsync()
    {
        var running = new HashSet<Task>();
        while (!stopped.IsCancellationRequested)
        {
            try
            {
                foreach (var lease in await Dispatcher.LeaseAsync(this.GetPrimaryKeyString(), executors.Options.Leases - running.Count, LeaseWait))
                    running.Add(RunAsync(lease));
                if (running.Count >= executors.Options.Leases)
                    await Task.WhenAny(running);
                running.RemoveWhere(task => task.IsCompleted);
            }
            catch (Exception e) when (!stopped.IsCancellationRequested)
            {
                LogLeasing(logger, e, this.GetPrimaryKeyString());
                await Task.Delay(TimeSpan.FromSeconds(1));
            }
        }

        await Task.WhenAll(running);
    }

    private async Task RunAsync(BlockLease lease)
    {
        var job = lease.Job;
        var cancelled = Enter(job.SlideId);
        string? error = null;
        try
        {
            var plan = job.Plan();
            var block = plan.Block(lease.Block);
            var rule = new NormalisationRule { Clamp = job.Clamp };
            var windows = await Task.Run(() => images.Use(job.Files, image => job.Planes
                .Select(plane => PlaneWindow.Read(image, plane.Index, block.Input, new PlaneRange(plane.Low, plane.High), rule))
                .ToArray()), cancelled);
            var grain = GrainFactory.GetGrain<ISlideGrain>(job.SlideId);
            var map = await Device.PredictAsync(job, block, windows, tiles => grain.ReportTilesAsync(tiles).Ignore(), cancelled);
            for (int band = block.Extent.Y / SlideJob.ChunkSize; band * SlideJob.ChunkSize < block.Extent.Bottom; band++)
            {
                var part = map.Crop(job.Band(band));
                await DeliverAsync(job, band, () => GrainFactory.GetGrain<IStitcherGrain>(IStitcherGrain.Key(job.SlideId, band)).AddAsync(job, part));
            }

            await Dispatcher.CompleteAsync(job.SlideId, lease.Block);
            return;
        }
        catch (OperationCanceledException) when (cancelled.IsCancellationRequested)
        {
            // The slide ended or the device stops: nobody is to blame.
        }
        catch (Exception e)
        {
            LogBlock(logger, e, job.SlideId, lease.Block, lease.Attempt);
            error = e is ImageException or ModelFileException or BlobStoreException
                ? e.Message
                : $"{job.Name}, block {lease.Block}: {e.GetType().Name}: {e.Message.Split('\n')[0]}";
        }
        finally
        {
            Leave(job.SlideId);
        }

        await Dispatcher.ReturnAsync(job.SlideId, lease.Block, error);
    }

    // A stitcher that cannot write is asked again with the same map, so that no tile is computed twice for a full disk.
    private async Task DeliverAsync(SlideJob job, int band, Func<Task> deliver)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await deliver();
                return;
            }
            catch (Exception e) when (attempt < Deliveries && !stopped.IsCancellationRequested)
            {
                LogDelivery(logger, e, job.SlideId, band, attempt);
                await Task.Delay(TimeSpan.FromMilliseconds(200 << attempt));
            }
            catch (Exception e)
            {
                await GrainFactory.GetGrain<ISlideGrain>(job.SlideId).FailAsync(e.Message);
                throw;
            }
        }
    }

    // The blocks of a slide that run here share one cancellation, which goes with the last of them.
    private CancellationToken Enter(string slideId)
    {
        var (cancellation, blocks) = slides.GetValueOrDefault(slideId);
        cancellation ??= CancellationTokenSource.CreateLinkedTokenSource(stopped.Token);
        slides[slideId] = (cancellation, blocks + 1);
        return cancellation.Token;
    }

    private void Leave(string slideId)
    {
        var (cancellation, blocks) = slides[slideId];
        if (blocks > 1)
        {
            slides[slideId] = (cancellation, blocks - 1);
            return;
        }

        slides.Remove(slideId);
        cancellation.Dispose();
    }

    [LoggerMessage(LogLevel.Warning, "{Device} cannot lease blocks; asking again.")]
    private static partial void LogLeasing(ILogger logger, Exception exception, string device);

    [LoggerMessage(LogLevel.Warning, "Slide {SlideId}, block {Block}, attempt {Attempt} failed.")]
    private static partial void LogBlock(ILogger logger, Exception exception, string slideId, int block, int attempt);

    [LoggerMessage(LogLevel.Warning, "Slide {SlideId}, band {Band}: the stitcher failed, attempt {Attempt}.")]
    private static partial void LogDelivery(ILogger logger, Exception exception, string slideId, int band, int attempt);
}

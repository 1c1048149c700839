using Orleans.Concurrency;
using StainGrid.Contracts;

namespace StainGrid.Grains;

/// <summary>Leases blocks of the running slides, one slide after the other in turn.</summary>
[Reentrant]
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed class DispatcherGrain : Grain, IDispatcherGrain
{
    private const int MaxAttempts = 3;

    private readonly LinkedList<QueuedSlide> turns = [];
    private readonly Dictionary<string, QueuedSlide> slides = [];
    private TaskCompletionSource queued = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <inheritdoc/>
    public Task EnqueueAsync(SlideJob job)
    {
        var slide = new QueuedSlide(job, job.Plan().BlockCount);
        if (slides.TryAdd(job.SlideId, slide))
        {
            turns.AddLast(slide);
            Wake();
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<BlockLease>> LeaseAsync(string device, int count, TimeSpan wait)
    {
        var leases = Take(device, count);
        if (leases.Count == 0 && wait > TimeSpan.Zero)
        {
            await Task.WhenAny(queued.Task, Task.Delay(wait));
            leases = Take(device, count);
        }

        return leases;
    }

    /// <inheritdoc/>
    public Task CompleteAsync(string slideId, int block)
    {
        if (slides.TryGetValue(slideId, out var slide))
            slide.Leased.Remove(block);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task ReturnAsync(string slideId, int block, string? error)
    {
        if (!slides.TryGetValue(slideId, out var slide) || !slide.Leased.Remove(block))
            return;
        var grain = GrainFactory.GetGrain<ISlideGrain>(slideId);
        if (error is not null)
        {
            int failures = slide.Failures[block] = slide.Failures.GetValueOrDefault(block) + 1;
            if (failures >= MaxAttempts)
            {
                await grain.FailAsync(error);
                return;
            }

            await grain.ReportRetryAsync();
        }

        slide.Returned.Enqueue(block);
        Wake();
    }

    /// <inheritdoc/>
    public async Task RemoveAsync(string slideId)
    {
        if (!slides.Remove(slideId, out var slide))
            return;
        turns.Remove(slide);
        await Task.WhenAll(slide.Leased.Values.Distinct().Select(device => GrainFactory.GetGrain<ITileGrain>(device).CancelAsync(slideId)));
    }

    private List<BlockLease> Take(string device, int count)
    {
        var leases = new List<BlockLease>();
        for (int empty = 0; leases.Count < count && empty < turns.Count;)
        {
            var slide = turns.First!.Value;
            turns.RemoveFirst();
            turns.AddLast(slide);
            if (!slide.TryNext(out int block))
            {
                empty++;
                continue;
            }

            empty = 0;
            slide.Leased[block] = device;
            leases.Add(new BlockLease(slide.Job, block, slide.Failures.GetValueOrDefault(block) + 1));
        }

        return leases;
    }

    private void Wake()
    {
        var waiters = queued;
        queued = new(TaskCreationOptions.RunContinuationsAsynchronously);
        waiters.SetResult();
    }

    private sealed class QueuedSlide(SlideJob job, int blocks)
    {
        private int next;

        public SlideJob Job => job;

        public Queue<int> Returned { get; } = [];

        public Dictionary<int, string> Leased { get; } = [];

        public Dictionary<int, int> Failures { get; } = [];

        public bool TryNext(out int block)
        {
            if (Returned.TryDequeue(out block))
                return true;
            block = next;
            if (next >= blocks)
                return false;
            next++;
            return true;
        }
    }
}

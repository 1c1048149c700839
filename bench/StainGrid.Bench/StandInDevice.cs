using System.Collections.Concurrent;
using System.Diagnostics;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Bench;

/// <summary>A device that takes a set time for a block, one after the other, and no core: what is left of a block's cost is the cluster's.
/// Its maps have the plan's weights and predict nothing, so that the stitchers' checks pass.</summary>
internal sealed class StandInDevice : IDeviceExecutor
{
    private static readonly ConcurrentDictionary<(int Width, int Height, TilingOptions Options, int Planes, int Channels, int Block), ProbabilityMap> Maps = [];

    private static readonly List<int[]> Arrays = [];

    private readonly BlockingCollection<(long Asked, Action Finish)> work = [];
    private readonly StandInCounter counter;
    private readonly TimeSpan latency;
    private readonly Thread thread;

    public StandInDevice(string name, TimeSpan latency, StandInCounter counter)
    {
        Name = name;
        this.latency = latency;
        this.counter = counter;
        thread = new Thread(Run) { IsBackground = true, Name = name };
        thread.Start();
    }

    public string Name { get; }

    public Task<ProbabilityMap> PredictAsync(SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes, Action<int, TimeSpan> progress, CancellationToken cancellationToken)
    {
        var result = new TaskCompletionSource<ProbabilityMap>(TaskCreationOptions.RunContinuationsAsynchronously);
        work.Add((Stopwatch.GetTimestamp(), () =>
        {
            for (int tiles = block.TileCount; tiles > 0; tiles -= job.BatchSize)
                progress(Math.Min(tiles, job.BatchSize), latency * Math.Min(tiles, job.BatchSize) / block.TileCount);
            counter.Add();
            result.SetResult(Map(job, block));
        }
        ), CancellationToken.None);
        return result.Task;
    }

    public void Dispose()
    {
        work.CompleteAdding();
        thread.Join();
        work.Dispose();
    }

    // A block starts when the one before it should have ended, or when it came, if that is later: that this thread wakes late on a
    // busy machine does not make the device slower.
    private void Run()
    {
        long free = 0, duration = (long)(latency.TotalSeconds * Stopwatch.Frequency);
        foreach (var (asked, finish) in work.GetConsumingEnumerable())
        {
            free = Math.Max(free, asked) + duration;
            while (Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), free) is var left && left > TimeSpan.Zero)
                Thread.Sleep(TimeSpan.FromMilliseconds(Math.Max(1, Math.Floor(left.TotalMilliseconds))));
            finish();
        }
    }

    private static ProbabilityMap Map(SlideJob job, Block block)
    {
        var options = new TilingOptions(job.Stride, job.Blend, job.BlockSide);
        int channels = job.Labels.Count * Statistics.Layers(job.Statistics).Count;
        return Maps.GetOrAdd((job.Width, job.Height, options, job.Planes.Count, channels, block.Index), _ =>
        {
            var plan = job.Plan();
            var map = ProbabilityMap.Empty(block.Index, block.Extent, channels: 0);
            foreach (var tile in plan.Tiles(block))
            {
                for (int plane = 0; plane < job.Planes.Count; plane++)
                    map.Add(plan, tile, []);
            }

            return map with { Weights = Shared(map.Weights), Sums = [.. Enumerable.Repeat(Shared(new int[map.Weights.Length]), channels)] };
        });
    }

    // Most blocks of a slide have the same weights, and all the same sums: the bench should not measure its own memory.
    private static int[] Shared(int[] numbers)
    {
        lock (Arrays)
        {
            if (Arrays.Find(other => other.AsSpan().SequenceEqual(numbers)) is { } known)
                return known;
            Arrays.Add(numbers);
            return numbers;
        }
    }
}

/// <summary>Counts the blocks of all stand-in devices of a silo.</summary>
internal sealed class StandInCounter
{
    private long blocks;

    public long Blocks => Interlocked.Read(ref blocks);

    public void Add() => Interlocked.Increment(ref blocks);
}

using System.Collections.Concurrent;
using System.Diagnostics;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Bench;

/// <summary>A device whose network takes no time: a block's patches are cut and its tiles summed as a device does, but the predictions
/// are there already. They look like such: smooth, with a little noise, and neighbouring tiles disagree a little.</summary>
internal sealed class InstantDevice : IDeviceExecutor
{
    private const int Kinds = 8, MaxChannels = 8, Pixels = Tile.Size * Tile.Size;

    private static readonly Lazy<int[][]> Predictions = new(Predict);

    private readonly BlockingCollection<Action> work = [];
    private readonly float[] context = new float[Tile.ContextSize * Tile.ContextSize];
    private readonly Thread thread;
    private long busy;

    public InstantDevice()
    {
        _ = Predictions.Value;
        thread = new Thread(Run) { IsBackground = true, Name = Name };
        thread.Start();
    }

    public string Name => "stand-in:0";

    /// <summary>How long it has worked.</summary>
    public double Seconds => Interlocked.Read(ref busy) / (double)Stopwatch.Frequency;

    public Task<ProbabilityMap> PredictAsync(SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes, Action<int, TimeSpan> progress, CancellationToken cancellationToken)
    {
        var result = new TaskCompletionSource<ProbabilityMap>(TaskCreationOptions.RunContinuationsAsynchronously);
        work.Add(() => result.SetResult(Sum(job, block, planes, progress)), CancellationToken.None);
        return result.Task;
    }

    public void Dispose()
    {
        work.CompleteAdding();
        thread.Join();
        work.Dispose();
    }

    private void Run()
    {
        foreach (var action in work.GetConsumingEnumerable())
        {
            long started = Stopwatch.GetTimestamp();
            action();
            Interlocked.Add(ref busy, Stopwatch.GetTimestamp() - started);
        }
    }

    private ProbabilityMap Sum(SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes, Action<int, TimeSpan> progress)
    {
        var plan = job.Plan();
        int channels = job.Labels.Count;
        if (job.Statistics is not [Statistic.Mean] || channels > MaxChannels || plan.FixedPointBits(job.Planes.Count) < Bits)
            throw new NotSupportedException("The bench predicts the mean of up to eight labels at a stride of 64.");
        var map = ProbabilityMap.Empty(block.Index, block.Extent, channels);
        int waiting = 0;
        foreach (var plane in planes)
        {
            foreach (var tile in plan.Tiles(block))
            {
                plane.CopyContext(tile, context);
                map.Add(plan, tile, Predictions.Value[Kind(tile)].AsSpan(0, channels * Pixels));
                if (++waiting == job.BatchSize)
                {
                    progress(waiting, TimeSpan.Zero);
                    waiting = 0;
                }
            }
        }

        progress(waiting, TimeSpan.Zero);
        return map;
    }

    // Without a pattern, which compression would find and the cache would like.
    private static int Kind(Tile tile)
    {
        uint mixed = (uint)(tile.Column + (tile.Row << 16));
        mixed = (mixed ^ (mixed >> 16)) * 0x7FEB352D;
        mixed = (mixed ^ (mixed >> 15)) * 0x846CA68B;
        return (int)((mixed ^ (mixed >> 16)) % Kinds);
    }

    // As many bits as the plan of a slide has: 24 where weights leave them.
    private const int Bits = 24;

    private static int[][] Predict()
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, Kinds).Select(kind =>
        {
            var values = new int[MaxChannels * Pixels];
            for (int channel = 0; channel < MaxChannels; channel++)
            {
                for (int pixel = 0; pixel < Pixels; pixel++)
                {
                    // A period of half a tile, so that the tiles over a pixel agree but for the noise.
                    var (y, x) = Math.DivRem(pixel, Tile.Size);
                    double smooth = 0.3 + 0.2 * Math.Sin((x + 7 * channel) * Math.Tau / 64) * Math.Cos(y * Math.Tau / 64);
                    values[channel * Pixels + pixel] = (int)((smooth + 0.004 * (random.NextDouble() - 0.5) + 0.001 * kind) * (1 << Bits));
                }
            }

            return values;
        })];
    }
}

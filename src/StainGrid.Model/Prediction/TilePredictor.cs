using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>Runs the network on the tiles of a block, batches side by side on the device's threads, and sums their predictions. One
/// block at a time.</summary>
public sealed class TilePredictor
{
    private readonly StainModel model;
    private readonly PredictionOptions options;
    private readonly ComputeThreads threads;
    private readonly Buffers[] buffers;

    /// <summary>Prepares buffers for one batch a thread.</summary>
    /// <param name="model">The model, in evaluation mode; not disposed of here.</param>
    /// <param name="options">Labels, layers and batch size.</param>
    /// <param name="threads">The threads of the model's device; not disposed of here.</param>
    public TilePredictor(StainModel model, PredictionOptions options, ComputeThreads threads)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(threads);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        this.model = model;
        this.options = options;
        this.threads = threads;
        buffers = [.. Enumerable.Range(0, threads.Count).Select(_ => new Buffers(
            new float[options.BatchSize * Tile.ContextSize * Tile.ContextSize],
            new int[options.BatchSize * options.Channels * Tile.Size * Tile.Size]))];
    }

    /// <summary>Predicts a block: the sum over its tiles and the given planes.</summary>
    /// <param name="plan">The slide's plan.</param>
    /// <param name="block">The block.</param>
    /// <param name="planes">For each plane the pixels of <see cref="Block.Input"/>.</param>
    /// <param name="progress">Told the number of tiles (a tile and plane counts one) after each batch, on any of the threads, one at a time.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    public ProbabilityMap Predict(TilingPlan plan, Block block, IReadOnlyList<PlaneWindow> planes,
        Action<int>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(block);
        var map = ProbabilityMap.Empty(block.Index, block.Extent, options.Channels);
        var batches = planes.SelectMany(_ => plan.Tiles(block), (plane, tile) => (Plane: plane, Tile: tile)).Chunk(options.BatchSize).ToArray();
        int taken = 0;
        threads.Run(thread =>
        {
            var (contexts, values) = buffers[thread];
            for (int next; (next = Interlocked.Increment(ref taken) - 1) < batches.Length;)
            {
                try
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    var batch = batches[next];
                    Array.Clear(contexts);
                    for (int i = 0; i < batch.Length; i++)
                        batch[i].Plane.CopyContext(batch[i].Tile, contexts.AsSpan(i * Tile.ContextSize * Tile.ContextSize));
                    Run(contexts, values);
                    int size = options.Channels * Tile.Size * Tile.Size;
                    lock (map)   // whole numbers: the order does not matter
                    {
                        for (int i = 0; i < batch.Length; i++)
                            map.Add(plan, batch[i].Tile, values.AsSpan(i * size, size));
                        progress?.Invoke(batch.Length);
                    }
                }
                catch
                {
                    Interlocked.Exchange(ref taken, batches.Length);   // nothing more to take for the others
                    throw;
                }
            }
        });
        return map;
    }

    private void Run(float[] contexts, int[] values)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var context = tensor(contexts, [options.BatchSize, 1, Tile.ContextSize, Tile.ContextSize]).to(model.Device);
        var patches = MultiScalePatches.Cut(context, model.Network.Options.PatchScales);       // [N, S, 128, 128]
        var features = model.Network.Features(patches);                                        // [N, 90, 128, 128]
        var images = new List<Tensor>(options.BatchSize);
        for (int tile = 0; tile < options.BatchSize; tile++)
        {
            // One tile and label at a time: the 256 levels of more do not fit the cache and cost three times as much.
            using var labels = NewDisposeScope();
            var one = features.narrow(0, tile, 1);                                             // [1, 90, 128, 128]
            images.Add(cat([.. options.Labels.Select(label =>
                DistributionStatistics.Of(model.Network.Logits(one, label), options.Layers))], 1).MoveToOuterDisposeScope());
        }

        var fixedPoint = (cat(images, 0) * (1 << options.FixedPointBits)).round_().to(ScalarType.Int32).contiguous().cpu();
        fixedPoint.data<int>().CopyTo(values);                                                 // [N, labels x layers, 128, 128]
    }

    private sealed record Buffers(float[] Contexts, int[] Values);
}

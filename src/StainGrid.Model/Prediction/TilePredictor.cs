using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>Runs the network on the tiles of a block and sums their predictions. One thread at a time.</summary>
public sealed class TilePredictor
{
    private readonly StainModel model;
    private readonly PredictionOptions options;
    private readonly float[] contexts;
    private readonly int[] values;

    /// <summary>Prepares buffers for one batch.</summary>
    /// <param name="model">The model, in evaluation mode; not disposed of here.</param>
    /// <param name="options">Labels, layers and batch size.</param>
    public TilePredictor(StainModel model, PredictionOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        this.model = model;
        this.options = options;
        contexts = new float[options.BatchSize * Tile.ContextSize * Tile.ContextSize];
        values = new int[options.BatchSize * options.Channels * Tile.Size * Tile.Size];
    }

    /// <summary>Predicts a block: the sum over its tiles and the given planes.</summary>
    /// <param name="plan">The slide's plan.</param>
    /// <param name="block">The block.</param>
    /// <param name="planes">For each plane the pixels of <see cref="Block.Input"/>.</param>
    /// <param name="progress">Told the number of tiles (a tile and plane counts one) after each batch.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    public ProbabilityMap Predict(TilingPlan plan, Block block, IReadOnlyList<PlaneWindow> planes,
        Action<int>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(block);
        var map = ProbabilityMap.Empty(block.Index, block.Extent, options.Channels);
        foreach (var batch in planes.SelectMany(_ => plan.Tiles(block), (plane, tile) => (Plane: plane, Tile: tile)).Chunk(options.BatchSize))
        {
            cancellationToken.ThrowIfCancellationRequested();
            Array.Clear(contexts);
            for (int i = 0; i < batch.Length; i++)
                batch[i].Plane.CopyContext(batch[i].Tile, contexts.AsSpan(i * Tile.ContextSize * Tile.ContextSize));
            Run();
            int size = options.Channels * Tile.Size * Tile.Size;
            for (int i = 0; i < batch.Length; i++)
                map.Add(plan, batch[i].Tile, values.AsSpan(i * size, size));
            progress?.Invoke(batch.Length);
        }

        return map;
    }

    private void Run()
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
}

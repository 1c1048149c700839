using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>One thread's way from patches to what is kept of the distributions, with the memory that it needs.</summary>
internal abstract class ForwardPass : IDisposable
{
    /// <summary>Predicts a batch.</summary>
    /// <param name="patches">[N, S, 128, 128], float32, on the model's device.</param>
    /// <param name="labels">The labels, by their index.</param>
    /// <param name="layers">What is kept of each label's distribution.</param>
    /// <param name="images">[N, labels x layers, 128, 128], 0 to 1.</param>
    public abstract void Run(Tensor patches, IReadOnlyList<int> labels, IReadOnlyList<MapLayer> layers, Span<float> images);

    public abstract void Dispose();
}

/// <summary>By the network's own modules: in float32 on any device, and in bfloat16 on accelerators, where libtorch has fused attention.</summary>
internal sealed class ModulePass(StainModel model) : ForwardPass
{
    public override void Run(Tensor patches, IReadOnlyList<int> labels, IReadOnlyList<MapLayer> layers, Span<float> images)
    {
        var features = model.Network.Features(patches.to(model.ActivationType));               // [N, 90, 128, 128]
        var tiles = new List<Tensor>();
        for (long tile = 0; tile < features.shape[0]; tile++)
        {
            // One tile and label at a time: the 256 levels of more do not fit the cache and cost three times as much.
            using var scope = NewDisposeScope();
            var one = features.narrow(0, tile, 1);                                             // [1, 90, 128, 128]
            tiles.Add(cat([.. labels.Select(label => DistributionStatistics.Of(model.Network.Logits(one, label), layers))], 1).MoveToOuterDisposeScope());
        }

        cat(tiles, 0).contiguous().cpu().data<float>().CopyTo(images);                         // [N, labels x layers, 128, 128]
    }

    public override void Dispose()
    {
    }
}

/// <summary>By the <see cref="InferenceNetwork"/>, a tile at a time.</summary>
internal sealed class InferencePass(InferenceNetwork network) : ForwardPass
{
    private readonly Scratch scratch = new();

    public override void Run(Tensor patches, IReadOnlyList<int> labels, IReadOnlyList<MapLayer> layers, Span<float> images)
    {
        int tiles = (int)patches.shape[0], size = images.Length / tiles;
        for (int tile = 0; tile < tiles; tile++)
            network.Predict(patches.narrow(0, tile, 1), labels, layers, images.Slice(tile * size, size), scratch);
    }

    public override void Dispose() => scratch.Dispose();
}

using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// A <see cref="GlobalPixelTransformer"/> for prediction alone, in bfloat16 on the cpu: weights rounded once, batch norm folded, pixels as rows of
/// matrices, every concatenation one matrix whose columns its parts are computed into. Products are summed in float32, and their results rounded.
/// Any number of threads may share it, each with a <see cref="Scratch"/> of its own.
/// </summary>
internal sealed class InferenceNetwork : IDisposable
{
    // Pixels whose logits are computed at a time: one label's fit a core's cache.
    private const int SlabRows = 2048;

    private readonly Tensor stem;
    private readonly Stage[] encoder;
    private readonly Stage bottom;
    private readonly (InferenceResampling Up, Tensor Fuse, InferenceBlock Block, int Half, int Skip)[] decoder;
    private readonly DistributionHead[] heads;

    /// <summary>Takes the weights of a network on the cpu.</summary>
    public InferenceNetwork(GlobalPixelTransformer network)
    {
        ArgumentNullException.ThrowIfNull(network);
        using var gradients = no_grad();
        using var scope = NewDisposeScope();
        var options = network.Options;
        var widths = options.Widths();
        var weights = new NetworkWeights(network);
        var first = weights.Product("stem.weight");                                              // [S, 32]
        stem = cat([first, first], 0).DetachFromDisposeScope();                                  // [2S, 32]
        encoder = [.. widths.Encoder.Select((block, i) => NewStage($"encoder.{i}", "down", block, Scaling.Down))];
        bottom = NewStage("bottom", "same", widths.Bottom, Scaling.Same);
        decoder = new (InferenceResampling, Tensor, InferenceBlock, int, int)[encoder.Length];
        int below = widths.Bottom.Output;
        for (int i = 0; i < decoder.Length; i++)
        {
            string name = $"decoder.{i}";
            decoder[i] = (InferenceResampling.Of(weights, $"{name}.up", options, Scaling.Up), weights.Product($"{name}.fuse.weight"),
                new InferenceBlock(weights, $"{name}.dense", options.Block, widths.Decoder[i]), NetworkOptions.Half(below), widths.Encoder[^(i + 1)].Output);
            below = widths.Decoder[i].Output;
        }

        heads = [.. network.Labels.Select(label => new DistributionHead(weights, $"heads.{label}"))];

        Stage NewStage(string name, string resampling, BlockWidths block, Scaling scaling) => new(
            new InferenceBlock(weights, $"{name}.dense", options.Block, block), InferenceResampling.Of(weights, $"{name}.{resampling}", options, scaling));
    }

    /// <summary>What the heads read, in <paramref name="scratch"/>'s memory: [HW, 90].</summary>
    /// <param name="patches">[1, S, H, W], float32.</param>
    /// <param name="scratch">The thread's.</param>
    public PixelMatrix Features(Tensor patches, Scratch scratch)
    {
        int height = (int)patches.shape[2], width = (int)patches.shape[3];

        // Intensities are more exact than a bfloat16: the rest that it leaves goes in as well.
        var pixels = patches.permute(0, 2, 3, 1).flatten(0, 2);                                  // [HW, S]
        var rounded = pixels.to(ScalarType.BFloat16);
        var rest = (pixels - rounded.to(ScalarType.Float32)).to(ScalarType.BFloat16);
        encoder[0].Block.Input(scratch, height * width).SetProduct(cat([rounded, rest], 1), stem);   // [HW, 32]
        for (int i = 0; i < encoder.Length; i++)
        {
            var (block, down) = encoder[i];
            var (_, _, _, half, skip) = decoder[^(i + 1)];
            var output = Joined(scratch, i, height * width, half + skip).ColumnsFrom(half, skip);   // [HW, 64], [HW/4, 128], [HW/16, 256]
            block.Run(scratch, output, height, width);
            var next = i + 1 < encoder.Length ? encoder[i + 1].Block : bottom.Block;
            down.Run(scratch, output, next.Input(scratch, height * width / 4), height, width);
            (height, width) = (height / 2, width / 2);
        }

        var x = scratch.Matrix("bottom", height * width, bottom.Block.Channels);                         // [HW/64, 384]
        bottom.Block.Run(scratch, x, height, width);
        var same = scratch.Matrix("same", height * width, bottom.Block.Channels);
        bottom.Resampling.Run(scratch, x, same, height, width);
        x = same;
        for (int i = 0; i < decoder.Length; i++)
        {
            var (up, fuse, block, half, skip) = decoder[i];
            var joined = Joined(scratch, decoder.Length - 1 - i, 4 * height * width, half + skip);
            up.Run(scratch, x, joined.ColumnsFrom(0, half), height, width);
            (height, width) = (2 * height, 2 * width);
            block.Input(scratch, height * width).SetProduct(joined.Values, fuse);
            x = scratch.Matrix($"decoder.{i}", height * width, block.Channels);                  // [HW/16, 288], [HW/4, 168], [HW, 90]
            block.Run(scratch, x, height, width);
        }

        return x;
    }

    /// <summary>Predicts one tile.</summary>
    /// <param name="patches">[1, S, H, W], float32.</param>
    /// <param name="labels">The labels, by their index.</param>
    /// <param name="layers">What is kept of each label's distribution.</param>
    /// <param name="images">For each label and layer (label after label) H x W values, 0 to 1.</param>
    /// <param name="scratch">The thread's.</param>
    public void Predict(Tensor patches, IReadOnlyList<int> labels, IReadOnlyList<MapLayer> layers, Span<float> images, Scratch scratch)
    {
        using var gradients = no_grad();
        using var scope = NewDisposeScope();
        var features = Features(patches, scratch);
        int size = layers.Count * features.Rows;
        for (int first = 0; first < features.Rows; first += SlabRows)
        {
            using var slab = NewDisposeScope();
            var rows = features.RowsFrom(first, Math.Min(SlabRows, features.Rows - first));
            for (int i = 0; i < labels.Count; i++)
            {
                var head = heads[labels[i]];
                var logits = scratch.Matrix("logits", rows.Rows, head.Columns);                  // [n, 256]
                logits.SetProduct(rows.Values, head.Weight);
                head.Run(logits, layers, images.Slice(i * size, size), first, features.Rows);
            }
        }
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        stem.Dispose();
        foreach (var stage in encoder.Append(bottom))
        {
            stage.Block.Dispose();
            stage.Resampling.Dispose();
        }

        foreach (var (up, fuse, block, _, _) in decoder)
        {
            up.Dispose();
            fuse.Dispose();
            block.Dispose();
        }

        foreach (var head in heads)
            head.Dispose();
    }

    // The matrix that a decoder fuses: what comes up, and the encoder's block of that size.
    private static PixelMatrix Joined(Scratch scratch, int stage, int rows, int columns) => scratch.Matrix($"joined.{stage}", rows, columns);

    private sealed record Stage(InferenceBlock Block, InferenceResampling Resampling);
}

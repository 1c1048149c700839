using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>A <see cref="FeatureBlock"/> for prediction. Of a dense block all layers write columns of one matrix.</summary>
internal sealed class InferenceBlock : IDisposable
{
    private readonly string name;
    private readonly bool dense;
    private readonly BlockWidths widths;
    private readonly DenseConvolution[] layers;
    private readonly Tensor transition;

    /// <param name="weights">The network's.</param>
    /// <param name="name">The block's name in them, such as encoder.0.dense.</param>
    /// <param name="kind">Dense or plain.</param>
    /// <param name="widths">Its widths.</param>
    public InferenceBlock(NetworkWeights weights, string name, BlockKind kind, BlockWidths widths)
    {
        this.name = name;
        this.widths = widths;
        dense = kind == BlockKind.Dense;
        layers = [.. Enumerable.Range(0, widths.Layers).Select(i => new DenseConvolution(weights, $"{name}.layers.{i}"))];
        transition = weights.Product($"{name}.transition.weight");
    }

    /// <summary>Channels of the output, c.</summary>
    public int Channels => widths.Output;

    /// <summary>Where the block's input is to be written: [HW, C].</summary>
    public PixelMatrix Input(Scratch scratch, int rows) => All(scratch, rows).ColumnsFrom(0, widths.Input);

    /// <summary>Computes the block of its input: [HW, c].</summary>
    public void Run(Scratch scratch, PixelMatrix output, int height, int width)
    {
        int rows = height * width, channels = widths.Input;
        var all = All(scratch, rows);
        var x = all.ColumnsFrom(0, channels);
        foreach (var layer in layers)
        {
            var grown = dense ? all.ColumnsFrom(channels, layer.Channels) : scratch.Matrix($"{name}.{channels}", rows, layer.Channels);
            layer.Run(x, grown, scratch.Matrix("products", rows, layer.ProductColumns), height, width);
            channels = dense ? channels + layer.Channels : layer.Channels;
            x = dense ? all.ColumnsFrom(0, channels) : grown;          // eq. 2
        }

        output.SetProduct(x.Values, transition);
    }

    public void Dispose()
    {
        foreach (var layer in layers)
            layer.Dispose();
        transition.Dispose();
    }

    private PixelMatrix All(Scratch scratch, int rows) => scratch.Matrix(name, rows, dense ? widths.Output : widths.Input);
}

using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>One layer of a block: 3x3 convolution, batch norm, ReLU, dropout; [N,C,H,W] -> [N,c,H,W]. Tensor names:
/// conv.weight, norm.*.</summary>
public sealed class BlockLayer : nn.Module<Tensor, Tensor>
{
    private readonly Conv2d conv;
    private readonly BatchNorm2d norm;
    private readonly double dropout;

    /// <summary>A layer with libtorch's own initial weights; <see cref="GlobalPixelTransformer"/> replaces them.</summary>
    /// <param name="input">Channels of the input, C.</param>
    /// <param name="output">Channels of the output, c.</param>
    /// <param name="dropout">The probability with which training drops an activation.</param>
    public BlockLayer(int input, int output, double dropout)
        : base(nameof(BlockLayer))
    {
        this.dropout = dropout;
        conv = Convolutions.Spatial(input, output);
        norm = nn.BatchNorm2d(output);
        RegisterComponents();
    }

    /// <summary>[N,C,H,W] -> [N,c,H,W].</summary>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = nn.functional.relu(norm.call(conv.Convolve(Convolutions.ChannelsLast(input))));
        if (training && dropout > 0)
            x = nn.functional.dropout(x, dropout, training: true);
        return x.MoveToOuterDisposeScope();
    }
}

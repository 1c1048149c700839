using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// A dense block DB(L): L layers, each on the concatenation of the input and all outputs before it, then a 1x1 convolution
/// that keeps the width: [N,C,H,W] -> [N,C+L·growth,H,W] (the paper's section III-A). Of the plain kind, each layer sees
/// only the one before it and widens it by the growth rate. Tensor names: layers.{i}.conv.weight, layers.{i}.norm.*,
/// transition.weight.
/// </summary>
public sealed class FeatureBlock : nn.Module<Tensor, Tensor>
{
    private readonly ModuleList<BlockLayer> layers = [];
    private readonly Conv2d transition;
    private readonly BlockKind kind;

    /// <summary>A block with libtorch's own initial weights; <see cref="GlobalPixelTransformer"/> replaces them.</summary>
    /// <param name="kind">Dense or plain.</param>
    /// <param name="input">Channels of the input, C.</param>
    /// <param name="layerCount">Layers, L.</param>
    /// <param name="growth">Channels that each layer adds.</param>
    /// <param name="dropout">The probability with which training drops an activation.</param>
    public FeatureBlock(BlockKind kind, int input, int layerCount, int growth, double dropout)
        : base(nameof(FeatureBlock))
    {
        this.kind = kind;
        for (int i = 0, width = input; i < layerCount; i++, width += growth)
            layers.Add(new BlockLayer(width, kind == BlockKind.Dense ? growth : width + growth, dropout));
        int output = input + layerCount * growth;
        transition = Convolutions.Pointwise(output, output);
        RegisterComponents();
    }

    /// <summary>[N,C,H,W] -> [N,C+L·growth,H,W].</summary>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = input;
        foreach (var layer in layers)
        {
            var grown = layer.call(x);                                      // [N, growth, H, W]
            x = kind == BlockKind.Dense ? cat([x, grown], 1) : grown;       // [N, C + (i+1)·growth, H, W], eq. 2
        }

        return transition.Convolve(x).MoveToOuterDisposeScope();
    }
}

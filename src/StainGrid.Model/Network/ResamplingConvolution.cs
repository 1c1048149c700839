using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The ablation in a GPT layer's place: 3x3 convolution (or transposed convolution), batch norm, ReLU; [N,C,H,W] ->
/// [N,c,H',W']. Tensor names: conv.weight, norm.*.</summary>
public sealed class ResamplingConvolution : nn.Module<Tensor, Tensor>
{
    private readonly nn.Module<Tensor, Tensor> conv;
    private readonly BatchNorm2d norm;

    /// <summary>A layer with libtorch's own initial weights; <see cref="GlobalPixelTransformer"/> replaces them.</summary>
    /// <param name="input">Channels of the input, C.</param>
    /// <param name="output">Channels of the output, c.</param>
    /// <param name="scaling">Halve, keep or double height and width.</param>
    public ResamplingConvolution(int input, int output, Scaling scaling)
        : base(nameof(ResamplingConvolution))
    {
        conv = Convolutions.Spatial(input, output, scaling);
        norm = nn.BatchNorm2d(output);
        RegisterComponents();
    }

    /// <summary>[N,C,H,W] -> [N,c,H',W'].</summary>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return nn.functional.relu(norm.call(conv.Convolve(Convolutions.ChannelsLast(input)))).MoveToOuterDisposeScope();
    }
}

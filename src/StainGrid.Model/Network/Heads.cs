using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>One 1x1 convolution to the levels' logits for each label. Tensor names: {LABEL}.weight, {LABEL}.bias.</summary>
/// <remarks>Not a ModuleDict: TorchSharp 0.107 cannot move one to another device or type (its two indexers share a name in
/// the reflection that does it).</remarks>
internal sealed class Heads : nn.Module<Tensor, int, Tensor>
{
    private readonly Conv2d[] convolutions;

    public Heads(IReadOnlyList<string> labels, int input, int levels)
        : base(nameof(Heads))
    {
        convolutions = [.. labels.Select(_ => Convolutions.Pointwise(input, levels, bias: true))];
        for (int i = 0; i < labels.Count; i++)
            register_module(labels[i], convolutions[i]);
    }

    public Conv2d this[int label] => convolutions[label];

    public override Tensor forward(Tensor features, int label) => convolutions[label].Convolve(features);   // [N, levels, H, W]
}

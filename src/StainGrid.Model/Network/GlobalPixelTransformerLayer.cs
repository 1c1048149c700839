using TorchSharp.Modules;
using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// A GPT layer: every pixel of the output attends to every pixel of the input (the paper's section III-B; GDT, GST and GUT).
/// Queries come from a 3x3 convolution that has the output's size, keys and values from 1x1 convolutions of the input:
/// [N,C,H,W] -> [N,c,H',W'], H' and W' being half, the same or double.
/// </summary>
/// <remarks>
/// Equation 6 prints no scale; the authors' code divides by √c, and without it training barely moves, so both variants do.
/// Tensor names: norm.* (residual variant), query.weight, key.weight, value.weight.
/// </remarks>
public sealed class GlobalPixelTransformerLayer : nn.Module<Tensor, Tensor>
{
    private readonly BatchNorm2d? norm;
    private readonly nn.Module<Tensor, Tensor> query;
    private readonly Conv2d key;
    private readonly Conv2d value;
    private readonly bool residual;

    /// <summary>A layer with libtorch's own initial weights; <see cref="GlobalPixelTransformer"/> replaces them.</summary>
    /// <param name="input">Channels of the input, C.</param>
    /// <param name="output">Channels of queries, keys, values and the output, c.</param>
    /// <param name="scaling">Down (GDT), same (GST) or up (GUT).</param>
    /// <param name="variant">Residual: batch norm and ReLU before, and Q added to O.</param>
    public GlobalPixelTransformerLayer(int input, int output, Scaling scaling, NetworkVariant variant)
        : base(nameof(GlobalPixelTransformerLayer))
    {
        residual = variant == NetworkVariant.Residual;
        norm = residual ? nn.BatchNorm2d(input) : null;
        query = Convolutions.Spatial(input, output, scaling);
        key = Convolutions.Pointwise(input, output);
        value = Convolutions.Pointwise(input, output);
        RegisterComponents();
    }

    /// <summary>Makes O zero, so that a residual layer is its queries alone, until its values learn.</summary>
    internal void ClearValues() => value.weight!.zero_();

    /// <summary>Leaves O out, which costs nothing then: the same result while the values are zero, but they do not learn.</summary>
    internal bool QueriesAlone { get; set; }

    /// <summary>[N,C,H,W] -> [N,c,H',W'].</summary>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = norm is null ? input : nn.functional.relu(norm.call(input));   // [N, C, H, W]
        var queries = query.Convolve(Convolutions.ChannelsLast(x));                // [N, c, H', W'], eq. 3
        if (QueriesAlone)
            return queries.MoveToOuterDisposeScope();
        var q = Pixels(queries);                                               // [N, 1, H'W', c], eq. 4
        var k = Pixels(key.Convolve(x));                                           // [N, 1, HW, c]
        var v = Pixels(value.Convolve(x));                                         // [N, 1, HW, c]

        // eq. 6, scaled by 1/√c. Contiguous pixels let libtorch take its blocked kernel, forward and backward, which never
        // holds the [H'W', HW] matrix: 268 MB a tile in the first GDT.
        var o = is_grad_enabled() && BlockedAttentionFunction.Takes(q)
            ? BlockedAttentionFunction.Attend(q, k, v)
            : nn.functional.scaled_dot_product_attention(q, k, v);             // [N, 1, H'W', c]
        var output = o.squeeze(1).transpose(1, 2).reshape(queries.shape);      // [N, c, H', W'], eq. 7
        if (residual)
        {
            using Scalar one = 1;                                              // see HeldScalars
            output = output.add(queries, one);
        }

        return output.MoveToOuterDisposeScope();
    }

    // The pixels as rows: [N, c, H, W] -> [N, 1, HW, c].
    private static Tensor Pixels(Tensor x) => x.flatten(2).transpose(1, 2).contiguous().unsqueeze(1);
}

using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The convolutions of the network; none has a bias but the heads'.</summary>
internal static class Convolutions
{
    /// <summary>1x1: [N,input,H,W] -> [N,output,H,W].</summary>
    public static Conv2d Pointwise(int input, int output, bool bias = false) => nn.Conv2d(input, output, 1L, bias: bias);

    /// <summary>3x3, zero padding of one: [N,input,H,W] -> [N,output,H/stride,W/stride].</summary>
    public static Conv2d Spatial(int input, int output, int stride = 1) =>
        nn.Conv2d(input, output, 3L, stride: stride, padding: 1L, bias: false);

    /// <summary>3x3 for down, same and up. Up is the transposed convolution of stride 2 whose output padding of one makes
    /// the size double exactly; output pixel 2i lies over input pixel i, as in the strided convolution.</summary>
    public static nn.Module<Tensor, Tensor> Spatial(int input, int output, Scaling scaling) => scaling switch
    {
        Scaling.Down => Spatial(input, output, stride: 2),
        Scaling.Same => Spatial(input, output, stride: 1),
        Scaling.Up => nn.ConvTranspose2d(input, output, 3L, stride: 2, padding: 1, output_padding: 1, bias: false),
        _ => throw new ArgumentOutOfRangeException(nameof(scaling)),
    };

    /// <summary>A convolution in its input's type: where that is bfloat16, the weight is rounded for it, and gets its gradient in float32.</summary>
    public static Tensor Convolve(this Conv2d conv, Tensor x)
    {
        var weight = conv.weight!;
        if (weight.dtype == x.dtype)
            return conv.call(x);
        using var scope = NewDisposeScope();
        return nn.functional.conv2d(x, weight.to(x.dtype), conv.bias?.to(x.dtype), strides: conv.stride, padding: conv.padding).MoveToOuterDisposeScope();
    }

    /// <inheritdoc cref="Convolve(Conv2d, Tensor)"/>
    public static Tensor Convolve(this nn.Module<Tensor, Tensor> conv, Tensor x)
    {
        if (conv is Conv2d plain)
            return plain.Convolve(x);
        var up = (ConvTranspose2d)conv;
        if (up.weight!.dtype == x.dtype)
            return up.call(x);
        using var scope = NewDisposeScope();
        return nn.functional.conv_transpose2d(x, up.weight.to(x.dtype), null, strides: up.stride, padding: up.padding, output_padding: up.output_padding).MoveToOuterDisposeScope();
    }

    /// <summary>The same values with each pixel's channels side by side in memory; free where they are already. Every 3x3
    /// convolution gets its input so: it saves reordering, and on processors whose caches libtorch 2.10 cannot see (a
    /// virtual EPYC), its convolution of the other layout adds garbage, forward and backward, where the input channels are
    /// more than 16 and no multiple of it.</summary>
    public static Tensor ChannelsLast(Tensor x) => x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2);
}

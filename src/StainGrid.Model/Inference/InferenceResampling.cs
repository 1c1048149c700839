using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>What stands between two stages, for prediction: [HW, C] -> [H'W', c].</summary>
internal abstract class InferenceResampling : IDisposable
{
    private readonly Scaling scaling;

    protected InferenceResampling(Scaling scaling) => this.scaling = scaling;

    /// <summary>The layer of a name, such as encoder.0.down.</summary>
    public static InferenceResampling Of(NetworkWeights weights, string name, NetworkOptions options, Scaling scaling) =>
        options.Resampling == Resampling.Attention
            ? new InferenceAttention(weights, name, options.Variant, scaling)
            : new InferenceConvolution(weights, name, scaling);

    /// <summary>Computes the layer.</summary>
    public abstract void Run(Scratch scratch, PixelMatrix input, PixelMatrix output, int height, int width);

    public abstract void Dispose();

    /// <summary>The 3x3 convolution: [HW, C] -> [H'W', c].</summary>
    protected PixelMatrix Convolve(PixelMatrix input, Tensor weight, Tensor? bias, int height, int width)
    {
        var image = input.Values.view(1, height, width, input.Columns).permute(0, 3, 1, 2);                 // [1, C, H, W], channels last
        var output = scaling == Scaling.Up
            ? nn.functional.conv_transpose2d(image, weight, bias, strides: [2], padding: [1], output_padding: [1])
            : nn.functional.conv2d(image, weight, bias, strides: [scaling == Scaling.Down ? 2 : 1], padding: [1]);
        return new PixelMatrix(output.permute(0, 2, 3, 1).contiguous().view(-1, output.shape[1]));
    }
}

/// <summary>A <see cref="GlobalPixelTransformerLayer"/> for prediction.</summary>
internal sealed class InferenceAttention : InferenceResampling
{
    private readonly bool residual;
    private readonly float[] scale = [];
    private readonly float[] shift = [];
    private readonly Tensor query;
    private readonly Tensor key;
    private readonly Tensor value;

    public InferenceAttention(NetworkWeights weights, string name, NetworkVariant variant, Scaling scaling)
        : base(scaling)
    {
        using var scope = NewDisposeScope();
        residual = variant == NetworkVariant.Residual;
        if (residual)
        {
            var norm = weights.Norm(name + ".norm");
            (scale, shift) = (norm.Scale.data<float>().ToArray(), norm.Shift.data<float>().ToArray());
        }

        int channels = (int)weights[name + ".key.weight"].shape[0];
        query = weights[name + ".query.weight"].to(ScalarType.BFloat16).DetachFromDisposeScope();
        key = weights.Product(name + ".key.weight", 1 / (Math.Log(2) * Math.Sqrt(channels)));               // eq. 6, scaled, to the base of 2
        value = weights.Product(name + ".value.weight", columns: BlockedAttention.PaddedColumns(channels));
    }

    public override void Run(Scratch scratch, PixelMatrix input, PixelMatrix output, int height, int width)
    {
        var x = residual ? Activate(input, scratch.Matrix("activated", input.Rows, input.Columns)) : input;  // [HW, C]
        var queries = Convolve(x, query, null, height, width);                                               // [H'W', c], eq. 3
        var keys = scratch.Matrix("keys", x.Rows, queries.Columns);                                          // [HW, c]
        var values = scratch.Matrix("values", x.Rows, BlockedAttention.PaddedColumns(queries.Columns));      // [HW, c]
        keys.SetProduct(x.Values, key);
        values.SetProduct(x.Values, value);
        scratch.Attention.Run(queries, keys, values, residual, output, scratch);                             // eq. 6 and 7
    }

    public override void Dispose()
    {
        query.Dispose();
        key.Dispose();
        value.Dispose();
    }

    // Batch norm and ReLU.
    private PixelMatrix Activate(PixelMatrix input, PixelMatrix output)
    {
        Span<ushort> from = input.Span, to = output.Span;
        int channels = scale.Length, vectors = channels / BFloat16Vector.Lanes * BFloat16Vector.Lanes;
        for (int row = 0; row < input.Rows; row++)
        {
            var source = from.Slice(row * input.Stride, channels);
            var target = to.Slice(row * output.Stride, channels);
            for (int i = 0; i < vectors; i += BFloat16Vector.Lanes)
            {
                var value = Vector512.FusedMultiplyAdd(BFloat16Vector.Load(ref source[i]), Vector512.LoadUnsafe(ref scale[i]), Vector512.LoadUnsafe(ref shift[i]));
                BFloat16Vector.Store(Vector512.MaxNative(value, Vector512<float>.Zero), ref target[i]);
            }

            for (int i = vectors; i < channels; i++)
                target[i] = BFloat16Vector.FromSingle(Math.Max(MathF.FusedMultiplyAdd(BFloat16Vector.ToSingle(source[i]), scale[i], shift[i]), 0));
        }

        return output;
    }
}

/// <summary>A <see cref="ResamplingConvolution"/> for prediction: batch norm folded into it.</summary>
internal sealed class InferenceConvolution : InferenceResampling
{
    private readonly Tensor weight;
    private readonly Tensor bias;

    public InferenceConvolution(NetworkWeights weights, string name, Scaling scaling)
        : base(scaling)
    {
        using var scope = NewDisposeScope();
        var (scale, shift) = weights.Norm(name + ".norm");
        var folded = weights[name + ".conv.weight"] * (scaling == Scaling.Up ? scale.view(1, -1, 1, 1) : scale.view(-1, 1, 1, 1));
        weight = folded.to(ScalarType.BFloat16).DetachFromDisposeScope();
        bias = shift.to(ScalarType.BFloat16).DetachFromDisposeScope();
    }

    public override void Run(Scratch scratch, PixelMatrix input, PixelMatrix output, int height, int width) =>
        output.Values.copy_(Convolve(input, weight, bias, height, width).Values.relu_());

    public override void Dispose()
    {
        weight.Dispose();
        bias.Dispose();
    }
}

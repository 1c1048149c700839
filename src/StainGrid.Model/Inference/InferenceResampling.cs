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

    /// <summary>A 3x3 convolution's weight as <see cref="Convolve"/> takes it: for down and same [9C, c], the right side of a product; for up as it is.</summary>
    protected Tensor Prepare(Tensor weight) => (scaling == Scaling.Up ? weight.alias() : weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous())
        .to(ScalarType.BFloat16).DetachFromDisposeScope();

    /// <summary>The 3x3 convolution: [HW, C] -> [H'W', c].</summary>
    protected PixelMatrix Convolve(Scratch scratch, PixelMatrix input, Tensor weight, int height, int width)
    {
        if (scaling == Scaling.Up)
        {
            var image = input.Values.view(1, height, width, input.Columns).permute(0, 3, 1, 2);             // [1, C, H, W], channels last
            var output = nn.functional.conv_transpose2d(image, weight, strides: [2], padding: [1], output_padding: [1]);
            return new PixelMatrix(output.permute(0, 2, 3, 1).contiguous().view(-1, output.shape[1]));
        }

        // The nine pixels that an output sees become a row: libtorch's convolution orders its weights anew at each call, and where they are many that is most of it.
        int stride = scaling == Scaling.Down ? 2 : 1, rows = height / stride, columns = width / stride;
        var seen = Gather(input, scratch.Matrix("seen", rows * columns, 9 * input.Columns), height, width, stride);
        var result = scratch.Matrix("convolved", rows * columns, (int)weight.shape[1]);
        result.SetProduct(seen.Values, weight);
        return result;
    }

    /// <summary>max(0, x * scale + shift) for each channel; x + shift without a scale.</summary>
    protected static PixelMatrix Activate(PixelMatrix input, float[]? scale, float[] shift, PixelMatrix output)
    {
        Span<ushort> from = input.Span, to = output.Span;
        int channels = shift.Length, vectors = channels / BFloat16Vector.Lanes * BFloat16Vector.Lanes;
        for (int row = 0; row < input.Rows; row++)
        {
            var source = from.Slice(row * input.Stride, channels);
            var target = to.Slice(row * output.Stride, channels);
            for (int i = 0; i < vectors; i += BFloat16Vector.Lanes)
            {
                var factor = scale is null ? Vector512<float>.One : Vector512.LoadUnsafe(ref scale[i]);
                var value = Vector512.FusedMultiplyAdd(BFloat16Vector.Load(ref source[i]), factor, Vector512.LoadUnsafe(ref shift[i]));
                BFloat16Vector.Store(Vector512.MaxNative(value, Vector512<float>.Zero), ref target[i]);
            }

            for (int i = vectors; i < channels; i++)
                target[i] = BFloat16Vector.FromSingle(Math.Max(MathF.FusedMultiplyAdd(BFloat16Vector.ToSingle(source[i]), scale?[i] ?? 1, shift[i]), 0));
        }

        return output;
    }

    private static PixelMatrix Gather(PixelMatrix input, PixelMatrix seen, int height, int width, int stride)
    {
        Span<ushort> from = input.Span, to = seen.Span;
        int channels = input.Columns, columns = width / stride;
        for (int row = 0; row < seen.Rows; row++)
        {
            for (int tap = 0; tap < 9; tap++)
            {
                int y = row / columns * stride + tap / 3 - 1, x = row % columns * stride + tap % 3 - 1;
                var target = to.Slice((row * 9 + tap) * channels, channels);
                if ((uint)y < (uint)height && (uint)x < (uint)width)
                    from.Slice((y * width + x) * input.Stride, channels).CopyTo(target);
                else
                    target.Clear();   // zeros beyond the border
            }
        }

        return seen;
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
        query = Prepare(weights[name + ".query.weight"]);
        key = weights.Product(name + ".key.weight", 1 / (Math.Log(2) * Math.Sqrt(channels)));               // eq. 6, scaled, to the base of 2
        value = weights.Product(name + ".value.weight", columns: BlockedAttention.PaddedColumns(channels));
    }

    public override void Run(Scratch scratch, PixelMatrix input, PixelMatrix output, int height, int width)
    {
        var x = residual ? Activate(input, scale, shift, scratch.Matrix("activated", input.Rows, input.Columns)) : input;  // [HW, C]
        var queries = Convolve(scratch, x, query, height, width);                                            // [H'W', c], eq. 3
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
}

/// <summary>A <see cref="ResamplingConvolution"/> for prediction: batch norm folded into it.</summary>
internal sealed class InferenceConvolution : InferenceResampling
{
    private readonly Tensor weight;
    private readonly float[] shift;

    public InferenceConvolution(NetworkWeights weights, string name, Scaling scaling)
        : base(scaling)
    {
        using var scope = NewDisposeScope();
        var norm = weights.Norm(name + ".norm");
        weight = Prepare(weights[name + ".conv.weight"] * (scaling == Scaling.Up ? norm.Scale.view(1, -1, 1, 1) : norm.Scale.view(-1, 1, 1, 1)));
        shift = norm.Shift.data<float>().ToArray();
    }

    public override void Run(Scratch scratch, PixelMatrix input, PixelMatrix output, int height, int width) =>
        Activate(Convolve(scratch, input, weight, height, width), null, shift, output);

    public override void Dispose() => weight.Dispose();
}

namespace StainGrid.Model.Tests;

/// <summary>One image in float64, [channel, row, column].</summary>
internal sealed class Volume(int channels, int height, int width)
{
    public int Channels => channels;

    public int Height => height;

    public int Width => width;

    public double[] Values { get; } = new double[channels * height * width];

    public ref double this[int channel, int row, int column] => ref Values[((channel * height) + row) * width + column];

    /// <summary>Zero outside the image.</summary>
    public double Padded(int channel, int row, int column) =>
        row < 0 || column < 0 || row >= height || column >= width ? 0 : this[channel, row, column];
}

/// <summary>A convolution's weights in float64, [first, second, row, column].</summary>
internal sealed record Kernel(double[] Values, int First, int Second, int Side)
{
    public double this[int first, int second, int row, int column] => Values[((((first * Second) + second) * Side) + row) * Side + column];
}

/// <summary>
/// The network as plain loops in float64, from the paper and the design, without torch: what the real layers are compared
/// with. Batch norm is that of evaluation.
/// </summary>
/// <param name="weights">Kernels (four dimensions) and vectors (one) by the names of the model file.</param>
internal sealed class Reference(IReadOnlyDictionary<string, (long[] Shape, double[] Values)> weights)
{
    private const double Epsilon = 1e-5;

    public Volume Network(NetworkOptions options, Volume patches)
    {
        var x = Convolve(patches, Kernel("stem.weight"), stride: 1);
        var skips = new Stack<Volume>();
        for (int stage = 0; stage < options.EncoderLayers.Count; stage++)
        {
            x = Block($"encoder.{stage}.dense", options.Block, x);
            skips.Push(x);
            x = Resample($"encoder.{stage}.down", options, Scaling.Down, x);
        }

        x = Block("bottom.dense", options.Block, x);
        x = Resample("bottom.same", options, Scaling.Same, x);
        for (int stage = 0; stage < options.DecoderLayers.Count; stage++)
        {
            x = Resample($"decoder.{stage}.up", options, Scaling.Up, x);
            x = Convolve(Concatenate(x, skips.Pop()), Kernel($"decoder.{stage}.fuse.weight"), stride: 1);
            x = Block($"decoder.{stage}.dense", options.Block, x);
        }

        return x;
    }

    public Volume Head(string label, Volume features)
    {
        var logits = Convolve(features, Kernel($"heads.{label}.weight"), stride: 1);
        double[] bias = weights[$"heads.{label}.bias"].Values;
        return Each(logits, (channel, value) => value + bias[channel]);
    }

    public Volume Resample(string name, NetworkOptions options, Scaling scaling, Volume x)
    {
        if (options.Resampling == Resampling.Attention)
            return Attention(name, options.Variant, scaling, x);
        return Relu(Norm($"{name}.norm", ConvolveTo(scaling, x, $"{name}.conv.weight")));
    }

    public Volume Block(string name, BlockKind kind, Volume x)
    {
        for (int layer = 0; weights.ContainsKey($"{name}.layers.{layer}.conv.weight"); layer++)
        {
            var grown = Convolve(x, Kernel($"{name}.layers.{layer}.conv.weight"), stride: 1);
            grown = Relu(Norm($"{name}.layers.{layer}.norm", grown));
            x = kind == BlockKind.Dense ? Concatenate(x, grown) : grown;
        }

        return Convolve(x, Kernel($"{name}.transition.weight"), stride: 1);
    }

    /// <summary>Output pixel by output pixel: its query against the key of every input pixel, softmax, the weighted sum of
    /// the values.</summary>
    public Volume Attention(string name, NetworkVariant variant, Scaling scaling, Volume x)
    {
        if (variant == NetworkVariant.Residual)
            x = Relu(Norm($"{name}.norm", x));
        var query = ConvolveTo(scaling, x, $"{name}.query.weight");
        var key = Convolve(x, Kernel($"{name}.key.weight"), stride: 1);
        var value = Convolve(x, Kernel($"{name}.value.weight"), stride: 1);
        int width = query.Channels, keys = x.Height * x.Width;
        var output = new Volume(width, query.Height, query.Width);
        for (int row = 0; row < query.Height; row++)
        {
            for (int column = 0; column < query.Width; column++)
            {
                var scores = new double[keys];
                for (int i = 0; i < keys; i++)
                {
                    for (int c = 0; c < width; c++)
                        scores[i] += query[c, row, column] * key[c, i / x.Width, i % x.Width] / Math.Sqrt(width);
                }

                double largest = scores.Max(), sum = scores.Sum(score => Math.Exp(score - largest));
                for (int c = 0; c < width; c++)
                {
                    for (int i = 0; i < keys; i++)
                        output[c, row, column] += Math.Exp(scores[i] - largest) / sum * value[c, i / x.Width, i % x.Width];
                    if (variant == NetworkVariant.Residual)
                        output[c, row, column] += query[c, row, column];
                }
            }
        }

        return output;
    }

    /// <summary>Kernel [output, input, side, side], zero padding of side/2.</summary>
    public static Volume Convolve(Volume x, Kernel kernel, int stride)
    {
        Assert.Equal(kernel.Second, x.Channels);
        int padding = kernel.Side / 2;
        var output = new Volume(kernel.First, (x.Height + stride - 1) / stride, (x.Width + stride - 1) / stride);
        for (int o = 0; o < output.Channels; o++)
        {
            for (int row = 0; row < output.Height; row++)
            {
                for (int column = 0; column < output.Width; column++)
                {
                    double sum = 0;
                    for (int i = 0; i < x.Channels; i++)
                    {
                        for (int r = 0; r < kernel.Side; r++)
                        {
                            for (int c = 0; c < kernel.Side; c++)
                                sum += kernel[o, i, r, c] * x.Padded(i, (row * stride) + r - padding, (column * stride) + c - padding);
                        }
                    }

                    output[o, row, column] = sum;
                }
            }
        }

        return output;
    }

    /// <summary>Kernel [input, output, 3, 3]: input pixel (r, c) is added, weighted, to the 3x3 around output pixel (2r, 2c).</summary>
    public static Volume ConvolveTransposed(Volume x, Kernel kernel)
    {
        Assert.Equal(kernel.First, x.Channels);
        var output = new Volume(kernel.Second, 2 * x.Height, 2 * x.Width);
        for (int i = 0; i < x.Channels; i++)
        {
            for (int row = 0; row < x.Height; row++)
            {
                for (int column = 0; column < x.Width; column++)
                {
                    for (int o = 0; o < output.Channels; o++)
                    {
                        for (int r = -1; r <= 1; r++)
                        {
                            for (int c = -1; c <= 1; c++)
                            {
                                int y = (2 * row) + r, z = (2 * column) + c;
                                if (y >= 0 && z >= 0 && y < output.Height && z < output.Width)
                                    output[o, y, z] += x[i, row, column] * kernel[i, o, r + 1, c + 1];
                            }
                        }
                    }
                }
            }
        }

        return output;
    }

    private Volume ConvolveTo(Scaling scaling, Volume x, string kernel) => scaling == Scaling.Up
        ? ConvolveTransposed(x, Kernel(kernel))
        : Convolve(x, Kernel(kernel), scaling == Scaling.Down ? 2 : 1);

    private Volume Norm(string name, Volume x)
    {
        double[] mean = weights[$"{name}.running_mean"].Values, variance = weights[$"{name}.running_var"].Values;
        double[] scale = weights[$"{name}.weight"].Values, shift = weights[$"{name}.bias"].Values;
        return Each(x, (c, value) => ((value - mean[c]) / Math.Sqrt(variance[c] + Epsilon) * scale[c]) + shift[c]);
    }

    private Kernel Kernel(string name)
    {
        var (shape, values) = weights[name];
        return new Kernel(values, (int)shape[0], (int)shape[1], (int)shape[2]);
    }

    private static Volume Relu(Volume x) => Each(x, (_, value) => Math.Max(0, value));

    private static Volume Each(Volume x, Func<int, double, double> map)
    {
        var output = new Volume(x.Channels, x.Height, x.Width);
        for (int i = 0; i < x.Values.Length; i++)
            output.Values[i] = map(i / (x.Height * x.Width), x.Values[i]);
        return output;
    }

    private static Volume Concatenate(Volume a, Volume b)
    {
        var output = new Volume(a.Channels + b.Channels, a.Height, a.Width);
        a.Values.CopyTo(output.Values, 0);
        b.Values.CopyTo(output.Values, a.Values.Length);
        return output;
    }
}

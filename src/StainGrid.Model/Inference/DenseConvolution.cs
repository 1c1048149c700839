using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>A block's layer: 3x3 convolution, batch norm and ReLU. It reads some columns of the block's matrix and writes the next ones, so that nothing is
/// concatenated: one product gives what each pixel adds to its nine neighbours, and a pass adds these up.</summary>
internal sealed class DenseConvolution : IDisposable
{
    private const int Taps = 9;

    private readonly Tensor weight;
    private readonly float[] bias;

    /// <param name="weights">The network's.</param>
    /// <param name="name">The layer's name in them, such as encoder.0.dense.layers.1.</param>
    public DenseConvolution(NetworkWeights weights, string name)
    {
        using var scope = NewDisposeScope();
        var (scale, shift) = weights.Norm(name + ".norm");
        var folded = weights[name + ".conv.weight"] * scale.view(-1, 1, 1, 1);               // [c, C, 3, 3]
        weight = folded.permute(1, 2, 3, 0).flatten(1).contiguous()                          // [C, 9c], tap after tap
            .to(ScalarType.BFloat16).DetachFromDisposeScope();
        bias = shift.data<float>().ToArray();
        ProductColumns = Taps * Channels;
    }

    /// <summary>Output channels, c.</summary>
    public int Channels => bias.Length;

    /// <summary>Columns that the products take: nine for each output channel.</summary>
    public int ProductColumns { get; }

    /// <summary>[HW, C] -> [HW, c].</summary>
    /// <param name="input">The input.</param>
    /// <param name="output">The output; may be other columns of the input's matrix.</param>
    /// <param name="products">[HW, <see cref="ProductColumns"/>], for use here.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    public void Run(PixelMatrix input, PixelMatrix output, PixelMatrix products, int height, int width)
    {
        products.SetProduct(input.Values, weight);
        ref ushort from = ref MemoryMarshal.GetReference(products.Span);
        var to = output.Span;
        Span<int> near = stackalloc int[Taps], taps = stackalloc int[Taps];
        for (int tap = 0; tap < Taps; tap++)
            near[tap] = ((tap / 3 - 1) * width + tap % 3 - 1) * ProductColumns + tap * Channels;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                int pixel = y * width + x, count = 0;
                bool inside = x > 0 && y > 0 && x < width - 1 && y < height - 1;
                for (int tap = 0; tap < Taps && !inside; tap++)
                {
                    if ((uint)(y + tap / 3 - 1) < (uint)height && (uint)(x + tap % 3 - 1) < (uint)width)   // zeros beyond the border
                        taps[count++] = near[tap];
                }

                Sum(ref Unsafe.Add(ref from, pixel * ProductColumns), inside ? near : taps[..count], to.Slice(pixel * output.Stride, Channels));
            }
        }
    }

    public void Dispose() => weight.Dispose();

    // The ReLU of the bias and what lies at some distances from a pixel's first product.
    private void Sum(ref ushort from, ReadOnlySpan<int> taps, Span<ushort> to)
    {
        int i = 0;
        for (; i <= to.Length - BFloat16Vector.Lanes; i += BFloat16Vector.Lanes)
        {
            var sum = Vector512.LoadUnsafe(ref bias[i]);
            foreach (int tap in taps)
                sum += BFloat16Vector.Load(ref Unsafe.Add(ref from, tap + i));
            BFloat16Vector.Store(Vector512.MaxNative(sum, Vector512<float>.Zero), ref to[i]);
        }

        for (; i < to.Length; i++)
        {
            float sum = bias[i];
            foreach (int tap in taps)
                sum += BFloat16Vector.ToSingle(Unsafe.Add(ref from, tap + i));
            to[i] = BFloat16Vector.FromSingle(Math.Max(sum, 0));
        }
    }
}

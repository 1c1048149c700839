using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The gradient of equation 6 for one tile, by blocks: with S = Q Kᵀ / √c, P = softmax(S), O = P V and D the rows' sums of dO O,
/// dV = Pᵀ dO, dS = P (dO Vᵀ - D), dQ = dS K / √c, dK = dSᵀ Q / √c. Five products a block, by libtorch; one pass makes P and dS of the first two.</summary>
internal static class BlockedAttentionGradient
{
    private const int MostQueries = 512;
    private const int MostKeys = 2048;

    /// <summary>What keys are multiplied by, so that 2 to the power of a score is its weight: log2(e)/√c.</summary>
    public static double KeyScale(long channels) => 1 / (Math.Log(2) * Math.Sqrt(channels));

    /// <summary>Computes the gradient.</summary>
    /// <param name="queries">Q, [M, c], bfloat16 and contiguous as all tensors here.</param>
    /// <param name="keys">K, [n, c].</param>
    /// <param name="values">V, [n, c].</param>
    /// <param name="output">O, [M, c].</param>
    /// <param name="logarithms">Of each query the logarithm to the base of 2 of the sum of its weights.</param>
    /// <param name="gradient">dO, [M, c].</param>
    /// <param name="dQueries">Becomes dQ.</param>
    /// <param name="dKeys">Becomes dK.</param>
    /// <param name="dValues">Becomes dV.</param>
    /// <param name="scratch">Matrices for use here.</param>
    public static void Run(Tensor queries, Tensor keys, Tensor values, Tensor output, Span<float> logarithms, Tensor gradient,
        Tensor dQueries, Tensor dKeys, Tensor dValues, Scratch scratch)
    {
        using var scope = NewDisposeScope();
        int rows = (int)queries.shape[0], count = (int)keys.shape[0], channels = (int)queries.shape[1];
        var scaled = keys * KeyScale(channels);                                                        // [n, c]
        float[] products = (gradient.to(ScalarType.Float32) * output).sum(1).data<float>().ToArray();  // D, [M]
        var q = zeros([rows, channels]);                                                               // sums in float32
        for (int firstKey = 0; firstKey < count; firstKey += MostKeys)
        {
            using var keyScope = NewDisposeScope();
            int keyCount = Math.Min(MostKeys, count - firstKey);
            var someKeys = scaled.narrow(0, firstKey, keyCount);                                       // [k, c]
            var (keysAcross, valuesAcross) = (someKeys.t(), values.narrow(0, firstKey, keyCount).t()); // [c, k]
            Tensor k = zeros([keyCount, channels]), v = zeros([keyCount, channels]);
            for (int first = 0; first < rows; first += MostQueries)
            {
                using var blockScope = NewDisposeScope();
                int some = Math.Min(MostQueries, rows - first);
                var (someQueries, someGradient) = (queries.narrow(0, first, some), gradient.narrow(0, first, some));
                var weights = scratch.Matrix("weights", some, keyCount);                               // [q, k]
                var slopes = scratch.Matrix("slopes", some, keyCount);                                 // [q, k]
                weights.SetProduct(someQueries, keysAcross);
                slopes.SetProduct(someGradient, valuesAcross);
                Differentiate(weights, slopes, logarithms.Slice(first, some), products.AsSpan(first, some));
                v.add_(weights.Values.t().mm(someGradient));
                k.add_(slopes.Values.t().mm(someQueries));
                q.narrow(0, first, some).add_(slopes.Values.mm(someKeys));
            }

            dKeys.narrow(0, firstKey, keyCount).copy_(k.mul_(1 / Math.Sqrt(channels)));
            dValues.narrow(0, firstKey, keyCount).copy_(v);
        }

        dQueries.copy_(q.mul_(Math.Log(2)));
    }

    // Scores become P = 2^(score - logarithm), and the gradient of P becomes that of S, P (dP - D).
    private static void Differentiate(PixelMatrix weights, PixelMatrix slopes, Span<float> logarithms, Span<float> products)
    {
        Span<ushort> scores = weights.Span, changes = slopes.Span;
        int columns = weights.Columns, whole = columns / (2 * BFloat16Vector.Lanes) * (2 * BFloat16Vector.Lanes);
        for (int row = 0; row < weights.Rows; row++)
        {
            var line = scores.Slice(row * columns, columns);
            var change = changes.Slice(row * columns, columns);
            float logarithm = logarithms[row], product = products[row];
            Differentiate(ref MemoryMarshal.GetReference(line), ref MemoryMarshal.GetReference(change), (nuint)whole / 2, logarithm, product);
            for (int i = whole; i < columns; i++)
            {
                float weight = BFloat16Vector.Exp2(Vector512.Create(BFloat16Vector.ToSingle(line[i]) - logarithm)).ToScalar();
                line[i] = BFloat16Vector.FromSingle(weight);
                change[i] = BFloat16Vector.FromSingle(weight * (BFloat16Vector.ToSingle(change[i]) - product));
            }
        }
    }

    private static void Differentiate(ref ushort line, ref ushort change, nuint count, float logarithm, float product)
    {
        ref uint scores = ref Unsafe.As<ushort, uint>(ref line);
        ref uint slopes = ref Unsafe.As<ushort, uint>(ref change);
        var units = Vector512.Create((float)BFloat16Vector.ExponentUnits);
        var offset = Vector512.Create(BFloat16Vector.ExponentOffset(logarithm));
        var less = Vector512.Create(product);
        for (nuint i = 0; i < count; i += BFloat16Vector.Lanes)
        {
            var pair = Vector512.LoadUnsafe(ref scores, i);
            var weights = BFloat16Vector.Exp2Pairs(
                Vector512.FusedMultiplyAdd(BFloat16Vector.First(pair), units, offset), Vector512.FusedMultiplyAdd(BFloat16Vector.Second(pair), units, offset));
            weights.StoreUnsafe(ref scores, i);
            var slope = Vector512.LoadUnsafe(ref slopes, i);
            BFloat16Vector.Pairs(
                BFloat16Vector.First(weights) * (BFloat16Vector.First(slope) - less), BFloat16Vector.Second(weights) * (BFloat16Vector.Second(slope) - less))
                .StoreUnsafe(ref slopes, i);
        }
    }
}

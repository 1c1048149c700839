using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// Attention of equation 6 in bfloat16: a block of queries meets a block of keys at a time, so that their scores stay in the
/// processor's cache, and the softmax's maximum and sum are carried from one block of keys to the next (online softmax). libtorch
/// computes both products; between them one pass turns scores into weights in place.
/// </summary>
internal sealed class BlockedAttention
{
    private const int MostQueries = 512;
    private const int MostKeys = 4096;

    private readonly int keyBlock;
    private readonly float[] maxima = new float[MostQueries];
    private readonly float[] sums = new float[MostQueries];
    private readonly float[] scales = new float[MostQueries];
    private float[] accumulated = [];

    /// <param name="keyBlock">The most keys of a block.</param>
    public BlockedAttention(int keyBlock = MostKeys) => this.keyBlock = keyBlock;

    /// <summary>Columns that the values of <paramref name="channels"/> channels take: libtorch's product is up to a half faster where they
    /// fill vectors. Those beyond are ignored.</summary>
    public static int PaddedColumns(int channels) => (channels + 31) / 32 * 32;

    /// <summary>Computes softmax(Q Kᵀ) V to the base of 2: keys (or queries) come multiplied by log2(e)/√c.</summary>
    /// <param name="queries">Q, [M, c].</param>
    /// <param name="keys">K, [N, c].</param>
    /// <param name="values">V, [N, <see cref="PaddedColumns"/>(c)].</param>
    /// <param name="residual">Whether the queries are added to the result.</param>
    /// <param name="output">[M, c].</param>
    /// <param name="scratch">Matrices for use here.</param>
    /// <param name="logarithms">[M]: of each query the logarithm, to the base of 2, of the sum that its weights were divided by; empty where it is not wanted.</param>
    public void Run(PixelMatrix queries, PixelMatrix keys, PixelMatrix values, bool residual, PixelMatrix output, Scratch scratch, Span<float> logarithms = default)
    {
        int columns = values.Columns;
        if (accumulated.Length < MostQueries * columns)
            accumulated = new float[MostQueries * columns];
        using var scope = NewDisposeScope();
        var blocks = new List<(Tensor Keys, Tensor Values)>();
        for (int first = 0; first < keys.Rows; first += keyBlock)
        {
            int count = Math.Min(keyBlock, keys.Rows - first);
            blocks.Add((keys.RowsFrom(first, count).Values.t(), values.RowsFrom(first, count).Values));   // [c, k], [k, c]
        }

        for (int first = 0; first < queries.Rows; first += MostQueries)
        {
            using var views = NewDisposeScope();
            int count = Math.Min(MostQueries, queries.Rows - first);
            var some = queries.RowsFrom(first, count);                                    // [q, c]
            var mixed = scratch.Matrix("mixed", count, columns);                          // [q, c]
            maxima.AsSpan(0, count).Fill(float.NegativeInfinity);
            sums.AsSpan(0, count).Clear();
            accumulated.AsSpan(0, count * columns).Clear();
            foreach (var (blockKeys, blockValues) in blocks)
            {
                var weights = scratch.Matrix("weights", count, (int)blockKeys.shape[1]);  // [q, k]
                weights.SetProduct(some.Values, blockKeys);
                Exponentiate(weights);
                mixed.SetProduct(weights.Values, blockValues);
                Accumulate(mixed);
            }

            Finish(some, residual, output.RowsFrom(first, count));
            for (int row = 0; row < count && !logarithms.IsEmpty; row++)
                logarithms[first + row] = maxima[row] + MathF.Log2(sums[row]);
        }
    }

    // Scores become 2^(score - maximum so far), rounded; sums grow by what was rounded to.
    private void Exponentiate(PixelMatrix weights)
    {
        var lines = weights.Span;
        for (int row = 0; row < weights.Rows; row++)
        {
            var line = lines.Slice(row * weights.Columns, weights.Columns);
            float before = maxima[row], maximum = Math.Max(before, BFloat16Vector.Maximum(line));
            float scale = BFloat16Vector.Exp2(Vector512.Create(before - maximum)).ToScalar();
            maxima[row] = maximum;
            scales[row] = scale;
            sums[row] = sums[row] * scale + Exponentiate(line, maximum);
        }
    }

    private static float Exponentiate(Span<ushort> line, float maximum)
    {
        int step = 2 * BFloat16Vector.Lanes, whole = line.Length / step * step;
        float sum = Exponentiate(ref MemoryMarshal.GetReference(line), (nuint)whole / 2, maximum);
        foreach (ref ushort score in line[whole..])
        {
            float weight = BFloat16Vector.Exp2(Vector512.Create(BFloat16Vector.ToSingle(score) - maximum)).ToScalar();
            score = BFloat16Vector.FromSingle(weight);
            sum += weight;
        }

        return sum;
    }

    // A method of its own, so that the sum stays in a register.
    private static float Exponentiate(ref ushort line, nuint count, float maximum)
    {
        ref uint pairs = ref Unsafe.As<ushort, uint>(ref line);
        var sum = Vector512<float>.Zero;
        var units = Vector512.Create((float)BFloat16Vector.ExponentUnits);
        var offset = Vector512.Create(BFloat16Vector.ExponentOffset(maximum));
        for (nuint i = 0; i < count; i += BFloat16Vector.Lanes)
        {
            var scores = Vector512.LoadUnsafe(ref pairs, i);
            var weights = BFloat16Vector.Exp2Pairs(
                Vector512.FusedMultiplyAdd(BFloat16Vector.First(scores), units, offset), Vector512.FusedMultiplyAdd(BFloat16Vector.Second(scores), units, offset));
            weights.StoreUnsafe(ref pairs, i);
            sum += BFloat16Vector.First(weights) + BFloat16Vector.Second(weights);
        }

        return Vector512.Sum(sum);
    }

    private void Accumulate(PixelMatrix mixed)
    {
        var lines = mixed.Span;
        int columns = mixed.Columns;
        for (int row = 0; row < mixed.Rows; row++)
        {
            var scale = Vector512.Create(scales[row]);
            ref ushort source = ref lines[row * columns];
            ref float target = ref accumulated[row * columns];
            for (int i = 0; i < columns; i += BFloat16Vector.Lanes)
            {
                Vector512.FusedMultiplyAdd(Vector512.LoadUnsafe(ref target, (nuint)i), scale, BFloat16Vector.Load(ref Unsafe.Add(ref source, i)))
                    .StoreUnsafe(ref target, (nuint)i);
            }
        }
    }

    private void Finish(PixelMatrix queries, bool residual, PixelMatrix output)
    {
        int channels = output.Columns, columns = PaddedColumns(channels), whole = channels / BFloat16Vector.Lanes * BFloat16Vector.Lanes;
        Span<ushort> lines = output.Span, added = queries.Span;
        for (int row = 0; row < output.Rows; row++)
        {
            float share = 1 / sums[row];
            var source = accumulated.AsSpan(row * columns, channels);
            var line = lines.Slice(row * output.Stride, channels);
            var query = added.Slice(row * queries.Stride, channels);
            for (int i = 0; i < whole; i += BFloat16Vector.Lanes)
            {
                var value = Vector512.LoadUnsafe(ref source[i]) * share;
                BFloat16Vector.Store(residual ? value + BFloat16Vector.Load(ref query[i]) : value, ref line[i]);
            }

            for (int i = whole; i < channels; i++)
                line[i] = BFloat16Vector.FromSingle(source[i] * share + (residual ? BFloat16Vector.ToSingle(query[i]) : 0));
        }
    }
}

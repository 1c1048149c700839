using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>What is kept of a label's distributions: its logits, some pixels at a time, so that they never leave the cache, become the layers of the map.</summary>
internal sealed class DistributionHead : IDisposable
{
    private const int Step = 2 * BFloat16Vector.Lanes;
    private static readonly float Ln2 = MathF.Log(2);

    // Below it a sum may have lost what the smallest power of two cuts off.
    private const float FarBelow = 1e-12f;

    private readonly int levels;
    private readonly float largestBias;

    // Of each 32 levels first those of even number, then those of odd, as the vectors take them; the biases in units of exponents.
    private readonly float[] biases;
    private readonly float[] intensities;

    /// <param name="weights">The network's.</param>
    /// <param name="name">The head's name in them, such as heads.DAPI_CONFOCAL.</param>
    public DistributionHead(NetworkWeights weights, string name)
    {
        float[] shifts = weights[name + ".bias"].data<float>().ToArray();
        levels = shifts.Length;
        int padded = (levels + Step - 1) / Step * Step;
        Weight = weights.Product(name + ".weight", 1 / Math.Log(2), padded);
        largestBias = shifts.Max() / Ln2;
        biases = new float[padded];
        intensities = new float[padded];
        for (int place = 0; place < padded; place++)
        {
            int level = Level(place);
            biases[place] = level < levels ? (float)(BFloat16Vector.ExponentUnits * shifts[level] / Math.Log(2)) : float.NegativeInfinity;
            intensities[place] = level < levels ? level / (levels - 1f) : 0;
        }
    }

    /// <summary>[c, <see cref="Columns"/>]: what features are multiplied by to be logits to the base of 2, without their bias.</summary>
    public Tensor Weight { get; }

    /// <summary>Columns of the logits: the levels, filled up to whole vectors.</summary>
    public int Columns => biases.Length;

    /// <summary>Computes the layers of some pixels.</summary>
    /// <param name="logits">[n, <see cref="Columns"/>].</param>
    /// <param name="layers">Which layers.</param>
    /// <param name="images">Layer after layer, each of <paramref name="pixels"/> values of 0 to 1.</param>
    /// <param name="from">The place of the first of these pixels in the images.</param>
    /// <param name="pixels">Pixels of an image.</param>
    public void Run(PixelMatrix logits, IReadOnlyList<MapLayer> layers, Span<float> images, int from, int pixels)
    {
        var rows = logits.Span;
        Span<float> weights = stackalloc float[layers.Any(layer => layer > MapLayer.SecondMoment) ? Columns : 0];
        for (int row = 0; row < logits.Rows; row++)
        {
            var line = rows.Slice(row * logits.Stride, Columns);

            // A bound of the largest logit does as well as itself, unless it is far above.
            float most = BFloat16Vector.Maximum(line) + largestBias;
            var (sum, first, second) = Moments(line, most, weights);
            if (sum < FarBelow)
            {
                most = Maximum(line);
                (sum, first, second) = Moments(line, most, weights);
            }

            for (int layer = 0; layer < layers.Count; layer++)
            {
                images[layer * pixels + from + row] = Math.Clamp(layers[layer] switch
                {
                    MapLayer.Mean => first / sum,
                    MapLayer.SecondMoment => second / sum,
                    MapLayer.Median => Median(weights, sum / 2) / (levels - 1f),
                    MapLayer.Mode => Mode(weights) / (levels - 1f),
                    MapLayer.Entropy => (MathF.Log(sum) - Ln2 * ExponentSum(line, most, weights) / sum) / MathF.Log(levels),
                    _ => throw new ArgumentOutOfRangeException(nameof(layers), layers[layer], "No such layer."),
                }, 0, 1);
            }
        }
    }

    public void Dispose() => Weight.Dispose();

    // The level that stands at a place of the vectors.
    private static int Level(int place) => place / Step * Step + (place % Step < BFloat16Vector.Lanes ? place % Step * 2 : (place % Step - BFloat16Vector.Lanes) * 2 + 1);

    // The largest logit, bias included.
    private float Maximum(Span<ushort> logits)
    {
        float most = float.NegativeInfinity;
        for (int level = 0; level < levels; level++)
            most = Math.Max(most, BFloat16Vector.ToSingle(logits[level]) + Bias(level));
        return most;
    }

    // The distribution up to a factor, 2^(logit - the largest), where it is wanted, and its sums: of itself, of intensity and of intensity squared.
    private (float Sum, float First, float Second) Moments(Span<ushort> logits, float maximum, Span<float> weights)
    {
        ref uint pairs = ref Unsafe.As<ushort, uint>(ref MemoryMarshal.GetReference(logits));
        ref float shift = ref MemoryMarshal.GetArrayDataReference(biases);
        ref float intensity = ref MemoryMarshal.GetArrayDataReference(intensities);
        ref float weight = ref MemoryMarshal.GetReference(weights);
        bool store = weights.Length > 0;
        var units = Vector512.Create((float)BFloat16Vector.ExponentUnits);
        var offset = Vector512.Create(BFloat16Vector.ExponentOffset(maximum));
        Vector512<float> sum = default, first = default, second = default;
        for (nuint i = 0; i < (nuint)biases.Length; i += Step)
        {
            var pair = Vector512.LoadUnsafe(ref pairs, i / 2);
            var powers = BFloat16Vector.Exp2Pairs(
                Vector512.FusedMultiplyAdd(BFloat16Vector.First(pair), units, Vector512.LoadUnsafe(ref shift, i)) + offset,
                Vector512.FusedMultiplyAdd(BFloat16Vector.Second(pair), units, Vector512.LoadUnsafe(ref shift, i + BFloat16Vector.Lanes)) + offset);
            Vector512<float> p = BFloat16Vector.First(powers), q = BFloat16Vector.Second(powers);
            Vector512<float> x = Vector512.LoadUnsafe(ref intensity, i), y = Vector512.LoadUnsafe(ref intensity, i + BFloat16Vector.Lanes);
            Vector512<float> moment = p * x, other = q * y;
            sum += p + q;
            first += moment + other;
            second = Vector512.FusedMultiplyAdd(moment, x, Vector512.FusedMultiplyAdd(other, y, second));
            if (store)
            {
                p.StoreUnsafe(ref weight, i);
                q.StoreUnsafe(ref weight, i + BFloat16Vector.Lanes);
            }
        }

        return (Vector512.Sum(sum), Vector512.Sum(first), Vector512.Sum(second));
    }

    // The number of levels up to which the distribution sums to less than half of its sum.
    private int Median(Span<float> weights, float half)
    {
        int level = 0;
        float sum = 0;
        for (; level + Step <= levels; level += Step)
        {
            float next = sum + Vector512.Sum(Vector512.LoadUnsafe(ref weights[level]) + Vector512.LoadUnsafe(ref weights[level + BFloat16Vector.Lanes]));
            if (next >= half)
                break;
            sum = next;
        }

        for (; level < levels; level++)
        {
            sum += weights[Place(level)];
            if (sum >= half)
                break;
        }

        return level;
    }

    // The first of the likeliest levels.
    private int Mode(Span<float> weights)
    {
        int mode = 0;
        for (int level = 1; level < levels; level++)
        {
            if (weights[Place(level)] > weights[Place(mode)])
                mode = level;
        }

        return mode;
    }

    private float ExponentSum(Span<ushort> logits, float most, Span<float> weights)
    {
        float sum = 0;
        for (int level = 0; level < levels; level++)
            sum += weights[Place(level)] * (BFloat16Vector.ToSingle(logits[level]) + Bias(level) - most);
        return sum;
    }

    private float Bias(int level) => biases[Place(level)] / BFloat16Vector.ExponentUnits;

    private static int Place(int level) => level / Step * Step + level % 2 * BFloat16Vector.Lanes + level % Step / 2;
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>A label's head with what is kept of its distributions: some pixels' logits at a time, which never leave the cache, become the layers of the map.</summary>
internal sealed class DistributionHead : IDisposable
{
    /// <summary>Pixels at a time.</summary>
    public const int SlabRows = 1024;

    private const int Step = 2 * BFloat16.Lanes;
    private static readonly float Ln2 = MathF.Log(2);

    private readonly Tensor weight;
    private readonly int levels;

    // Of each 32 levels first those of even number, then those of odd, as the vectors take them.
    private readonly float[] bias;
    private readonly float[] intensities;

    /// <param name="weights">The network's.</param>
    /// <param name="name">The head's name in them, such as heads.DAPI_CONFOCAL.</param>
    public DistributionHead(NetworkWeights weights, string name)
    {
        float[] shifts = weights[name + ".bias"].data<float>().ToArray();
        levels = shifts.Length;
        int padded = (levels + Step - 1) / Step * Step;
        weight = weights.Product(name + ".weight", 1 / Math.Log(2), padded);                 // [c, C]
        bias = new float[padded];
        intensities = new float[padded];
        for (int place = 0; place < padded; place++)
        {
            int level = Level(place);
            bias[place] = level < levels ? (float)(shifts[level] / Math.Log(2)) : float.NegativeInfinity;
            intensities[place] = level < levels ? level / (levels - 1f) : 0;
        }
    }

    /// <summary>Columns of the logits: the levels, filled up to whole vectors.</summary>
    public int Columns => bias.Length;

    /// <summary>Computes the layers of some pixels.</summary>
    /// <param name="features">[n, c].</param>
    /// <param name="logits">[n, <see cref="Columns"/>], for use here.</param>
    /// <param name="layers">Which layers.</param>
    /// <param name="images">Layer after layer, each of <paramref name="pixels"/> values of 0 to 1.</param>
    /// <param name="first">The place of the first of these pixels in the images.</param>
    /// <param name="pixels">Pixels of an image.</param>
    public void Run(PixelMatrix features, PixelMatrix logits, IReadOnlyList<MapLayer> layers, Span<float> images, int first, int pixels)
    {
        logits.SetProduct(features.Values, weight);
        var rows = logits.Span;
        var weights = new float[Columns];
        bool ordered = layers.Any(layer => layer is MapLayer.Median or MapLayer.Mode);
        for (int row = 0; row < features.Rows; row++)
        {
            var sums = Sums(rows.Slice(row * Columns, Columns), weights);
            for (int layer = 0; layer < layers.Count; layer++)
            {
                images[layer * pixels + first + row] = Math.Clamp(layers[layer] switch
                {
                    MapLayer.Mean => sums.First / sums.Weight,
                    MapLayer.SecondMoment => sums.Second / sums.Weight,
                    MapLayer.Median => Median(weights, sums.Weight) / (levels - 1f),
                    MapLayer.Mode => Mode(weights) / (levels - 1f),
                    MapLayer.Entropy => (MathF.Log(sums.Weight) - Ln2 * sums.Exponent / sums.Weight) / MathF.Log(levels),
                    _ => throw new ArgumentOutOfRangeException(nameof(layers), layers[layer], "No such layer."),
                }, 0, 1);
            }
        }
    }

    public void Dispose() => weight.Dispose();

    // The level that stands at a place of the vectors.
    private static int Level(int place) => place / Step * Step + (place % Step < BFloat16.Lanes ? place % Step * 2 : (place % Step - BFloat16.Lanes) * 2 + 1);

    // The distribution up to a factor, 2^(logit - the largest), and its sums: of itself, of intensity, of intensity squared, and of the exponents.
    private (float Weight, float First, float Second, float Exponent) Sums(ReadOnlySpan<ushort> logits, float[] weights)
    {
        ref var pairs = ref Unsafe.As<ushort, uint>(ref MemoryMarshal.GetReference(logits));
        var most = Vector512.Create(float.NegativeInfinity);
        for (int i = 0; i < weights.Length; i += Step)
        {
            var pair = Vector512.LoadUnsafe(ref pairs, (nuint)(i / 2));
            most = Vector512.MaxNative(most, BFloat16.First(pair) + Vector512.LoadUnsafe(ref bias[i]));
            most = Vector512.MaxNative(most, BFloat16.Second(pair) + Vector512.LoadUnsafe(ref bias[i + BFloat16.Lanes]));
        }

        float maximum = float.NegativeInfinity;
        for (int lane = 0; lane < BFloat16.Lanes; lane++)
            maximum = Math.Max(maximum, most[lane]);
        most = Vector512.Create(maximum);
        Vector512<float> weight = default, first = default, second = default, exponent = default;
        for (int i = 0; i < weights.Length; i += BFloat16.Lanes)
        {
            var pair = Vector512.LoadUnsafe(ref pairs, (nuint)(i / Step * BFloat16.Lanes));
            var logit = i % Step == 0 ? BFloat16.First(pair) : BFloat16.Second(pair);
            var x = logit + (Vector512.LoadUnsafe(ref bias[i]) - most);
            var e = BFloat16.Exp2(x);
            e.StoreUnsafe(ref weights[i]);
            var intensity = Vector512.LoadUnsafe(ref intensities[i]);
            weight += e;
            var moment = e * intensity;
            first += moment;
            second = Vector512.FusedMultiplyAdd(moment, intensity, second);
            exponent = Vector512.FusedMultiplyAdd(e, Vector512.MaxNative(x, Vector512.Create(-126f)), exponent);
        }

        return (Vector512.Sum(weight), Vector512.Sum(first), Vector512.Sum(second), Vector512.Sum(exponent));
    }

    // The number of levels up to which the distribution sums to less than a half.
    private int Median(float[] weights, float total)
    {
        float sum = 0;
        int level = 0;
        for (; level < levels; level++)
        {
            sum += weights[Place(level)];
            if (sum >= total / 2)
                break;
        }

        return level;
    }

    // The first of the likeliest levels.
    private int Mode(float[] weights)
    {
        int mode = 0;
        for (int level = 1; level < levels; level++)
        {
            if (weights[Place(level)] > weights[Place(mode)])
                mode = level;
        }

        return mode;
    }

    private static int Place(int level) => level / Step * Step + level % 2 * BFloat16.Lanes + level % Step / 2;
}

using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace StainGrid.Tiling;

/// <summary>The inner loops over rows of pixels, with as many pixels at once as the processor takes.</summary>
internal static class PixelRows
{
    /// <summary>target[i] += values[i].</summary>
    public static void Add(Span<int> target, ReadOnlySpan<int> values)
    {
        values = values[..target.Length];
        var targets = MemoryMarshal.Cast<int, Vector<int>>(target);
        var adds = MemoryMarshal.Cast<int, Vector<int>>(values);
        for (int i = 0; i < targets.Length; i++)
            targets[i] += adds[i];
        for (int i = targets.Length * Vector<int>.Count; i < target.Length; i++)
            target[i] += values[i];
    }

    /// <summary>target[i] += weights[i] * values[i].</summary>
    public static void AddProducts(Span<int> target, ReadOnlySpan<int> weights, ReadOnlySpan<int> values)
    {
        weights = weights[..target.Length];
        values = values[..target.Length];
        var targets = MemoryMarshal.Cast<int, Vector<int>>(target);
        var factors = MemoryMarshal.Cast<int, Vector<int>>(weights);
        var adds = MemoryMarshal.Cast<int, Vector<int>>(values);
        for (int i = 0; i < targets.Length; i++)
            targets[i] += factors[i] * adds[i];
        for (int i = targets.Length * Vector<int>.Count; i < target.Length; i++)
            target[i] += weights[i] * values[i];
    }

    /// <summary>The sum of |left[i] - right[i]|. In eight parts whatever the processor is, so that all get the same last bit.</summary>
    public static double Steps(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        right = right[..left.Length];
        var lefts = MemoryMarshal.Cast<float, Vector256<float>>(left);
        var rights = MemoryMarshal.Cast<float, Vector256<float>>(right);
        Vector256<double> first = default, second = default;
        for (int i = 0; i < lefts.Length; i++)
        {
            var (lower, upper) = Vector256.Widen(Vector256.Abs(lefts[i] - rights[i]));
            first += lower;
            second += upper;
        }

        double rest = 0;
        for (int i = lefts.Length * Vector256<float>.Count; i < left.Length; i++)
            rest += Math.Abs(left[i] - right[i]);
        var parts = first + second;
        return (parts[0] + parts[1]) + (parts[2] + parts[3]) + rest;
    }
}

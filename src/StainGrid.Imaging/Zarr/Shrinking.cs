using System.Numerics;
using System.Runtime.InteropServices;

namespace StainGrid.Imaging.Zarr;

/// <summary>The inner loop of a pyramid.</summary>
internal static class Shrinking
{
    /// <summary>Makes each pixel the mean, rounded half up, of the two by two below it, or of those that are there.</summary>
    /// <param name="upper">A row below.</param>
    /// <param name="lower">The row under it; empty where the image ends.</param>
    /// <param name="half">Half as many pixels as <paramref name="upper"/>, rounded up.</param>
    public static void Halve(ReadOnlySpan<ushort> upper, ReadOnlySpan<ushort> lower, Span<ushort> half)
    {
        if (lower.IsEmpty)
            lower = upper;   // the mean of two is that of both twice
        lower = lower[..upper.Length];

        // Each 32-bit number holds two neighbours, whichever comes first.
        var uppers = MemoryMarshal.Cast<ushort, Vector<uint>>(upper);
        var lowers = MemoryMarshal.Cast<ushort, Vector<uint>>(lower);
        var halves = MemoryMarshal.Cast<ushort, Vector<ushort>>(half[..(upper.Length / 2)]);
        var (mask, two) = (new Vector<uint>(ushort.MaxValue), new Vector<uint>(2));
        for (int i = 0; i < halves.Length; i++)
            halves[i] = Vector.Narrow(Mean(uppers[2 * i], lowers[2 * i]), Mean(uppers[2 * i + 1], lowers[2 * i + 1]));
        for (int x = halves.Length * Vector<ushort>.Count; x < half.Length; x++)
        {
            int left = 2 * x, right = Math.Min(left + 1, upper.Length - 1);
            half[x] = (ushort)((upper[left] + upper[right] + lower[left] + lower[right] + 2) / 4);
        }

        Vector<uint> Mean(Vector<uint> top, Vector<uint> bottom) =>
            ((top & mask) + (top >>> 16) + (bottom & mask) + (bottom >>> 16) + two) >>> 2;
    }
}

using System.Numerics;
using System.Runtime.InteropServices;

namespace StainGrid.Grains;

/// <summary>The values of an output channel.</summary>
public static class PixelScale
{
    /// <summary>Maps 0 to <paramref name="low"/> and 1 to <paramref name="range"/> above it, rounded half to even, within 16 bits.</summary>
    /// <param name="shares">Values of about 0 to 1, finite.</param>
    /// <param name="low">The value of 0.</param>
    /// <param name="range">How far the value of 1 lies above it.</param>
    /// <param name="pixels">One for each value.</param>
    public static void Apply(ReadOnlySpan<float> shares, int low, int range, Span<ushort> pixels)
    {
        shares = shares[..pixels.Length];
        var many = MemoryMarshal.Cast<float, Vector<float>>(shares);
        var results = MemoryMarshal.Cast<ushort, Vector<ushort>>(pixels);
        var (lows, ranges, most) = (new Vector<float>(low), new Vector<float>(range), new Vector<float>(ushort.MaxValue));
        for (int i = 0; i < results.Length; i++)
            results[i] = Vector.Narrow(Scaled(many[2 * i]), Scaled(many[2 * i + 1]));
        for (int i = results.Length * Vector<ushort>.Count; i < pixels.Length; i++)
            pixels[i] = (ushort)Math.Clamp(MathF.Round(low + shares[i] * range), 0, ushort.MaxValue);

        Vector<uint> Scaled(Vector<float> share) =>
            Vector.AsVectorUInt32(Vector.ConvertToInt32(Vector.Min(Vector.Max(Vector.Round(lows + share * ranges), Vector<float>.Zero), most)));
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace StainGrid.Model;

/// <summary>bfloat16, the upper half of a float32, as 16 bits: conversions, rounding to nearest (ties away from zero), and the power of
/// two that the softmaxes need. (.NET has no such type; torch computes the products.)</summary>
internal static class BFloat16
{
    /// <summary>Values that one vector holds.</summary>
    public const int Lanes = 16;

    /// <summary>The value of 16 bits.</summary>
    public static float ToSingle(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>The nearest bfloat16 of a finite value.</summary>
    public static ushort FromSingle(float value) => (ushort)((BitConverter.SingleToUInt32Bits(value) + 0x8000) >> 16);

    /// <summary>Sixteen values from <paramref name="source"/> on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(ref ushort source) =>
        Vector512.ShiftLeft(Vector512.WidenLower(Vector256.LoadUnsafe(ref source).ToVector512Unsafe()), 16).AsSingle();

    /// <summary>Stores sixteen finite values from <paramref name="target"/> on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<float> values, ref ushort target)
    {
        var bits = Vector512.ShiftRightLogical(Round(values), 16);
        Vector512.Narrow(bits, bits).GetLower().StoreUnsafe(ref target);
    }

    /// <summary>Of sixteen neighbouring pairs the first values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> First(Vector512<uint> pairs) => Vector512.ShiftLeft(pairs, 16).AsSingle();

    /// <summary>Of sixteen neighbouring pairs the second values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Second(Vector512<uint> pairs) => (pairs & Vector512.Create(0xFFFF0000)).AsSingle();

    /// <summary>Sixteen neighbouring pairs of finite values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Pairs(Vector512<float> first, Vector512<float> second) =>
        Vector512.ShiftRightLogical(Round(first), 16) | (Round(second) & Vector512.Create(0xFFFF0000));

    /// <summary>2^x for x of at most 0, to 1 part in 13,000; 2^-100 for what is less.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp2(Vector512<float> x)
    {
        x = Vector512.MaxNative(x, Vector512.Create(-100f));
        var shifted = x + Vector512.Create(Magic);                       // the whole part stands in the lowest bits
        var f = x - (shifted - Vector512.Create(Magic));                 // -0.5 to 0.5

        // The cubic whose largest relative error there is least.
        var p = Vector512.FusedMultiplyAdd(Vector512.Create(0.055171669f), f, Vector512.Create(0.242611122f));
        p = Vector512.FusedMultiplyAdd(p, f, Vector512.Create(0.693260985f));
        p = Vector512.FusedMultiplyAdd(p, f, Vector512.Create(0.999928074f));
        return (p.AsInt32() + Vector512.ShiftLeft(shifted.AsInt32(), 23)).AsSingle();
    }

    // Adding it leaves a float's whole part in its lowest bits: 1.5 * 2^23.
    private const float Magic = 12582912f;

    // The bits whose upper half is the nearest bfloat16.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Round(Vector512<float> values) => values.AsUInt32() + Vector512.Create(0x8000u);
}

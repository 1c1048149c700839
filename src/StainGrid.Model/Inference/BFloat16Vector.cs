using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace StainGrid.Model;

/// <summary>bfloat16, the upper half of a float32, as 16 bits: conversions, rounding to nearest (ties away from zero), and the power of
/// two that the softmaxes need. (libtorch computes the products; TorchSharp's BFloat16 is one value.)</summary>
internal static class BFloat16Vector
{
    /// <summary>Values that one vector holds.</summary>
    public const int Lanes = 16;

    /// <summary>Into how many parts a power of two is divided: a bfloat16 has seven bits of mantissa.</summary>
    public const int ExponentUnits = 128;

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

    /// <summary>What <see cref="Exp2Pairs"/> takes: units of its exponents for x - shift.</summary>
    public static float ExponentOffset(float shift) => Magic + ExponentUnits * (127 - shift);

    /// <summary>Sixteen neighbouring pairs of 2^x, x of at most 0: each right to 1 part in 115, its rounding to bfloat16 included; about 0 where x is less than -126.</summary>
    /// <param name="first">Of the first of each pair <see cref="ExponentUnits"/> x + <see cref="ExponentOffset"/>(0), rounded by that addition.</param>
    /// <param name="second">The same of the second of each pair.</param>
    /// <remarks>A bfloat16's bits, read as a whole number, are 128 (log2 + 127) up to what its mantissa is off the logarithm. So 128 (x + 127), rounded, are
    /// the bits of the power up to a correction that its lowest seven bits name: all in lanes of 16 bits, in half the time of a polynomial. Processors without
    /// AVX512-VBMI take the polynomial.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<uint> Exp2Pairs(Vector512<float> first, Vector512<float> second)
    {
        if (!Avx512Vbmi.IsSupported)
            return Pairs(Exp2(Exponent(first)), Exp2(Exponent(second)));
        var zero = Vector512.Create(Magic);
        var bits = (Vector512.MaxNative(first, zero).AsUInt32() & Vector512.Create(0xFFFFu)) | Vector512.ShiftLeft(Vector512.MaxNative(second, zero).AsUInt32(), 16);
        ref byte corrections = ref MemoryMarshal.GetArrayDataReference(Corrections);
        var correction = Avx512Vbmi.PermuteVar64x8x2(Vector512.LoadUnsafe(ref corrections), bits.AsByte(), Vector512.LoadUnsafe(ref corrections, 64));
        return (bits.AsUInt16() - (correction.AsUInt16() & Vector512.Create((ushort)0xFF))).AsUInt32();

        static Vector512<float> Exponent(Vector512<float> units) => (units - Vector512.Create(Magic)) * (1f / ExponentUnits) - Vector512.Create(127f);
    }

    /// <summary>The largest of finite values.</summary>
    public static float Maximum(Span<ushort> line)
    {
        // A bfloat16 of 0 or more is ordered as its bits are. Where there is none, bits are ordered the other way round: the largest value has the least.
        ref short bits = ref Unsafe.As<ushort, short>(ref MemoryMarshal.GetReference(line));
        nuint step = (nuint)Vector512<short>.Count, whole = (nuint)line.Length / step * step;
        var most = Vector512.Create(short.MinValue);
        for (nuint i = 0; i < whole; i += step)
            most = Vector512.Max(most, Vector512.LoadUnsafe(ref bits, i));
        short largest = Largest(most, line[(int)whole..]);
        if (largest >= 0)
            return BFloat16Vector.ToSingle((ushort)largest);

        most = Vector512.Create(short.MinValue);
        for (nuint i = 0; i < whole; i += step)
            most = Vector512.Max(most, ~Vector512.LoadUnsafe(ref bits, i));
        Span<ushort> rest = stackalloc ushort[line.Length - (int)whole];
        for (int i = 0; i < rest.Length; i++)
            rest[i] = (ushort)~line[(int)whole + i];
        return BFloat16Vector.ToSingle((ushort)~Largest(most, rest));
    }

    private static short Largest(Vector512<short> most, Span<ushort> rest)
    {
        var half = Vector256.Max(most.GetLower(), most.GetUpper());
        var quarter = Vector128.Max(half.GetLower(), half.GetUpper());
        short largest = quarter[0];
        for (int lane = 1; lane < Vector128<short>.Count; lane++)
            largest = Math.Max(largest, quarter[lane]);
        foreach (ushort bits in rest)
            largest = Math.Max(largest, (short)bits);
        return largest;
    }

    // Adding it leaves a float's whole part in its lowest bits: 1.5 * 2^23.
    private const float Magic = 12582912f;

    // By how much the straight line 1 + f is above 2^f, in units of the mantissa, for each f = i / 128.
    private static readonly byte[] Corrections =
        [.. Enumerable.Range(0, ExponentUnits).Select(i => (byte)Math.Round(i + ExponentUnits - ExponentUnits * Math.Pow(2, (double)i / ExponentUnits)))];

    // The bits whose upper half is the nearest bfloat16.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Round(Vector512<float> values) => values.AsUInt32() + Vector512.Create(0x8000u);
}

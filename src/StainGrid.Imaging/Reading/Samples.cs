using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace StainGrid.Imaging.Reading;

/// <summary>Samples in the machine's byte order to floats.</summary>
internal static class Samples
{
    /// <summary>Widens a run of samples.</summary>
    /// <param name="source">The samples' bytes, in the machine's byte order.</param>
    /// <param name="type">Their type.</param>
    /// <param name="invert">Whether 0 is white.</param>
    /// <param name="destination">One float a sample.</param>
    /// <returns>The index of the first float that is not finite, or -1.</returns>
    public static int ToFloats(ReadOnlySpan<byte> source, PixelType type, bool invert, Span<float> destination)
    {
        switch (type)
        {
            case PixelType.UInt8:
                byte flip8 = invert ? byte.MaxValue : (byte)0;
                for (int i = 0; i < destination.Length; i++)
                    destination[i] = source[i] ^ flip8;
                return -1;
            case PixelType.UInt16:
                var shorts = MemoryMarshal.Cast<byte, ushort>(source)[..destination.Length];
                ushort flip16 = invert ? ushort.MaxValue : (ushort)0;
                for (int i = 0; i < destination.Length; i++)
                    destination[i] = shorts[i] ^ flip16;
                return -1;
            default:
                MemoryMarshal.Cast<byte, float>(source)[..destination.Length].CopyTo(destination);
                for (int i = 0; i < destination.Length; i++)
                {
                    if (!float.IsFinite(destination[i]))
                        return i;
                }

                return -1;
        }
    }

    /// <summary>Turns samples from the other byte order in place.</summary>
    public static void Swap(Span<byte> samples, PixelType type)
    {
        if (type == PixelType.UInt16)
        {
            var shorts = MemoryMarshal.Cast<byte, ushort>(samples);
            BinaryPrimitives.ReverseEndianness(shorts, shorts);
        }
        else if (type == PixelType.Float32)
        {
            var words = MemoryMarshal.Cast<byte, uint>(samples);
            BinaryPrimitives.ReverseEndianness(words, words);
        }
    }
}

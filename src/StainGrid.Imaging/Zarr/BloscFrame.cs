using System.Buffers.Binary;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace StainGrid.Imaging.Zarr;

/// <summary>Blosc 1 frames with zstd and byte shuffle (c-blosc, README_CHUNK_FORMAT.rst): what every reader of Zarr v2
/// knows, among them OMERO's jzarr, which knows no bare zstd. One block a frame. The zstd stream carries its checksum, so
/// that flipped bits are found.</summary>
internal static class BloscFrame
{
    /// <summary>c-blosc's name for the effort, 0 to 9; 2 is zstd's 3.</summary>
    public const int Level = 2;

    private const int ZstdLevel = 3;
    private const int HeaderBytes = 16;
    private const byte Shuffled = 0x01, Memcpyed = 0x02, BitShuffled = 0x04, NotSplit = 0x10, Zstd = 4 << 5;

    /// <summary>Compresses values of <paramref name="typeSize"/> bytes; the same bytes for the same values.</summary>
    public static byte[] Compress(ReadOnlySpan<byte> values, int typeSize)
    {
        byte[] shuffled = new byte[values.Length];
        Shuffle(values, shuffled, typeSize);
        using var compressor = new Compressor(ZstdLevel);
        compressor.SetParameter(ZSTD_cParameter.ZSTD_c_checksumFlag, 1);
        ReadOnlySpan<byte> block = compressor.Wrap(shuffled);

        // A block that does not shrink stands as it is, still shuffled: its size says so.
        if (block.Length >= shuffled.Length)
            block = shuffled;
        byte[] frame = new byte[HeaderBytes + 4 + 4 + block.Length];
        frame[0] = 2;
        frame[1] = 1;
        frame[2] = Shuffled | NotSplit | Zstd;
        frame[3] = (byte)typeSize;
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(4), values.Length);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(8), values.Length);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(12), frame.Length);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(16), HeaderBytes + 4);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(20), block.Length);
        block.CopyTo(frame.AsSpan(24));
        return frame;
    }

    /// <summary>Decompresses a frame that must hold exactly <paramref name="values"/>.</summary>
    /// <exception cref="InvalidDataException">The frame is damaged, or of a kind that is not written here.</exception>
    public static void Decompress(ReadOnlySpan<byte> frame, Span<byte> values, int typeSize)
    {
        if (frame.Length < HeaderBytes)
            throw new InvalidDataException($"it has {frame.Length} bytes");
        int size = BinaryPrimitives.ReadInt32LittleEndian(frame[4..]), blockSize = BinaryPrimitives.ReadInt32LittleEndian(frame[8..]);
        int flags = frame[2];
        if (frame[0] != 2 || (flags & 0xE0) != Zstd || (flags & (BitShuffled | 0x08)) != 0)
            throw new InvalidDataException("it is not blosc with zstd and byte shuffle");
        if (frame[3] != typeSize || size != values.Length)
            throw new InvalidDataException($"it says {size} bytes of {frame[3]}-byte values where {values.Length} of {typeSize} are due");
        if (BinaryPrimitives.ReadInt32LittleEndian(frame[12..]) != frame.Length)
            throw new InvalidDataException($"it says {BinaryPrimitives.ReadInt32LittleEndian(frame[12..])} bytes and has {frame.Length}");
        if ((flags & Memcpyed) != 0)
        {
            if (frame.Length != HeaderBytes + values.Length)
                throw new InvalidDataException("its copied bytes are not all there");
            frame[HeaderBytes..].CopyTo(values);
            return;
        }

        if ((flags & NotSplit) == 0)
            throw new InvalidDataException("its blocks are split, which is not read here");
        if (blockSize < 1 || blockSize > size)
            throw new InvalidDataException($"its blocks have {blockSize} bytes");
        int blocks = values.Length == 0 ? 0 : (values.Length - 1) / blockSize + 1;
        if (blocks > (frame.Length - HeaderBytes) / 8)
            throw new InvalidDataException($"its {blocks} blocks do not fit");
        byte[] shuffled = (flags & Shuffled) != 0 ? new byte[Math.Min(blockSize, values.Length)] : [];
        using var decompressor = new Decompressor();
        for (int i = 0; i < blocks; i++)
        {
            var target = values.Slice(i * blockSize, Math.Min(blockSize, values.Length - i * blockSize));
            var plain = shuffled.Length > 0 ? shuffled.AsSpan(0, target.Length) : target;
            int start = BinaryPrimitives.ReadInt32LittleEndian(frame[(HeaderBytes + 4 * i)..]);
            if (start < HeaderBytes + 4 * blocks || start > frame.Length - 4)
                throw new InvalidDataException($"its block {i} starts at {start}");
            int length = BinaryPrimitives.ReadInt32LittleEndian(frame[start..]);
            if (length < 1 || length > frame.Length - start - 4)
                throw new InvalidDataException($"its block {i} has {length} bytes");
            var block = frame.Slice(start + 4, length);
            if (length == plain.Length)
            {
                block.CopyTo(plain);
            }
            else
            {
                int got;
                try
                {
                    got = decompressor.Unwrap(block, plain);
                }
                catch (Exception exception) when (exception is ZstdException or ArgumentException)
                {
                    throw new InvalidDataException($"its block {i} does not decode ({exception.Message})", exception);
                }

                if (got != plain.Length)
                    throw new InvalidDataException($"its block {i} has {got} of {plain.Length} bytes");
            }

            if (shuffled.Length > 0)
                Unshuffle(plain, target, typeSize);
        }
    }

    /// <summary>All first bytes, then all second bytes, ..; bytes beyond the last whole value stay last.</summary>
    private static void Shuffle(ReadOnlySpan<byte> values, Span<byte> shuffled, int typeSize)
    {
        int count = values.Length / typeSize;
        for (int b = 0; b < typeSize; b++)
        {
            var plane = shuffled.Slice(b * count, count);
            for (int i = 0; i < plane.Length; i++)
                plane[i] = values[i * typeSize + b];
        }

        values[(count * typeSize)..].CopyTo(shuffled[(count * typeSize)..]);
    }

    private static void Unshuffle(ReadOnlySpan<byte> shuffled, Span<byte> values, int typeSize)
    {
        int count = values.Length / typeSize;
        for (int b = 0; b < typeSize; b++)
        {
            var plane = shuffled.Slice(b * count, count);
            for (int i = 0; i < plane.Length; i++)
                values[i * typeSize + b] = plane[i];
        }

        shuffled[(count * typeSize)..].CopyTo(values[(count * typeSize)..]);
    }
}

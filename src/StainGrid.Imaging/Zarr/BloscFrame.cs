using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.IO.Compression;
using System.Numerics;
using System.Runtime.InteropServices;
using K4os.Compression.LZ4;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace StainGrid.Imaging.Zarr;

/// <summary>Blosc 1 frames (c-blosc, README_CHUNK_FORMAT.rst): what every reader of Zarr v2 knows, among them OMERO's jzarr,
/// which knows no bare zstd. Written with zstd and byte shuffle, one block a frame; the zstd stream carries its checksum, so
/// that flipped bits are found. Read with lz4, zlib or zstd, with or without byte shuffle, whole or split blocks.</summary>
internal static class BloscFrame
{
    /// <summary>c-blosc's name for the effort, 0 to 9; 2 is zstd's 3.</summary>
    public const int Level = 2;

    private const int ZstdLevel = 3;
    private const int HeaderBytes = 16;
    private const byte Shuffled = 0x01, Memcpyed = 0x02, BitShuffled = 0x04, NotSplit = 0x10, Zstd = 4 << 5;
    private const int MaxSplits = 16, MinSplitValues = 128;

    private static readonly string[] s_codecs = ["blosclz", "lz4", "snappy", "zlib", "zstd"];

    // Their tables are larger than a chunk: made anew, most of their time would be fresh memory.
    private static readonly Spares<Compressor> s_compressors = new(NewCompressor);
    private static readonly Spares<Decompressor> s_decompressors = new(() => new Decompressor());

    /// <summary>Why frames that a .zarray's compressor makes are not read, or null where they are.</summary>
    /// <param name="codec">"cname".</param>
    /// <param name="shuffle">"shuffle": 0 none, 1 bytes, 2 bits, -1 bits for values of one byte and else bytes.</param>
    /// <param name="typeSize">The bytes of a value.</param>
    public static string? Unread(string? codec, int shuffle, int typeSize) =>
        codec is not ("lz4" or "lz4hc" or "zlib" or "zstd") ? $"blosc with {codec ?? "no codec"}"
        : shuffle == 2 || (shuffle == -1 && typeSize == 1) ? $"blosc with {codec} and bitshuffle"
        : shuffle is < -1 or > 2 ? $"blosc with {codec} and the unknown shuffle {shuffle}"
        : null;

    /// <summary>Compresses values of <paramref name="typeSize"/> bytes; the same bytes for the same values.</summary>
    public static byte[] Compress(ReadOnlySpan<byte> values, int typeSize)
    {
        byte[] shuffled = ArrayPool<byte>.Shared.Rent(values.Length), compressed = ArrayPool<byte>.Shared.Rent(Compressor.GetCompressBound(values.Length));
        try
        {
            var whole = shuffled.AsSpan(0, values.Length);
            Shuffle(values, whole, typeSize);
            var compressor = s_compressors.Take();
            var block = compressed.AsSpan(0, compressor.Wrap(whole, compressed));
            s_compressors.Return(compressor);

            // A block that does not shrink stands as it is, still shuffled: its size says so.
            return Frame(block.Length >= whole.Length ? whole : block, values.Length, typeSize);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(shuffled);
            ArrayPool<byte>.Shared.Return(compressed);
        }
    }

    private static Compressor NewCompressor()
    {
        var compressor = new Compressor(ZstdLevel);
        compressor.SetParameter(ZSTD_cParameter.ZSTD_c_checksumFlag, 1);
        return compressor;
    }

    private static byte[] Frame(ReadOnlySpan<byte> block, int size, int typeSize)
    {
        byte[] frame = GC.AllocateUninitializedArray<byte>(HeaderBytes + 4 + 4 + block.Length);
        frame[0] = 2;
        frame[1] = 1;
        frame[2] = Shuffled | NotSplit | Zstd;
        frame[3] = (byte)typeSize;
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(4), size);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(8), size);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(12), frame.Length);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(16), HeaderBytes + 4);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(20), block.Length);
        block.CopyTo(frame.AsSpan(24));
        return frame;
    }

    /// <summary>Decompresses a frame that must hold exactly <paramref name="values"/>; beyond them it takes the memory of one
    /// block at most, and of its compressed bytes.</summary>
    /// <param name="frame">The frame.</param>
    /// <param name="values">Filled.</param>
    /// <param name="valueSize">The bytes of a value that the frame must state; 0 for any (jzarr states 1 for all).</param>
    /// <exception cref="InvalidDataException">The frame is damaged, or of a kind that is not read here.</exception>
    public static void Decompress(ReadOnlySpan<byte> frame, Span<byte> values, int valueSize = 0)
    {
        if (frame.Length < HeaderBytes)
            throw new InvalidDataException($"it has {frame.Length} bytes");
        int size = Number(frame, 4), blockSize = Number(frame, 8), flags = frame[2], typeSize = frame[3];
        string codec = s_codecs.ElementAtOrDefault(flags >> 5) ?? $"codec {flags >> 5}";
        if (frame[0] != 2 || (flags & 0x08) != 0)
            throw new InvalidDataException("it is not a blosc 1 frame");
        if (size != values.Length || (valueSize > 0 && typeSize != valueSize))
            throw new InvalidDataException($"it says {size} bytes of {typeSize}-byte values where {values.Length} are due");
        if (Number(frame, 12) != frame.Length)
            throw new InvalidDataException($"it says {Number(frame, 12)} bytes and has {frame.Length}");
        if ((flags & Memcpyed) != 0)
        {
            if (frame.Length != HeaderBytes + values.Length)
                throw new InvalidDataException("its copied bytes are not all there");
            frame[HeaderBytes..].CopyTo(values);
            return;
        }

        if (Unread(codec, (flags & BitShuffled) != 0 ? 2 : 1, typeSize) is { } unread)
            throw new InvalidDataException($"it is {unread}, which is not read");
        if (typeSize == 0 || blockSize < 1 || blockSize > size)
            throw new InvalidDataException($"its blocks have {blockSize} bytes of {typeSize}-byte values");
        int blocks = values.Length == 0 ? 0 : (values.Length - 1) / blockSize + 1;
        if (blocks > (frame.Length - HeaderBytes) / 8)
            throw new InvalidDataException($"its {blocks} blocks do not fit");
        byte[] shuffled = (flags & Shuffled) != 0 && typeSize > 1 ? GC.AllocateUninitializedArray<byte>(blockSize) : [];
        for (int i = 0; i < blocks; i++)
        {
            var target = values.Slice(i * blockSize, Math.Min(blockSize, values.Length - i * blockSize));
            var plain = shuffled.Length > 0 ? shuffled.AsSpan(0, target.Length) : target;
            int start = Number(frame, HeaderBytes + 4 * i);
            if (start < HeaderBytes + 4 * blocks || start > frame.Length - 4)
                throw new InvalidDataException($"its block {i} starts at {start}");

            // c-blosc compresses each byte plane of a split block on its own, unless the block is short or the last, shorter one.
            int splits = (flags & NotSplit) == 0 && typeSize <= MaxSplits && blockSize / typeSize >= MinSplitValues && target.Length == blockSize ? typeSize : 1;
            if (target.Length % splits != 0)
                throw new InvalidDataException($"its blocks of {blockSize} bytes do not split into {splits}");
            var rest = frame[start..];
            for (int split = 0, part = target.Length / splits; split < splits; split++)
            {
                int length = rest.Length < 4 ? 0 : Number(rest, 0);
                if (length < 1 || length > rest.Length - 4)
                    throw new InvalidDataException($"its block {i} has {length} bytes");
                int got = Decode(codec, rest.Slice(4, length), plain.Slice(split * part, part), i);
                if (got != part)
                    throw new InvalidDataException($"its block {i} does not decode to {part} bytes");
                rest = rest[(4 + length)..];
            }

            if (shuffled.Length > 0)
                Unshuffle(plain, target, typeSize);
        }
    }

    /// <summary>The number of bytes that a stream holds, or another one than due where it does not decode.</summary>
    private static int Decode(string codec, ReadOnlySpan<byte> stream, Span<byte> target, int block)
    {
        // What did not shrink stands as it is.
        if (stream.Length == target.Length)
        {
            stream.CopyTo(target);
            return target.Length;
        }

        try
        {
            switch (codec)
            {
                case "lz4":
                    return LZ4Codec.Decode(stream, target);
                case "zstd":
                    var zstd = s_decompressors.Take();
                    int written = zstd.Unwrap(stream, target);
                    s_decompressors.Return(zstd);
                    return written;
                default:
                    using (var zlib = new ZLibStream(new MemoryStream(stream.ToArray()), CompressionMode.Decompress))
                    {
                        int got = zlib.ReadAtLeast(target, target.Length, throwOnEndOfStream: false);
                        return zlib.ReadByte() < 0 ? got : -1;
                    }
            }
        }
        catch (Exception exception) when (exception is ZstdException or ArgumentException or InvalidDataException)
        {
            throw new InvalidDataException($"its block {block} does not decode ({exception.Message})", exception);
        }
    }

    private static int Number(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadInt32LittleEndian(bytes[at..]);

    /// <summary>All first bytes, then all second bytes, ..; bytes beyond the last whole value stay last.</summary>
    private static void Shuffle(ReadOnlySpan<byte> values, Span<byte> shuffled, int typeSize)
    {
        int count = values.Length / typeSize;
        if (typeSize == sizeof(ushort) && BitConverter.IsLittleEndian)
        {
            Split(MemoryMarshal.Cast<byte, ushort>(values), shuffled[..count], shuffled.Slice(count, count));
        }
        else
        {
            for (int b = 0; b < typeSize; b++)
            {
                var plane = shuffled.Slice(b * count, count);
                for (int i = 0; i < plane.Length; i++)
                    plane[i] = values[i * typeSize + b];
            }
        }

        values[(count * typeSize)..].CopyTo(shuffled[(count * typeSize)..]);
    }

    private static void Split(ReadOnlySpan<ushort> values, Span<byte> low, Span<byte> high)
    {
        var wide = MemoryMarshal.Cast<ushort, Vector<ushort>>(values);
        var lows = MemoryMarshal.Cast<byte, Vector<byte>>(low);
        var highs = MemoryMarshal.Cast<byte, Vector<byte>>(high);
        var mask = new Vector<ushort>(byte.MaxValue);
        for (int i = 0; i < lows.Length; i++)
        {
            lows[i] = Vector.Narrow(wide[2 * i] & mask, wide[2 * i + 1] & mask);
            highs[i] = Vector.Narrow(wide[2 * i] >>> 8, wide[2 * i + 1] >>> 8);
        }

        for (int i = lows.Length * Vector<byte>.Count; i < low.Length; i++)
            (low[i], high[i]) = ((byte)values[i], (byte)(values[i] >> 8));
    }

    private static void Unshuffle(ReadOnlySpan<byte> shuffled, Span<byte> values, int typeSize)
    {
        int count = values.Length / typeSize;
        if (typeSize == sizeof(ushort) && BitConverter.IsLittleEndian)
        {
            Join(shuffled[..count], shuffled.Slice(count, count), MemoryMarshal.Cast<byte, ushort>(values));
        }
        else
        {
            for (int b = 0; b < typeSize; b++)
            {
                var plane = shuffled.Slice(b * count, count);
                for (int i = 0; i < plane.Length; i++)
                    values[i * typeSize + b] = plane[i];
            }
        }

        shuffled[(count * typeSize)..].CopyTo(values[(count * typeSize)..]);
    }

    private static void Join(ReadOnlySpan<byte> low, ReadOnlySpan<byte> high, Span<ushort> values)
    {
        var lows = MemoryMarshal.Cast<byte, Vector<byte>>(low);
        var highs = MemoryMarshal.Cast<byte, Vector<byte>>(high);
        var wide = MemoryMarshal.Cast<ushort, Vector<ushort>>(values);
        for (int i = 0; i < lows.Length; i++)
        {
            Vector.Widen(lows[i], out var lowFirst, out var lowSecond);
            Vector.Widen(highs[i], out var highFirst, out var highSecond);
            wide[2 * i] = lowFirst | (highFirst << 8);
            wide[2 * i + 1] = lowSecond | (highSecond << 8);
        }

        for (int i = lows.Length * Vector<byte>.Count; i < low.Length; i++)
            values[i] = (ushort)(low[i] | (high[i] << 8));
    }

    /// <summary>Keeps one for each processor; one whose work threw is not given back.</summary>
    private sealed class Spares<T>(Func<T> create)
        where T : IDisposable
    {
        private readonly ConcurrentBag<T> spares = [];

        public T Take() => spares.TryTake(out var spare) ? spare : create();

        public void Return(T used)
        {
            if (spares.Count < Environment.ProcessorCount)
                spares.Add(used);
            else
                used.Dispose();
        }
    }
}

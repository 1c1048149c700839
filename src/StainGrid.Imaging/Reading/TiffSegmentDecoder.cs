using System.Buffers.Binary;
using System.IO.Compression;
using BitMiracle.LibTiff.Classic;

namespace StainGrid.Imaging.Reading;

/// <summary>Decodes one compressed strip or tile by LibTiff. LibTiff sees an image of its own that holds nothing but this
/// segment: a header written here with sizes that were checked, and the segment's bytes. So threads share nothing, big-endian
/// BigTIFF works as well, and memory is bounded by the segment.</summary>
internal static class TiffSegmentDecoder
{
    private const int HeaderBytes = 8 + 2 + 11 * 12 + 4;

    static TiffSegmentDecoder() => Tiff.SetErrorHandler(new Collector());

    /// <summary>Decodes a segment to samples in the machine's byte order.</summary>
    /// <param name="page">The segment's layout.</param>
    /// <param name="rows">The rows of this segment.</param>
    /// <param name="bigEndian">The file's byte order.</param>
    /// <param name="segment">The header's room (<see cref="HeaderBytes"/>), then the compressed bytes.</param>
    /// <exception cref="InvalidDataException">The bytes do not decode.</exception>
    public static byte[] Decode(TiffPage page, int rows, bool bigEndian, byte[] segment)
    {
        byte[] samples = new byte[(long)page.SegmentWidth * rows * page.PixelType.Bytes()];
        if (page.Compression is 8 or 32946)
            CheckDeflate(segment, samples);
        WriteHeader(page, rows, bigEndian, segment);
        var errors = new List<string>();
        try
        {
            using var stream = new MemoryStream(segment, writable: false);
            using var tiff = Tiff.ClientOpen("segment", "r", errors, new ErrorsKeeper(stream));
            int read = tiff?.ReadEncodedStrip(0, samples, 0, samples.Length) ?? -1;
            if (read == samples.Length && errors.Count == 0)
                return samples;
            throw new InvalidDataException(errors.Count > 0 ? errors[0] : $"{read} of {samples.Length} bytes came out");
        }
        catch (Exception exception) when (exception is not (InvalidDataException or OutOfMemoryException))
        {
            // Indexes out of range and the like: what LibTiff meets in damaged data.
            throw new InvalidDataException(exception.Message, exception);
        }
    }

    /// <summary>Room for the header, then the compressed bytes to be filled in.</summary>
    public static byte[] Allocate(long compressed, out Range bytes)
    {
        bytes = HeaderBytes..;
        return new byte[HeaderBytes + compressed];
    }

    /// <summary>LibTiff stops when the pixels are full and never looks at the checksum behind them: so flipped bits would
    /// pass as pixels. The runtime's zlib looks.</summary>
    private static void CheckDeflate(byte[] segment, byte[] scratch)
    {
        using var inflater = new ZLibStream(new MemoryStream(segment, HeaderBytes, segment.Length - HeaderBytes, writable: false), CompressionMode.Decompress);
        int length = inflater.ReadAtLeast(scratch, scratch.Length, throwOnEndOfStream: false);
        if (length < scratch.Length)
            throw new InvalidDataException($"{length} of {scratch.Length} bytes came out");
        Span<byte> beyond = stackalloc byte[1];
        if (inflater.Read(beyond) > 0)
            throw new InvalidDataException($"more than {scratch.Length} bytes came out");
    }

    /// <summary>A classic TIFF of one strip in the file's byte order, TIFF 6.0 section 2.</summary>
    private static void WriteHeader(TiffPage page, int rows, bool bigEndian, byte[] segment)
    {
        int at = 0;
        segment[0] = segment[1] = bigEndian ? (byte)'M' : (byte)'I';
        at = 2;
        U16(42);
        U32(8);
        U16(11);
        Entry(TiffTag.ImageWidth, page.SegmentWidth);
        Entry(TiffTag.ImageLength, rows);
        Entry(TiffTag.BitsPerSample, page.PixelType.Bytes() * 8);
        Entry(TiffTag.Compression, page.Compression);
        Entry(TiffTag.Photometric, 1);
        Entry(TiffTag.StripOffsets, HeaderBytes);
        Entry(TiffTag.SamplesPerPixel, 1);
        Entry(TiffTag.RowsPerStrip, rows);
        Entry(TiffTag.StripByteCounts, segment.Length - HeaderBytes);
        Entry(TiffTag.Predictor, page.Predictor);
        Entry(TiffTag.SampleFormat, page.PixelType == PixelType.Float32 ? 3 : 1);
        U32(0);

        void Entry(TiffTag tag, int value)
        {
            bool isLong = tag is TiffTag.ImageWidth or TiffTag.ImageLength or TiffTag.StripOffsets or TiffTag.RowsPerStrip or TiffTag.StripByteCounts;
            U16((int)tag);
            U16(isLong ? 4 : 3);
            U32(1);
            if (isLong)
            {
                U32(value);
            }
            else
            {
                U16(value);
                U16(0);
            }
        }

        void U16(int value)
        {
            if (bigEndian)
                BinaryPrimitives.WriteUInt16BigEndian(segment.AsSpan(at), (ushort)value);
            else
                BinaryPrimitives.WriteUInt16LittleEndian(segment.AsSpan(at), (ushort)value);
            at += 2;
        }

        void U32(int value)
        {
            if (bigEndian)
                BinaryPrimitives.WriteInt32BigEndian(segment.AsSpan(at), value);
            else
                BinaryPrimitives.WriteInt32LittleEndian(segment.AsSpan(at), value);
            at += 4;
        }
    }

    /// <summary>LibTiff's errors to the list that the image was opened with, instead of to the console.</summary>
    private sealed class Collector : TiffErrorHandler
    {
        public override void ErrorHandler(Tiff tif, string method, string format, params object[] args)
        {
        }

        public override void ErrorHandlerExt(Tiff tif, object clientData, string method, string format, params object[] args)
        {
            if (clientData is List<string> errors)
                errors.Add(string.Format(CultureInfo.InvariantCulture, format, args));
        }

        public override void WarningHandler(Tiff tif, string method, string format, params object[] args)
        {
        }

        public override void WarningHandlerExt(Tiff tif, object clientData, string method, string format, params object[] args)
        {
        }
    }

    /// <summary>Reads the segment; LibTiff hands its client data to the stream, which is the list of errors here.</summary>
    private sealed class ErrorsKeeper(MemoryStream stream) : TiffStream
    {
        public override int Read(object clientData, byte[] buffer, int offset, int count) => stream.Read(buffer, offset, count);

        public override void Write(object clientData, byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(object clientData, long offset, SeekOrigin origin) => offset < 0 ? -1 : stream.Seek(offset, origin);

        public override void Close(object clientData) => stream.Dispose();

        public override long Size(object clientData) => stream.Length;
    }
}

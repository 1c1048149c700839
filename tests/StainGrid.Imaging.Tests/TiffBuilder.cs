using System.Buffers.Binary;
using System.IO.Compression;

namespace StainGrid.Imaging.Tests;

/// <summary>Writes TIFFs of every flavour that is read, and odd ones, byte by byte after the specification.</summary>
internal sealed record TiffBuilder(int Width, int Height)
{
    public bool BigEndian { get; init; }

    public bool Big { get; init; }

    public int Bits { get; init; } = 16;

    public int SampleFormat { get; init; } = 1;

    public int Compression { get; init; } = 1;

    public int Predictor { get; init; } = 1;

    public int Photometric { get; init; } = 1;

    public int? RowsPerStrip { get; init; }

    public (int Width, int Height)? Tile { get; init; }

    public string? Description { get; init; }

    public (uint, uint)? Resolution { get; init; }

    /// <summary>Values to write instead of the right ones.</summary>
    public Dictionary<int, long> Override { get; init; } = [];

    /// <summary>Whether the last page's pointer leads back to the first.</summary>
    public bool Loop { get; init; }

    /// <summary>Reduced copies: pages whose number is here say so.</summary>
    public HashSet<int> Reduced { get; init; } = [];

    public byte[] Build(params double[][] planes)
    {
        var file = new MemoryStream();
        file.Write(BigEndian ? "MM"u8 : "II"u8);
        U16(file, Big ? 43 : 42);
        if (Big)
        {
            U16(file, 8);
            U16(file, 0);
        }

        long pointer = file.Position;
        Offset(file, 0);
        long first = 0;
        for (int page = 0; page < planes.Length; page++)
        {
            var (segments, segmentWidth, segmentHeight) = Segments(planes[page]);
            var offsets = new List<long>();
            foreach (byte[] segment in segments)
            {
                offsets.Add(file.Position);
                file.Write(segment);
            }

            var entries = new SortedDictionary<int, (int Type, long[] Values)>
            {
                [254] = (4, [Reduced.Contains(page) ? 1 : 0]),
                [256] = (4, [Width]),
                [257] = (4, [Height]),
                [258] = (3, [Bits]),
                [259] = (3, [Compression]),
                [262] = (3, [Photometric]),
                [277] = (3, [1]),
                [284] = (3, [1]),
                [339] = (3, [SampleFormat]),
            };
            if (Predictor != 1)
                entries[317] = (3, [Predictor]);
            if (Tile is null)
                entries[278] = (4, [segmentHeight]);
            else
                (entries[322], entries[323]) = ((4, [segmentWidth]), (4, [segmentHeight]));
            int place = Big ? 16 : 4;
            entries[Tile is null ? 273 : 324] = (place, [.. offsets]);
            entries[Tile is null ? 279 : 325] = (place, [.. segments.Select(segment => (long)segment.Length)]);
            if (Description is not null && page == 0)
                entries[270] = (2, [.. System.Text.Encoding.UTF8.GetBytes(Description + "\0").Select(b => (long)b)]);
            if (Resolution is { } resolution)
                entries[282] = entries[283] = (5, [resolution.Item1, resolution.Item2]);
            foreach (var (tag, value) in Override)
                entries[tag] = (entries.TryGetValue(tag, out var entry) ? entry.Type : 4, [value]);

            // Values that do not fit their entry come first.
            var places = new Dictionary<int, long>();
            foreach (var (tag, (type, values)) in entries)
            {
                if (Bytes(type, values).Length <= (Big ? 8 : 4))
                    continue;
                if (file.Position % 2 != 0)
                    file.WriteByte(0);
                places[tag] = file.Position;
                file.Write(Bytes(type, values));
            }

            if (file.Position % 2 != 0)
                file.WriteByte(0);
            long directory = file.Position;
            if (page == 0)
                first = directory;
            file.Position = pointer;
            Offset(file, directory);
            file.Position = directory;
            if (Big)
                U64(file, entries.Count);
            else
                U16(file, entries.Count);
            foreach (var (tag, (type, values)) in entries)
            {
                U16(file, tag);
                U16(file, type);
                Offset(file, type == 5 ? 1 : values.Length);
                if (places.TryGetValue(tag, out long at))
                {
                    Offset(file, at);
                }
                else
                {
                    byte[] bytes = Bytes(type, values);
                    file.Write(bytes);
                    file.Write(new byte[(Big ? 8 : 4) - bytes.Length]);
                }
            }

            pointer = file.Position;
            Offset(file, 0);
        }

        if (Loop)
        {
            file.Position = pointer;
            Offset(file, first);
        }

        return file.ToArray();
    }

    private (List<byte[]> Segments, int Width, int Height) Segments(double[] plane)
    {
        int width = Tile?.Width ?? Width, height = Tile?.Height ?? RowsPerStrip ?? Height;
        var segments = new List<byte[]>();
        for (int top = 0; top < Height; top += height)
        {
            for (int left = 0; left < Width; left += width)
            {
                int rows = Tile is null ? Math.Min(height, Height - top) : height;
                var data = new MemoryStream();
                for (int y = 0; y < rows; y++)
                {
                    double[] row = [.. Enumerable.Range(left, width).Select(x => x < Width && top + y < Height ? plane[(top + y) * Width + x] : 0)];
                    data.Write(Row(row));
                }

                segments.Add(Compress(data.ToArray(), rows));
            }
        }

        return (segments, width, height);
    }

    private byte[] Row(double[] row)
    {
        var bytes = new MemoryStream();
        if (SampleFormat == 3 && Predictor == 3)
        {
            // Adobe TIFF Technical Note 3: the bytes of equal weight together, the highest first, then differences.
            byte[] planes = new byte[row.Length * 4];
            for (int i = 0; i < row.Length; i++)
            {
                uint bits = BitConverter.SingleToUInt32Bits((float)row[i]);
                for (int b = 0; b < 4; b++)
                    planes[b * row.Length + i] = (byte)(bits >> (24 - 8 * b));
            }

            for (int i = planes.Length - 1; i > 0; i--)
                planes[i] -= planes[i - 1];
            return planes;
        }

        uint[] values = [.. row.Select(value => SampleFormat == 3 ? BitConverter.SingleToUInt32Bits((float)value) : (uint)value)];
        uint previous = 0;
        foreach (uint value in values)
        {
            uint difference = Predictor == 2 ? value - previous : value;
            previous = value;
            if (Bits == 8)
                bytes.WriteByte((byte)difference);
            else if (Bits == 16)
                U16(bytes, (ushort)difference);
            else
                U32(bytes, difference);
        }

        return bytes.ToArray();
    }

    private byte[] Compress(byte[] data, int rows)
    {
        switch (Compression)
        {
            case 8 or 32946:
                var target = new MemoryStream();
                using (var zlib = new ZLibStream(target, CompressionLevel.Optimal, leaveOpen: true))
                    zlib.Write(data);
                return target.ToArray();
            case 32773:
                // Rows are packed on their own (TIFF 6.0, section 9): runs where there are, literals elsewhere.
                var packed = new MemoryStream();
                int stride = data.Length / rows;
                for (int row = 0; row < rows; row++)
                {
                    var line = data.AsSpan(row * stride, stride);
                    while (line.Length > 0)
                    {
                        int run = 1;
                        while (run < Math.Min(128, line.Length) && line[run] == line[0])
                            run++;
                        if (run > 2)
                        {
                            packed.WriteByte((byte)(257 - run));
                            packed.WriteByte(line[0]);
                        }
                        else
                        {
                            run = Math.Min(7, line.Length);
                            packed.WriteByte((byte)(run - 1));
                            packed.Write(line[..run]);
                        }

                        line = line[run..];
                    }
                }

                return packed.ToArray();
            default:
                return data;
        }
    }

    private byte[] Bytes(int type, long[] values)
    {
        var bytes = new MemoryStream();
        foreach (long value in values)
        {
            switch (type)
            {
                case 1 or 2:
                    bytes.WriteByte((byte)value);
                    break;
                case 3:
                    U16(bytes, (int)value);
                    break;
                case 16:
                    U64(bytes, value);
                    break;
                default:
                    U32(bytes, (uint)value);
                    break;
            }
        }

        return bytes.ToArray();
    }

    private void Offset(Stream stream, long value)
    {
        if (Big)
            U64(stream, value);
        else
            U32(stream, (uint)value);
    }

    private void U16(Stream stream, int value)
    {
        Span<byte> bytes = stackalloc byte[2];
        if (BigEndian)
            BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)value);
        else
            BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)value);
        stream.Write(bytes);
    }

    private void U32(Stream stream, uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        if (BigEndian)
            BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        else
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        stream.Write(bytes);
    }

    private void U64(Stream stream, long value)
    {
        Span<byte> bytes = stackalloc byte[8];
        if (BigEndian)
            BinaryPrimitives.WriteInt64BigEndian(bytes, value);
        else
            BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        stream.Write(bytes);
    }
}

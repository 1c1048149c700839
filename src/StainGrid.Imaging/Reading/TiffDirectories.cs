using System.Buffers.Binary;

namespace StainGrid.Imaging.Reading;

/// <summary>Walks the directories (IFDs) of a TIFF or BigTIFF in either byte order. Every position and count is checked
/// against the file's length before it is followed, and no list is read before its size is known to be bounded. LibTiff
/// is not given the directories: it repairs what it finds odd without a word, and a hostile count makes it allocate.
/// </summary>
internal sealed class TiffDirectories
{
    private const int MaxDirectories = 65_536;
    private const int MaxEntries = 4_096;

    private readonly ImageFile _file;

    private TiffDirectories(ImageFile file, bool bigEndian, bool big)
    {
        _file = file;
        BigEndian = bigEndian;
        IsBig = big;
    }

    /// <summary>Whether numbers stand with the most significant byte first ("MM").</summary>
    public bool BigEndian { get; }

    /// <summary>Whether it is a BigTIFF, with 64-bit positions.</summary>
    public bool IsBig { get; }

    /// <summary>Whether a file that starts so is a TIFF.</summary>
    public static bool IsTiff(ReadOnlySpan<byte> start) => start switch
    {
        [(byte)'I', (byte)'I', 42 or 43, 0, ..] => true,
        [(byte)'M', (byte)'M', 0, 42 or 43, ..] => true,
        _ => false,
    };

    /// <summary>Reads the directories in the file's order.</summary>
    /// <exception cref="ImageException">The file is cut off, or its directories are damaged.</exception>
    public static (TiffDirectories Header, IReadOnlyList<TiffDirectory> Pages) Read(ImageFile file)
    {
        Span<byte> header = stackalloc byte[16];
        file.ReadExactly(0, header[..8]);
        bool bigEndian = header[0] == (byte)'M';
        bool big = (bigEndian ? header[3] : header[2]) == 43;
        var directories = new TiffDirectories(file, bigEndian, big);
        ulong next = directories.U32(header[4..]);
        if (big)
        {
            file.ReadExactly(0, header);
            if (directories.U16(header[4..]) != 8 || directories.U16(header[6..]) != 0)
                throw file.Damaged("its BigTIFF header does not say that positions have 8 bytes");
            next = directories.U64(header[8..]);
        }

        var pages = new List<TiffDirectory>();
        var seen = new HashSet<ulong>();
        while (next != 0)
        {
            if (!seen.Add(next))
            {
                throw file.Damaged(string.Create(CultureInfo.InvariantCulture,
                    $"after page {pages.Count} its list of pages comes back to byte {next:N0}, an endless loop"));
            }

            if (pages.Count == MaxDirectories)
                throw file.Unsupported(string.Create(CultureInfo.InvariantCulture, $"has more than {MaxDirectories:N0} pages"), "Split it.");
            (var page, next) = directories.ReadDirectory(next, pages.Count);
            pages.Add(page);
        }

        return pages.Count > 0 ? (directories, pages) : throw file.Damaged("it has no page");
    }

    /// <summary>The whole numbers of an entry; the first value where the tag stands twice, as LibTiff reads it.</summary>
    /// <param name="entry">An entry of type BYTE, SHORT, LONG, LONG8 or IFD.</param>
    /// <param name="what">The tag's name and page, for errors.</param>
    /// <param name="count">How many are wanted; the entry must have at least so many.</param>
    public long[] Integers(TiffEntry entry, string what, int count)
    {
        int size = entry.Type switch
        {
            1 => 1,
            3 => 2,
            4 or 13 => 4,
            16 or 18 => 8,
            _ => throw _file.Damaged($"{what} has type {entry.Type}, which is not a whole number"),
        };
        if (entry.Count < (ulong)count)
            throw _file.Damaged($"{what} has {entry.Count} values where {count} are needed");
        long[] values = new long[count];
        byte[] buffer = new byte[Math.Min((long)count * size, 1 << 16)];
        int perBuffer = buffer.Length / size;
        for (int start = 0; start < count; start += perBuffer)
        {
            var part = buffer.AsSpan(0, Math.Min(perBuffer, count - start) * size);
            _file.ReadExactly(entry.Position + (long)start * size, part);
            for (int i = 0; i < part.Length / size; i++)
            {
                var at = part[(i * size)..];
                values[start + i] = size switch
                {
                    1 => at[0],
                    2 => U16(at),
                    4 => U32(at),
                    _ => U64(at) is var value && value <= long.MaxValue
                        ? (long)value
                        : throw _file.Damaged($"{what} says {value}"),
                };
            }
        }

        return values;
    }

    /// <summary>A RATIONAL's first value, or null where it is of another type or divides by 0.</summary>
    public double? Rational(TiffEntry entry)
    {
        if (entry.Type != 5 || entry.Count < 1)
            return null;
        Span<byte> bytes = stackalloc byte[8];
        _file.ReadExactly(entry.Position, bytes);
        double divisor = U32(bytes[4..]);
        return divisor > 0 ? U32(bytes) / divisor : null;
    }

    /// <summary>An ASCII entry's bytes up to the first NUL.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="what">The tag's name and page, for errors.</param>
    /// <param name="maximum">The most bytes that are read.</param>
    public byte[] Text(TiffEntry entry, string what, int maximum)
    {
        if (entry.Type is not (1 or 2 or 7))
            throw _file.Damaged($"{what} has type {entry.Type}, which is not text");
        if (entry.Count > (ulong)maximum)
            throw _file.Unsupported(string.Create(CultureInfo.InvariantCulture, $"has {entry.Count:N0} bytes of {what}, more than the {maximum:N0} allowed"), "Export it again without.");
        byte[] text = new byte[entry.Count];
        _file.ReadExactly(entry.Position, text);
        int end = text.AsSpan().IndexOf((byte)0);
        return end < 0 ? text : text[..end];
    }

    private (TiffDirectory Page, ulong Next) ReadDirectory(ulong position, int index)
    {
        int countSize = IsBig ? 8 : 2, entrySize = IsBig ? 20 : 12, nextSize = IsBig ? 8 : 4;
        if (position > (ulong)_file.Length)
            throw _file.CutOff(Saturate(position) is var at && at == long.MaxValue ? at : at + countSize);
        Span<byte> number = stackalloc byte[8];
        _file.ReadExactly((long)position, number[..countSize]);
        ulong count = IsBig ? U64(number) : U16(number);
        if (count is 0 or > MaxEntries)
            throw _file.Damaged($"page {index + 1} says it has {count} entries");
        byte[] table = new byte[(int)count * entrySize + nextSize];
        _file.ReadExactly((long)position + countSize, table);

        var entries = new Dictionary<TiffTag, TiffEntry>();
        for (int i = 0; i < (int)count; i++)
        {
            var entry = table.AsSpan(i * entrySize, entrySize);
            var tag = (TiffTag)U16(entry);
            if (!Enum.IsDefined(tag) || entries.ContainsKey(tag))
                continue;
            int type = U16(entry[2..]);
            ulong values = IsBig ? U64(entry[4..]) : U32(entry[4..]);
            int size = type switch { 1 or 2 or 6 or 7 => 1, 3 or 8 => 2, 4 or 9 or 11 or 13 => 4, 5 or 10 or 12 or 16 or 17 or 18 => 8, _ => 0 };
            if (size == 0 || values == 0)
                throw _file.Damaged($"page {index + 1}: {tag} has type {type} and {values} values");
            if (values > (ulong)_file.Length)
            {
                throw _file.Damaged(string.Create(CultureInfo.InvariantCulture,
                    $"page {index + 1}: {tag} says it has {values:N0} values, more than the file has bytes"));
            }

            int valueAt = IsBig ? 12 : 8;
            long bytes = (long)values * size;
            ulong where = bytes <= (IsBig ? 8 : 4)
                ? position + (ulong)(countSize + i * entrySize + valueAt)
                : IsBig ? U64(entry[valueAt..]) : U32(entry[valueAt..]);
            if (where > (ulong)_file.Length || (long)where > _file.Length - bytes)
                throw _file.CutOff(Saturate(where) is var from && from > long.MaxValue - bytes ? long.MaxValue : from + bytes);
            entries.Add(tag, new TiffEntry(type, values, (long)where));
        }

        var after = table.AsSpan((int)count * entrySize);
        return (new TiffDirectory(index, entries), IsBig ? U64(after) : U32(after));
    }

    private static long Saturate(ulong value) => value > long.MaxValue ? long.MaxValue : (long)value;

    private ushort U16(ReadOnlySpan<byte> bytes) =>
        BigEndian ? BinaryPrimitives.ReadUInt16BigEndian(bytes) : BinaryPrimitives.ReadUInt16LittleEndian(bytes);

    private uint U32(ReadOnlySpan<byte> bytes) =>
        BigEndian ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt32LittleEndian(bytes);

    private ulong U64(ReadOnlySpan<byte> bytes) =>
        BigEndian ? BinaryPrimitives.ReadUInt64BigEndian(bytes) : BinaryPrimitives.ReadUInt64LittleEndian(bytes);
}

/// <summary>One page's entries.</summary>
/// <param name="Index">The page's number, from 0.</param>
/// <param name="Entries">The entries that are known here.</param>
internal sealed record TiffDirectory(int Index, IReadOnlyDictionary<TiffTag, TiffEntry> Entries);

/// <summary>An entry whose values are known to lie inside the file.</summary>
/// <param name="Type">The field type, TIFF 6.0 section 2.</param>
/// <param name="Count">The number of values.</param>
/// <param name="Position">Where the values stand.</param>
internal readonly record struct TiffEntry(int Type, ulong Count, long Position);

namespace StainGrid.Imaging.Reading;

/// <summary>A page whose every tag has been checked: its pixels' layout in strips or tiles, both called segments here.
/// A strip is a tile as wide as the image.</summary>
/// <param name="Number">The page's number in the file, from 1, for errors.</param>
/// <param name="Width">Width, pixels.</param>
/// <param name="Height">Height, pixels.</param>
/// <param name="PixelType">The samples' type.</param>
/// <param name="Compression">1, 5, 8 (or 32946) or 32773.</param>
/// <param name="Predictor">1 none, 2 horizontal, 3 floating point.</param>
/// <param name="MinIsWhite">Whether 0 is white.</param>
/// <param name="SegmentWidth">A segment's width, pixels.</param>
/// <param name="SegmentHeight">A segment's height, pixels; the last strip may be lower.</param>
/// <param name="Tiled">Whether segments are tiles, padded to their full size.</param>
/// <param name="Offsets">Each segment's position in the file.</param>
/// <param name="ByteCounts">Each segment's bytes in the file.</param>
internal sealed record TiffPage(
    int Number, int Width, int Height, PixelType PixelType, int Compression, int Predictor, bool MinIsWhite,
    int SegmentWidth, int SegmentHeight, bool Tiled, long[] Offsets, long[] ByteCounts)
{
    private const string ConvertRemedy = "Convert it, for example with `vips copy IN OUT.tif[compression=deflate]`.";
    private const long MaxSegments = 8L << 20;

    /// <summary>Segments side by side.</summary>
    public int Across => (Width - 1) / SegmentWidth + 1;

    /// <summary>Segments one below the other.</summary>
    public int Down => (Height - 1) / SegmentHeight + 1;

    /// <summary>The rows that a segment holds: tiles are padded, the last strip is not.</summary>
    public int Rows(long segment) =>
        Tiled ? SegmentHeight : Math.Min(SegmentHeight, Height - (int)(segment / Across) * SegmentHeight);

    /// <summary>The bytes of a decoded segment.</summary>
    public long DecodedBytes(long segment) => (long)SegmentWidth * Rows(segment) * PixelType.Bytes();

    /// <summary>Checks a directory and reads where its segments are.</summary>
    /// <param name="file">The file.</param>
    /// <param name="header">The file's byte order and kind.</param>
    /// <param name="directory">The page's directory.</param>
    /// <param name="limits">What the file may ask of memory.</param>
    /// <param name="segments">The segments of the pages before, which this page's are added to.</param>
    /// <exception cref="ImageException">The page is damaged, too large, or of a kind that is not read.</exception>
    public static TiffPage Read(ImageFile file, TiffDirectories header, TiffDirectory directory, ImageLimits limits, ref long segments)
    {
        int number = directory.Index + 1;
        string name = file.Name;

        int samples = (int)Number(TiffTag.SamplesPerPixel, 1);
        int photometric = (int)Number(TiffTag.Photometric, -1);
        string? colour = photometric switch
        {
            0 or 1 => null,
            2 => "is a colour (RGB) image",
            3 => "is a palette (indexed colour) image",
            4 => "is a transparency mask",
            5 => "is a colour (CMYK) image",
            6 => "is a colour (YCbCr) image",
            8 or 9 or 10 => "is a colour (Lab) image",
            32803 => "is a raw camera image (colour filter array)",
            -1 => "does not say how its values are meant (no PhotometricInterpretation)",
            _ => $"has photometric interpretation {photometric}",
        };
        if (colour is not null || samples != 1)
        {
            string channels = samples == 1 ? "1 channel" : $"{samples} channels";
            throw file.Unsupported(colour is null ? $"has {channels} a pixel" : $"{colour} with {channels} a pixel",
                "Give one grey channel: export the transmitted-light channel alone.");
        }

        long width = Number(TiffTag.ImageWidth), height = Number(TiffTag.ImageLength);
        limits.CheckPlane(name, width, height);

        int bits = (int)Number(TiffTag.BitsPerSample, 1), format = (int)Number(TiffTag.SampleFormat, 1);
        var type = (bits, format) switch
        {
            (8, 1) => PixelType.UInt8,
            (16, 1) => PixelType.UInt16,
            (32, 3) => PixelType.Float32,
            _ => throw file.Unsupported($"has {bits}-bit {FormatName(format)} samples",
                "8 and 16-bit unsigned and 32-bit floating point are read: export it as one of these."),
        };

        int compression = (int)Number(TiffTag.Compression, 1);
        if (compression is not (1 or 5 or 8 or 32946 or 32773))
            throw file.Unsupported($"is compressed with {CompressionName(compression)}", $"None, LZW, deflate and PackBits are read. {ConvertRemedy}");
        int predictor = compression is 1 or 32773 ? 1 : (int)Number(TiffTag.Predictor, 1);
        if (predictor is not (1 or 2 or 3) || (predictor == 3 && type != PixelType.Float32))
            throw file.Unsupported($"has predictor {predictor} for {bits}-bit {FormatName(format)} samples", ConvertRemedy);
        if (Number(TiffTag.FillOrder, 1) != 1)
            throw file.Unsupported("has its bits in reverse order (FillOrder 2)", ConvertRemedy);
        if (Number(TiffTag.PlanarConfiguration, 1) is not (1 or 2) and var planar)
            throw file.Damaged($"page {number}: PlanarConfiguration is {planar}");
        if (Number(TiffTag.Orientation, 1) is not 1 and var orientation)
            throw file.Unsupported($"is to be turned or mirrored for display (Orientation {orientation})", "Export it upright (Orientation 1).");
        if (photometric == 0 && type == PixelType.Float32)
            throw file.Unsupported("has floating-point samples where 0 is white, which has no fixed inverse", "Export it with 0 as black.");

        bool tiled = directory.Entries.ContainsKey(TiffTag.TileOffsets) || directory.Entries.ContainsKey(TiffTag.TileWidth);
        long segmentWidth = tiled ? Number(TiffTag.TileWidth) : width;
        long segmentHeight = tiled ? Number(TiffTag.TileLength) : Math.Min(Number(TiffTag.RowsPerStrip, uint.MaxValue), height);
        if (segmentWidth < 1 || segmentHeight < 1 || segmentWidth > int.MaxValue || segmentHeight > int.MaxValue)
            throw file.Damaged($"page {number}: its {(tiled ? "tiles" : "strips")} are {segmentWidth}x{segmentHeight} pixels");
        if (compression != 1)
        {
            // Asked before the product is taken: both factors are below 2^31.
            limits.CheckDecoded(name, tiled ? "one tile" : "one strip", segmentWidth * segmentHeight > long.MaxValue / 4 ? long.MaxValue : segmentWidth * segmentHeight * type.Bytes(),
                "Write it again with tiles (`vips copy IN OUT.tif[tile,compression=deflate]`) or raise the limit.");
        }

        long count = ((width - 1) / segmentWidth + 1) * ((height - 1) / segmentHeight + 1);
        segments += count;
        if (segments > MaxSegments)
        {
            throw file.Unsupported(string.Create(CultureInfo.InvariantCulture,
                $"says it has {segments:N0} strips or tiles up to page {number}, more than the {MaxSegments:N0} allowed"),
                "Write it again with larger tiles, or split it.");
        }

        var (offsetTag, countTag) = tiled
            ? (TiffTag.TileOffsets, TiffTag.TileByteCounts)
            : (TiffTag.StripOffsets, TiffTag.StripByteCounts);
        long[] offsets = header.Integers(Entry(offsetTag), $"page {number}: {offsetTag}", (int)count);
        long[] byteCounts = directory.Entries.ContainsKey(countTag) || compression != 1
            ? header.Integers(Entry(countTag), $"page {number}: {countTag}", (int)count)
            : [.. offsets.Select(_ => 0L)];
        bool counted = directory.Entries.ContainsKey(countTag);
        var page = new TiffPage(number, (int)width, (int)height, type, compression, predictor, photometric == 0,
            (int)segmentWidth, (int)segmentHeight, tiled, offsets, byteCounts);
        for (int i = 0; i < count; i++)
        {
            // A strip whose count is absent in an uncompressed file has a known size (TIFF 6.0 requires the tag; early
            // writers left it out).
            long decoded = page.DecodedBytes(i);
            if (!counted)
                byteCounts[i] = decoded;
            string where = $"page {number}: {(tiled ? "tile" : "strip")} {i + 1} of {count}";
            if (offsets[i] == 0 || byteCounts[i] == 0)
                throw file.Damaged($"{where} is absent");
            if (offsets[i] > file.Length || byteCounts[i] > file.Length - offsets[i])
                throw file.CutOff(offsets[i] > long.MaxValue - byteCounts[i] ? long.MaxValue : offsets[i] + byteCounts[i]);
            if (compression == 1 && byteCounts[i] < decoded)
                throw file.Damaged($"{where} has {byteCounts[i]} bytes where its pixels take {decoded}");
            if (compression != 1 && byteCounts[i] > 2 * decoded + 65_536)
                throw file.Damaged($"{where} has {byteCounts[i]} compressed bytes where its pixels take {decoded}");
        }

        return page;

        TiffEntry Entry(TiffTag tag) => directory.Entries.TryGetValue(tag, out var entry)
            ? entry
            : throw file.Damaged($"page {number} has no {tag}");

        long Number(TiffTag tag, long? absent = null) =>
            directory.Entries.TryGetValue(tag, out var entry) || absent is null
                ? header.Integers(absent is null ? Entry(tag) : entry, $"page {number}: {tag}", 1)[0]
                : absent.Value;
    }

    private static string FormatName(int format) => format switch
    {
        1 => "unsigned",
        2 => "signed",
        3 => "floating-point",
        5 or 6 => "complex",
        _ => $"untyped (SampleFormat {format})",
    };

    private static string CompressionName(int compression) => compression switch
    {
        2 or 3 or 4 or 32771 => "a fax code (CCITT)",
        6 or 7 => "JPEG",
        9 or 10 or 34661 => "JBIG",
        32809 => "ThunderScan",
        32908 or 32909 => "PixarLog",
        33003 or 33004 or 33005 or 34712 => "JPEG 2000",
        34676 or 34677 => "SGILog",
        34887 => "LERC",
        34892 => "lossy JPEG (DNG)",
        34925 => "LZMA",
        34933 or 50001 or 50000 => compression == 50000 ? "Zstandard" : compression == 50001 ? "WebP" : "PNG",
        50002 => "JPEG XL",
        22610 or 34934 => "JPEG XR",
        _ => $"an unknown method ({compression})",
    };
}

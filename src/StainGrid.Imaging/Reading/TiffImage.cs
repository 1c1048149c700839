using StainGrid.Tiling;

namespace StainGrid.Imaging.Reading;

/// <summary>A grey TIFF whose full-size pages are the planes of a z-stack. A read decodes the strips or tiles that it
/// touches; uncompressed pixels are read straight from their places.</summary>
internal sealed class TiffImage : PlaneImage
{
    private const int MaxDescriptionBytes = 32 << 20;

    private readonly ImageFile _file;
    private readonly bool _bigEndian;
    private readonly TiffPage[] _planes;
    private readonly DecodedCache _cache;

    private TiffImage(ImageFile file, bool bigEndian, TiffPage[] planes, DecodedCache cache, ImageInfo info)
        : base(info)
    {
        _file = file;
        _bigEndian = bigEndian;
        _planes = planes;
        _cache = cache;
    }

    public static TiffImage Open(ImageFile file, ImageLimits limits, DecodedCache cache)
    {
        var (header, directories) = TiffDirectories.Read(file);
        var pages = new List<TiffPage>();
        long segments = 0;
        foreach (var directory in directories)
        {
            // Reduced copies (bit 0: pyramids, thumbnails) and masks (bit 2) are not planes.
            long kind = directory.Entries.TryGetValue(TiffTag.NewSubfileType, out var subfile)
                ? header.Integers(subfile, $"page {directory.Index + 1}: NewSubfileType", 1)[0]
                : 0;
            if ((kind & 0b101) != 0)
                continue;
            var page = TiffPage.Read(file, header, directory, limits, ref segments);
            if (pages.Count > 0 && (page.Width, page.Height, page.PixelType) != (pages[0].Width, pages[0].Height, pages[0].PixelType))
            {
                throw file.Unsupported(
                    $"has pages that differ: page {pages[0].Number} is {pages[0].Width}x{pages[0].Height} {pages[0].PixelType}, "
                    + $"page {page.Number} is {page.Width}x{page.Height} {page.PixelType}", "Give a z-stack of like planes.");
            }

            pages.Add(page);
        }

        if (pages.Count == 0)
            throw file.Damaged("every page says it is a reduced copy of another");

        var planes = pages.ToArray();
        var info = new ImageInfo(file.Path, header.IsBig ? "BigTIFF" : "TIFF", planes[0].Width, planes[0].Height, planes.Length, planes[0].PixelType);
        if (directories[0].Entries.TryGetValue(TiffTag.ImageDescription, out var description))
        {
            byte[] text = header.Text(description, "ImageDescription", MaxDescriptionBytes);
            if (OmeXml.IsOme(text))
            {
                var ome = OmeXml.Read(file, text);
                planes = ome.Arrange(file, planes);
                info = info with
                {
                    Format = "OME-TIFF",
                    Planes = planes.Length,
                    PhysicalSizeX = ome.PhysicalSizeX,
                    PhysicalSizeY = ome.PhysicalSizeY,
                    PhysicalSizeZ = ome.PhysicalSizeZ,
                    ChannelName = ome.ChannelName,
                };
            }
            else if (ImageJDescription.IsImageJ(text))
            {
                var imageJ = ImageJDescription.Read(file, text, planes.Length);
                info = info with
                {
                    PhysicalSizeX = imageJ.PixelSize(Resolution(TiffTag.XResolution)),
                    PhysicalSizeY = imageJ.PixelSize(Resolution(TiffTag.YResolution)),
                    PhysicalSizeZ = imageJ.Spacing,
                };
            }
        }

        return new TiffImage(file, header.BigEndian, planes, cache, info);

        double? Resolution(TiffTag tag) =>
            directories[0].Entries.TryGetValue(tag, out var entry) ? header.Rational(entry) : null;
    }

    protected override void ReadInside(int plane, Region region, Span<float> destination)
    {
        var page = _planes[plane];
        int bytes = page.PixelType.Bytes();
        byte[] row = page.Compression == 1 ? new byte[Math.Min(region.Width, page.SegmentWidth) * bytes] : [];
        for (int down = region.Y / page.SegmentHeight; down <= (region.Bottom - 1) / page.SegmentHeight; down++)
        {
            for (int across = region.X / page.SegmentWidth; across <= (region.Right - 1) / page.SegmentWidth; across++)
            {
                long index = (long)down * page.Across + across;
                int left = across * page.SegmentWidth, top = down * page.SegmentHeight;
                int fromX = Math.Max(region.X, left), toX = (int)Math.Min(region.Right, (long)left + page.SegmentWidth);
                int fromY = Math.Max(region.Y, top), toY = (int)Math.Min(region.Bottom, (long)top + page.SegmentHeight);
                byte[]? decoded = page.Compression == 1
                    ? null
                    : _cache.GetOrDecode(page, index, segment => Decode(page, segment));
                for (int y = fromY; y < toY; y++)
                {
                    long at = ((long)(y - top) * page.SegmentWidth + (fromX - left)) * bytes;
                    ReadOnlySpan<byte> samples;
                    if (decoded is null)
                    {
                        var part = row.AsSpan(0, (toX - fromX) * bytes);
                        _file.ReadExactly(page.Offsets[index] + at, part);
                        if (_bigEndian == BitConverter.IsLittleEndian)
                            Samples.Swap(part, page.PixelType);
                        samples = part;
                    }
                    else
                    {
                        samples = decoded.AsSpan((int)at, (toX - fromX) * bytes);
                    }

                    var line = destination.Slice((int)((long)(y - region.Y) * region.Width + (fromX - region.X)), toX - fromX);
                    int bad = Samples.ToFloats(samples, page.PixelType, page.MinIsWhite, line);
                    if (bad >= 0)
                    {
                        throw new ImageException(string.Create(CultureInfo.InvariantCulture,
                            $"{_file.Name}: the value at x {fromX + bad}, y {y} of plane {plane} is {line[bad]}. "
                            + $"Replace values that are not finite and submit it again."));
                    }
                }
            }
        }
    }

    protected override void Close()
    {
        _cache.Clear();
        _file.Dispose();
    }

    private byte[] Decode(TiffPage page, long segment)
    {
        byte[] bytes = TiffSegmentDecoder.Allocate(page.ByteCounts[segment], out var compressed);
        _file.ReadExactly(page.Offsets[segment], bytes.AsSpan(compressed));
        try
        {
            return TiffSegmentDecoder.Decode(page, page.Rows(segment), _bigEndian, bytes);
        }
        catch (InvalidDataException exception)
        {
            throw _file.Damaged($"page {page.Number}: {(page.Tiled ? "tile" : "strip")} {segment + 1} of {page.Offsets.Length} "
                + $"does not decode ({exception.Message.TrimEnd('.', ' ')})");
        }
    }
}

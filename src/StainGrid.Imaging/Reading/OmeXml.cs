using System.Xml;

namespace StainGrid.Imaging.Reading;

/// <summary>What OME-XML in a TIFF's first ImageDescription says of the pixels (OME model 2016-06, OME-TIFF
/// specification).</summary>
internal sealed record OmeXml
{
    private const int MaxPlanes = 65_536;

    public required int SizeX { get; init; }

    public required int SizeY { get; init; }

    public required int SizeZ { get; init; }

    public double? PhysicalSizeX { get; init; }

    public double? PhysicalSizeY { get; init; }

    public double? PhysicalSizeZ { get; init; }

    public string? ChannelName { get; init; }

    /// <summary>Which pages hold which planes; empty where planes follow the pages' order.</summary>
    public IReadOnlyList<(int FirstPage, int FirstZ, int? Count)> Places { get; init; } = [];

    /// <summary>Whether a description is OME-XML.</summary>
    public static bool IsOme(ReadOnlySpan<byte> description)
    {
        var start = description[..Math.Min(description.Length, 8192)];
        return start.IndexOf("openmicroscopy.org/Schemas"u8) >= 0 && (start.IndexOf("<OME"u8) >= 0 || start.IndexOf(":OME"u8) >= 0);
    }

    /// <summary>Reads the first image's pixels.</summary>
    /// <exception cref="ImageException">The XML is damaged, or says that the file is not one channel at one time.</exception>
    public static OmeXml Read(ImageFile file, byte[] description)
    {
        var settings = new XmlReaderSettings
        {
            DtdProcessing = DtdProcessing.Prohibit,
            XmlResolver = null,
            IgnoreComments = true,
            IgnoreWhitespace = true,
        };
        try
        {
            using var reader = XmlReader.Create(new MemoryStream(description), settings);
            OmeXml? pixels = null;
            string? channel = null;
            int images = 0;
            var places = new List<(int, int, int?)>();
            while (reader.Read())
            {
                if (reader.NodeType != XmlNodeType.Element)
                    continue;
                switch (reader.LocalName)
                {
                    case "Image":
                        images++;
                        break;
                    case "Pixels" when pixels is null:
                        pixels = ReadPixels(file, reader);
                        break;
                    case "Channel" when images == 1:
                        channel ??= reader.GetAttribute("Name");
                        break;
                    case "TiffData" when images == 1:
                        int? page = Optional(file, reader, "IFD");
                        if (places.Count < MaxPlanes)
                            places.Add((page ?? 0, Optional(file, reader, "FirstZ") ?? 0, Optional(file, reader, "PlaneCount") ?? (page is null ? null : 1)));
                        break;
                    case "UUID" when images == 1 && reader.GetAttribute("FileName") is { } other && Path.GetFileName(other) != file.Name
                        && Path.GetDirectoryName(file.LocalPath) is { } folder && File.Exists(Path.Combine(folder, Path.GetFileName(other))):
                        throw file.Unsupported($"says in its OME-XML that planes of it are in {Path.GetFileName(other)}", "Save the stack as one file.");
                    case "BinaryOnly":
                        throw file.Unsupported("keeps its OME-XML in another file (BinaryOnly)", "Save the stack as one file.");
                }
            }

            if (images > 1)
                throw file.Unsupported($"holds {images} images", "Export one image a file.");
            return (pixels ?? throw file.Damaged("its OME-XML has no Pixels")) with { ChannelName = channel, Places = places };
        }
        catch (XmlException exception)
        {
            throw new ImageException($"{file.Name} has OME-XML that is damaged: {exception.Message} Export it again.", exception);
        }
    }

    /// <summary>Puts the file's pages into the planes' order.</summary>
    /// <exception cref="ImageException">There are fewer or more pages than planes, or a plane has no page.</exception>
    public TiffPage[] Arrange(ImageFile file, TiffPage[] pages)
    {
        if ((SizeX, SizeY) != (pages[0].Width, pages[0].Height))
            throw file.Damaged($"its OME-XML says {SizeX}x{SizeY} pixels, its pages have {pages[0].Width}x{pages[0].Height}");
        if (SizeZ > pages.Length)
        {
            throw new ImageException($"{file.Name} has {pages.Length} of the {SizeZ} planes that its OME-XML says. "
                + "The copy was cut off, or planes are in other files; copy it again or save the stack as one file.");
        }

        if (SizeZ < pages.Length)
            throw file.Damaged($"it has {pages.Length} pages where its OME-XML says {SizeZ} planes");
        if (Places.Count == 0)
            return pages;

        var planes = new TiffPage?[SizeZ];
        foreach (var (firstPage, firstZ, count) in Places)
        {
            for (int i = 0; i < (count ?? SizeZ - firstZ); i++)
            {
                if (firstZ < 0 || firstPage < 0 || i >= SizeZ - firstZ || i >= pages.Length - firstPage)
                    throw file.Damaged($"its OME-XML puts plane {(long)firstZ + i + 1} of {SizeZ} on page {(long)firstPage + i + 1} of {pages.Length}");
                planes[firstZ + i] = pages[firstPage + i];
            }
        }

        int missing = Array.IndexOf(planes, null);
        return missing < 0 ? [.. planes.OfType<TiffPage>()] : throw file.Damaged($"its OME-XML puts plane {missing + 1} of {SizeZ} on no page");
    }

    private static OmeXml ReadPixels(ImageFile file, XmlReader reader)
    {
        int channels = Required("SizeC"), times = Required("SizeT");
        if (channels != 1)
            throw file.Unsupported($"has {channels} channels", "Give one grey channel: export the transmitted-light channel alone.");
        if (times != 1)
            throw file.Unsupported($"has {times} time points", "Give one time point a file.");
        return new OmeXml
        {
            SizeX = Required("SizeX"),
            SizeY = Required("SizeY"),
            SizeZ = Required("SizeZ"),
            PhysicalSizeX = Micrometres("X"),
            PhysicalSizeY = Micrometres("Y"),
            PhysicalSizeZ = Micrometres("Z"),
        };

        int Required(string attribute) => Optional(file, reader, attribute) is { } value and > 0
            ? value
            : throw file.Damaged($"its OME-XML has no valid {attribute}");

        double? Micrometres(string axis) =>
            double.TryParse(reader.GetAttribute($"PhysicalSize{axis}"), NumberStyles.Float, CultureInfo.InvariantCulture, out double size)
                ? LengthUnit.ToMicrometres(size, reader.GetAttribute($"PhysicalSize{axis}Unit") ?? "µm")
                : null;
    }

    private static int? Optional(ImageFile file, XmlReader reader, string attribute)
    {
        if (reader.GetAttribute(attribute) is not { } text)
            return null;
        return int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out int value)
            ? value
            : throw file.Damaged($"its OME-XML says {attribute} is {(text.Length > 20 ? text[..20] + ".." : text)}");
    }
}

using System.Text;

namespace StainGrid.Imaging.Reading;

/// <summary>What ImageJ writes into a TIFF's first ImageDescription: lines of key=value.</summary>
internal sealed record ImageJDescription
{
    /// <summary>The unit of the resolution tags, where it is a length.</summary>
    public string? Unit { get; init; }

    /// <summary>The step between planes in micrometres.</summary>
    public double? Spacing { get; init; }

    /// <summary>Whether a description is ImageJ's.</summary>
    public static bool IsImageJ(ReadOnlySpan<byte> description) => description.StartsWith("ImageJ="u8);

    /// <summary>Reads the description.</summary>
    /// <exception cref="ImageException">It says channels, times, or another number of planes than there are pages.
    /// ImageJ keeps stacks over 4 GB behind one page: read as a single plane they would lose the others.</exception>
    public static ImageJDescription Read(ImageFile file, byte[] description, int pages)
    {
        var values = new Dictionary<string, string>();
        foreach (string line in Encoding.Latin1.GetString(description).Split('\n'))
        {
            if (line.IndexOf('=', StringComparison.Ordinal) is > 0 and var at)
                values.TryAdd(line[..at].Trim(), line[(at + 1)..].Trim());
        }

        if (Number("channels") is > 1 and var channels)
            throw file.Unsupported($"has {channels} channels", "Give one grey channel: export the transmitted-light channel alone.");
        if (Number("frames") is > 1 and var frames)
            throw file.Unsupported($"has {frames} time points", "Give one time point a file (a z-stack that ImageJ calls frames: Image > Properties).");
        if (Number("images") is { } images && images != pages)
        {
            throw new ImageException($"{file.Name} has {pages} of the {images} pages that its ImageJ description says. "
                + "The copy was cut off, or ImageJ kept a large stack behind one page; save it as OME-TIFF.");
        }

        string? unit = values.GetValueOrDefault("unit");
        return new ImageJDescription
        {
            Unit = unit,
            Spacing = unit is not null && double.TryParse(values.GetValueOrDefault("spacing"), NumberStyles.Float, CultureInfo.InvariantCulture, out double spacing)
                ? LengthUnit.ToMicrometres(Math.Abs(spacing), unit)
                : null,
        };

        long? Number(string key) =>
            double.TryParse(values.GetValueOrDefault(key), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && Math.Abs(value) < 1e9 ? (long)value : null;
    }

    /// <summary>A pixel's size in micrometres, from a resolution in pixels a unit.</summary>
    public double? PixelSize(double? resolution) =>
        resolution > 0 && Unit is not null ? LengthUnit.ToMicrometres(1 / resolution.Value, Unit) : null;
}

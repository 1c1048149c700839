namespace StainGrid.Imaging.Reading;

/// <summary>Lengths in the units that OME-XML and ImageJ write.</summary>
internal static class LengthUnit
{
    /// <summary>A length in micrometres, or null where the unit is none ("pixel", "reference frame", unknown) or the
    /// length is not positive.</summary>
    public static double? ToMicrometres(double length, string unit)
    {
        double? factor = unit.Trim() switch
        {
            "µm" or "μm" or "um" or "micron" or "microns" or "micrometer" or "\\u00B5m" => 1,
            "nm" => 1e-3,
            "pm" => 1e-6,
            "Å" => 1e-4,
            "mm" => 1e3,
            "cm" => 1e4,
            "dm" => 1e5,
            "m" => 1e6,
            "inch" or "in" => 25_400,
            _ => null,
        };
        return length * factor is { } size && double.IsFinite(size) && size > 0 ? size : null;
    }
}

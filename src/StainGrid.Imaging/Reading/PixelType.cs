namespace StainGrid.Imaging;

/// <summary>The type of an image's samples as they stand in the file.</summary>
public enum PixelType
{
    /// <summary>8-bit unsigned, 0 to 255.</summary>
    UInt8,

    /// <summary>16-bit unsigned, 0 to 65,535.</summary>
    UInt16,

    /// <summary>32-bit IEEE 754.</summary>
    Float32,
}

/// <summary>What follows from a <see cref="PixelType"/>.</summary>
public static class PixelTypeExtensions
{
    /// <summary>The bytes of one sample: 1, 2 or 4.</summary>
    public static int Bytes(this PixelType type) => type switch
    {
        PixelType.UInt8 => 1,
        PixelType.UInt16 => 2,
        PixelType.Float32 => 4,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };

    /// <summary>The largest value that the type holds: 255, 65,535, or 1 for floats, whose range is not fixed.</summary>
    public static double Maximum(this PixelType type) => type switch
    {
        PixelType.UInt8 => byte.MaxValue,
        PixelType.UInt16 => ushort.MaxValue,
        PixelType.Float32 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
    };
}

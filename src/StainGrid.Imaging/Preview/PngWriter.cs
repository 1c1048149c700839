using NetVips;

namespace StainGrid.Imaging;

/// <summary>Writes PNG files: 16-bit grey for data, 8-bit RGB for pictures. The same pixels give the same bytes; a file is
/// there as a whole or not at all.</summary>
public static class PngWriter
{
    static PngWriter() => Vips.Prepare();

    /// <summary>Writes a grey image of 16 bits.</summary>
    /// <param name="path">The file; its folder must exist. An earlier file is replaced.</param>
    /// <param name="pixels">Width x height values, row by row.</param>
    /// <param name="width">Width, pixels.</param>
    /// <param name="height">Height, pixels.</param>
    /// <exception cref="ImageException">The file cannot be written.</exception>
    public static void WriteGrey16(string path, ReadOnlySpan<ushort> pixels, int width, int height)
    {
        Check(pixels.Length, width, height, 1);
        using var image = Image.NewFromMemory(pixels.ToArray(), width, height, 1, Enums.BandFormat.Ushort);
        using var grey = image.Copy(interpretation: Enums.Interpretation.Grey16);
        Save(path, grey, 16);
    }

    /// <summary>Writes a grey image of 8 bits.</summary>
    /// <param name="path">The file; its folder must exist. An earlier file is replaced.</param>
    /// <param name="pixels">Width x height values, row by row.</param>
    /// <param name="width">Width, pixels.</param>
    /// <param name="height">Height, pixels.</param>
    /// <exception cref="ImageException">The file cannot be written.</exception>
    public static void WriteGrey8(string path, ReadOnlySpan<byte> pixels, int width, int height)
    {
        Check(pixels.Length, width, height, 1);
        using var image = Image.NewFromMemory(pixels.ToArray(), width, height, 1, Enums.BandFormat.Uchar);
        using var grey = image.Copy(interpretation: Enums.Interpretation.Bw);
        Save(path, grey, 8);
    }

    /// <summary>Writes a colour image of 8 bits a channel.</summary>
    /// <param name="path">The file; its folder must exist. An earlier file is replaced.</param>
    /// <param name="pixels">Width x height x 3 values, row by row, red, green, blue.</param>
    /// <param name="width">Width, pixels.</param>
    /// <param name="height">Height, pixels.</param>
    /// <exception cref="ImageException">The file cannot be written.</exception>
    public static void WriteRgb8(string path, ReadOnlySpan<byte> pixels, int width, int height)
    {
        Check(pixels.Length, width, height, 3);
        using var image = Image.NewFromMemory(pixels.ToArray(), width, height, 3, Enums.BandFormat.Uchar);
        using var colour = image.Copy(interpretation: Enums.Interpretation.Srgb);
        Save(path, colour, 8);
    }

    private static void Check(int length, int width, int height, int bands)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(width);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(height);
        if (length != (long)width * height * bands)
            throw new ArgumentException($"{width}x{height}x{bands} pixels are due; {length} were given.");
    }

    private static void Save(string path, Image image, int bits)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string partial = $"{path}.{Guid.NewGuid():N}{BlobKey.Partial}";
        try
        {
            File.WriteAllBytes(partial, image.PngsaveBuffer(compression: 6, bitdepth: bits, keep: Enums.ForeignKeep.None));
            File.Move(partial, path, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or VipsException)
        {
            try
            {
                File.Delete(partial);
            }
            catch (Exception second) when (second is IOException or UnauthorizedAccessException)
            {
                // Left behind under a name that says it is partial.
            }

            string reason = exception is VipsException vips ? Vips.Reason(vips) + "." : exception.Message;
            throw new ImageException($"{path} cannot be written: {reason} Check the folder, the permissions and the space.", exception);
        }
    }
}

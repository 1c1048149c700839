namespace StainGrid.Imaging;

/// <summary>What is known of an image before a pixel is decoded.</summary>
/// <param name="Path">Where the image was read from; the first file's path for a stack of files.</param>
/// <param name="Format">"PNG", "TIFF", "BigTIFF" or "OME-TIFF".</param>
/// <param name="Width">Width, pixels, at least 1.</param>
/// <param name="Height">Height, pixels, at least 1.</param>
/// <param name="Planes">Planes of the z-stack, at least 1.</param>
/// <param name="PixelType">The samples' type in the file.</param>
public sealed record ImageInfo(string Path, string Format, int Width, int Height, int Planes, PixelType PixelType)
{
    /// <summary>The file's name without its folder.</summary>
    public string Name => System.IO.Path.GetFileName(Path);

    /// <summary>A pixel's width in micrometres, where the file says it (OME-XML, ImageJ).</summary>
    public double? PhysicalSizeX { get; init; }

    /// <summary>A pixel's height in micrometres, where the file says it (OME-XML, ImageJ).</summary>
    public double? PhysicalSizeY { get; init; }

    /// <summary>The step between planes in micrometres, where the file says it (OME-XML).</summary>
    public double? PhysicalSizeZ { get; init; }

    /// <summary>The channel's name, where the file says it (OME-XML).</summary>
    public string? ChannelName { get; init; }

    /// <summary>The files that the planes come from, in the planes' order; one for a file that holds a whole stack.</summary>
    public IReadOnlyList<string> Files { get; init; } = [Path];
}

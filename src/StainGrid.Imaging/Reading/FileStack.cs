using StainGrid.Tiling;

namespace StainGrid.Imaging.Reading;

/// <summary>A z-stack whose planes are files.</summary>
internal sealed class FileStack(IReadOnlyList<IPlaneImage> planes) : PlaneImage(
    planes[0].Info with { Planes = planes.Count, Files = [.. planes.Select(plane => plane.Info.Path)] })
{
    /// <summary>How a file does not fit the first one, or null where it does.</summary>
    public static string? Misfit(ImageInfo first, ImageInfo other) =>
        other.Planes != 1 ? $"has {other.Planes} planes"
        : (other.Width, other.Height) != (first.Width, first.Height)
            ? $"is {other.Width}x{other.Height} pixels, {first.Name} is {first.Width}x{first.Height}"
        : other.PixelType != first.PixelType ? $"has {other.PixelType} pixels, {first.Name} has {first.PixelType}"
        : null;

    protected override void ReadInside(int plane, Region region, Span<float> destination) =>
        planes[plane].Read(0, region, destination);

    protected override void Close()
    {
        foreach (var plane in planes)
            plane.Dispose();
    }
}

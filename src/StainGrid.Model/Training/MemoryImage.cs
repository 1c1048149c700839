using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>A 16-bit image that was computed.</summary>
/// <param name="width">Width, pixels.</param>
/// <param name="height">Height, pixels.</param>
/// <param name="planes">The pixels of each plane.</param>
internal sealed class MemoryImage(int width, int height, IReadOnlyList<ushort[]> planes) : IPlaneImage
{
    public ImageInfo Info { get; } = new("synthetic", "memory", width, height, planes.Count, PixelType.UInt16);

    public void Read(int plane, Region region, Span<float> destination)
    {
        for (int y = 0; y < region.Height; y++)
        {
            for (int x = 0; x < region.Width; x++)
                destination[y * region.Width + x] = planes[plane][(region.Y + y) * width + region.X + x];
        }
    }

    public void Dispose()
    {
    }
}

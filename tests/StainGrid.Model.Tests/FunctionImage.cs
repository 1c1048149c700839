using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests;

/// <summary>An image whose pixels are a function, which may throw to prove that a pixel is not read.</summary>
internal sealed class FunctionImage(int width, int height, int planes, PixelType type, Func<int, int, int, float> pixel) : IPlaneImage
{
    public ImageInfo Info { get; } = new("function", "memory", width, height, planes, type);

    public void Read(int plane, Region region, Span<float> destination)
    {
        Assert.Equal(region, region.Intersect(new Region(0, 0, width, height)));
        for (int y = 0; y < region.Height; y++)
        {
            for (int x = 0; x < region.Width; x++)
                destination[y * region.Width + x] = pixel(plane, region.X + x, region.Y + y);
        }
    }

    public void Dispose()
    {
    }
}

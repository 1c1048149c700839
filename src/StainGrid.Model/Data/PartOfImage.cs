using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>What may be seen of an image, as an image of its own: reflections and percentiles stop at its borders, and nothing outside is read.</summary>
/// <param name="image">The whole image; not disposed of here.</param>
/// <param name="part">The pixels, inside the image.</param>
internal sealed class PartOfImage(IPlaneImage image, Region part) : IPlaneImage
{
    public ImageInfo Info { get; } = image.Info with { Width = part.Width, Height = part.Height };

    public void Read(int plane, Region region, Span<float> destination) =>
        image.Read(plane, region with { X = region.X + part.X, Y = region.Y + part.Y }, destination);

    public void Dispose()
    {
    }
}

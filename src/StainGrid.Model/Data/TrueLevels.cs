using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>A label's true image in the levels that the network predicts.</summary>
internal static class TrueLevels
{
    /// <summary>Refuses an image that is not of its field's size, or of floats, whose range is not known.</summary>
    /// <param name="name">The field's name, for the error.</param>
    /// <param name="target">The true image.</param>
    /// <param name="width">The field's width.</param>
    /// <param name="height">The field's height.</param>
    /// <exception cref="ImageException">The image does not fit.</exception>
    public static void Check(string name, ImageInfo target, int width, int height)
    {
        if (target.Width != width || target.Height != height || target.PixelType == PixelType.Float32)
        {
            throw new ImageException($"{name}: {target.Name} is {target.Width}x{target.Height} {target.PixelType}; "
                + $"a target must be {width}x{height}, as its field, and of 8 or 16 bit.");
        }
    }

    /// <summary>Reads a part: the label's range, linearly, to 0..255. 8 bit are stretched to the 16 that the range is of, as In Silico Labeling divides
    /// each by its type's maximum.</summary>
    /// <param name="target">The true image.</param>
    /// <param name="part">The pixels.</param>
    /// <param name="label">The label.</param>
    /// <exception cref="ImageException">The image is damaged there.</exception>
    public static byte[] Read(IPlaneImage target, Region part, LabelInfo label)
    {
        var pixels = new float[part.Area];
        target.Read(0, part, pixels);
        float stretch = (float)(ushort.MaxValue / target.Info.PixelType.Maximum());   // 1, or 257
        return Array.ConvertAll(pixels, value => (byte)Math.Clamp(MathF.Round((value * stretch - label.Low) / (label.High - label.Low) * 255), 0, 255));
    }
}

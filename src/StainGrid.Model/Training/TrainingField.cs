using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>A field to train on: all its planes, normalised, and the true image of each label that it has.</summary>
public sealed class TrainingField
{
    private readonly float[][] planes;

    private TrainingField(string name, int width, int height, float[][] planes, byte[]?[] targets)
    {
        Name = name;
        Width = width;
        Height = height;
        this.planes = planes;
        Targets = targets;
    }

    /// <summary>The field's name.</summary>
    public string Name { get; }

    /// <summary>Width of the part that may be seen, pixels.</summary>
    public int Width { get; }

    /// <summary>Height of the part that may be seen, pixels.</summary>
    public int Height { get; }

    /// <summary>Planes of the stack.</summary>
    public int Planes => planes.Length;

    /// <summary>For each label of the model the levels 0..255 of each pixel, or null where the field lacks it.</summary>
    public IReadOnlyList<byte[]?> Targets { get; }

    /// <summary>Reads the part of a field that may be seen. Nothing outside of it is kept, so no context reaches it.</summary>
    /// <param name="name">The field's name.</param>
    /// <param name="image">The transmitted light; each plane's range is measured over the part alone.</param>
    /// <param name="truth">The true image of a label by its name.</param>
    /// <param name="labels">The model's labels.</param>
    /// <param name="rule">The model's normalisation.</param>
    /// <param name="part">The pixels that may be seen; at least 128x128.</param>
    /// <exception cref="ImageException">An image is damaged, differs in size, or a target is of floats.</exception>
    public static TrainingField Read(string name, IPlaneImage image, IReadOnlyDictionary<string, IPlaneImage> truth,
        IReadOnlyList<LabelInfo> labels, NormalisationRule rule, Region part)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(truth);
        var whole = new Region(0, 0, image.Info.Width, image.Info.Height);
        if (part.Intersect(whole) != part || part.Width < Tile.Size || part.Height < Tile.Size)
            throw new ImageException($"{name}: the part {part} is not in the image or smaller than {Tile.Size} pixels. Give a larger image.");
        using var seen = new PartOfImage(image, part);
        var planes = new float[image.Info.Planes][];
        for (int plane = 0; plane < planes.Length; plane++)
        {
            var range = PlaneRange.Measure(seen, plane, rule);
            planes[plane] = PlaneWindow.Read(seen, plane, new Region(0, 0, part.Width, part.Height), range, rule).Pixels;
        }

        var targets = labels.Select(label => truth.TryGetValue(label.Name, out var target) ? Levels(name, target, whole, part, label) : null);
        return new TrainingField(name, part.Width, part.Height, planes, [.. targets]);
    }

    /// <summary>The window around a tile, reflected at the borders of the part.</summary>
    public void CopyContext(int plane, Tile tile, Span<float> context)
    {
        for (int y = 0; y < Tile.ContextSize; y++)
        {
            int row = PlaneWindow.Reflect(tile.Y - Tile.Margin + y, Height) * Width;
            for (int x = 0; x < Tile.ContextSize; x++)
                context[y * Tile.ContextSize + x] = planes[plane][row + PlaneWindow.Reflect(tile.X - Tile.Margin + x, Width)];
        }
    }

    private static byte[] Levels(string name, IPlaneImage target, Region whole, Region part, LabelInfo label)
    {
        TrueLevels.Check(name, target.Info, whole.Width, whole.Height);
        return TrueLevels.Read(target, part, label);
    }
}

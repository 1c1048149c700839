using StainGrid.Imaging;
using StainGrid.Imaging.Specimen;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>A field to train on: all its planes, normalised, and the true image of each label that it has.</summary>
public sealed class TrainingField
{
    /// <summary>Width and height of a synthetic specimen, pixels.</summary>
    internal const int SpecimenSide = 512;

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

    /// <summary>How likely it is to be drawn, beside the others.</summary>
    public double Weight { get; internal set; } = 1;

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

    /// <summary>Reads a part from its field's files.</summary>
    /// <param name="part">The part; nothing outside is kept.</param>
    /// <param name="labels">The model's labels.</param>
    /// <param name="rule">The model's normalisation.</param>
    /// <exception cref="ImageException">As for the other.</exception>
    public static TrainingField Read(FieldPart part, IReadOnlyList<LabelInfo> labels, NormalisationRule rule)
    {
        ArgumentNullException.ThrowIfNull(part);
        ArgumentNullException.ThrowIfNull(labels);
        var truth = new Dictionary<string, IPlaneImage>();
        try
        {
            foreach (var label in labels.Where(label => part.Field.Labels.ContainsKey(label.Name)))
                truth.Add(label.Name, ImageReader.Open(part.Field.Labels[label.Name]));
            using var light = ImageReader.OpenStack(part.Field.Planes);
            return Read(part.Field.Name, light, truth, labels, rule, part.Region ?? new Region(0, 0, light.Info.Width, light.Info.Height));
        }
        finally
        {
            foreach (var target in truth.Values)
                target.Dispose();
        }
    }

    /// <summary>Makes a synthetic specimen, 512x512.</summary>
    /// <param name="seed">Its seed.</param>
    /// <param name="labels">The model's labels.</param>
    /// <param name="rule">The model's normalisation.</param>
    internal static TrainingField OfSpecimen(int seed, IReadOnlyList<LabelInfo> labels, NormalisationRule rule)
    {
        var specimen = Specimen(seed);
        using var light = new MemoryImage(specimen.Width, specimen.Height, [.. Enumerable.Range(0, specimen.Planes).Select(specimen.Plane)]);
        var truth = SyntheticSpecimen.LabelNames.ToDictionary(name => name, name => (IPlaneImage)new MemoryImage(specimen.Width, specimen.Height, [specimen.Label(name)]));
        return Read($"specimen {seed}", light, truth, labels, rule, new Region(0, 0, SpecimenSide, SpecimenSide));
    }

    /// <summary>The true image of a specimen's label.</summary>
    internal static IPlaneImage TruthOfSpecimen(int seed, string label) => new MemoryImage(SpecimenSide, SpecimenSide, [Specimen(seed).Label(label)]);

    private static SyntheticSpecimen Specimen(int seed) =>
        SyntheticSpecimen.Generate(new SpecimenOptions { Width = SpecimenSide, Height = SpecimenSide, Seed = (ulong)seed });

    /// <summary>The memory that a part takes.</summary>
    internal static long BytesOf(long width, long height, int planes, int labels) => width * height * (sizeof(float) * (long)planes + labels);

    /// <summary>Samples a plane around a place, bilinearly, reflected at the borders of the part.</summary>
    /// <param name="plane">The plane.</param>
    /// <param name="placement">The place.</param>
    /// <param name="side">Width and height of what is sampled.</param>
    /// <param name="pixels">Becomes side x side pixels.</param>
    internal void Sample(int plane, Placement placement, int side, Span<float> pixels)
    {
        float[] source = planes[plane];
        for (int i = 0; i < pixels.Length; i++)
        {
            var (at, right, down, x, y) = Neighbours(placement, side, i);
            float upper = source[at] + (source[right] - source[at]) * x;
            pixels[i] = upper + (source[down] + (source[down + right - at] - source[down]) * x - upper) * y;
        }
    }

    /// <summary>Samples a label that the field has, as <see cref="Sample"/>, rounded to whole levels.</summary>
    internal void SampleTarget(int label, Placement placement, int side, Span<long> levels)
    {
        byte[] source = Targets[label]!;
        for (int i = 0; i < levels.Length; i++)
        {
            var (at, right, down, x, y) = Neighbours(placement, side, i);
            float upper = source[at] + (source[right] - source[at]) * x;
            levels[i] = (long)MathF.Round(upper + (source[down] + (source[down + right - at] - source[down]) * x - upper) * y);
        }
    }

    // The four pixels around a place and how far it is from the first of them.
    private (int At, int Right, int Down, float X, float Y) Neighbours(Placement placement, int side, int i)
    {
        double right = i % side - (side - 1) / 2.0, down = i / side - (side - 1) / 2.0;
        double column = placement.X + right * placement.RightX + down * placement.DownX;
        double row = placement.Y + right * placement.RightY + down * placement.DownY;
        int x = (int)Math.Floor(column), y = (int)Math.Floor(row);
        int left = PlaneWindow.Reflect(x, Width), top = PlaneWindow.Reflect(y, Height) * Width;
        return (top + left, top + PlaneWindow.Reflect(x + 1, Width), PlaneWindow.Reflect(y + 1, Height) * Width + left, (float)(column - x), (float)(row - y));
    }

    private static byte[] Levels(string name, IPlaneImage target, Region whole, Region part, LabelInfo label)
    {
        TrueLevels.Check(name, target.Info, whole.Width, whole.Height);
        return TrueLevels.Read(target, part, label);
    }
}

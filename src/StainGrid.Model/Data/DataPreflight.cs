using System.Globalization;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>What a look at every pixel of paired data says before hours are spent on it.</summary>
/// <param name="Fields">The fields that could be opened, in their order.</param>
/// <param name="Problems">What must be mended first, one line each: the field, the file, why, and what to do.</param>
public sealed record DataPreflight(IReadOnlyList<CheckedField> Fields, IReadOnlyList<string> Problems)
{
    private const int StripPixels = 1 << 20;

    /// <summary>Opens every file and reads it to its end, strip by strip, fields side by side on every processor; a processor holds one
    /// strip, and one plane where its file only decodes as a whole (PNG).</summary>
    /// <param name="fields">The fields.</param>
    /// <param name="progress">Told the share that is done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops between strips.</param>
    public static DataPreflight Run(IReadOnlyList<PairedField> fields, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(fields);
        var looks = new (CheckedField? Field, List<string> Problems)[fields.Count];
        int done = 0;
        var options = new ParallelOptions { CancellationToken = cancellationToken, MaxDegreeOfParallelism = Environment.ProcessorCount };
        Parallel.For(0, fields.Count, options, i =>
        {
            looks[i] = Look(fields[i], cancellationToken);
            progress?.Report((double)Interlocked.Increment(ref done) / fields.Count);
        });
        var found = looks.Select(look => look.Field).OfType<CheckedField>().ToArray();
        return new DataPreflight(found, [.. looks.SelectMany(look => look.Problems), .. Mixed(found)]);
    }

    /// <summary>Nothing where there is no problem.</summary>
    /// <exception cref="ImageException">There are problems, or no field; the message is the first problem and how many there are.</exception>
    public void ThrowIfAny()
    {
        if (Problems.Count > 0)
        {
            throw new ImageException(Problems.Count == 1 ? Problems[0]
                : string.Create(CultureInfo.InvariantCulture, $"{Problems[0]} ({Problems.Count - 1:N0} more: see 'staingrid data'.)"));
        }

        if (Fields.Count == 0)
            throw new ImageException("The data has no field. See 'staingrid data' for what was left out and why.");
    }

    private static (CheckedField? Field, List<string> Problems) Look(PairedField field, CancellationToken cancellationToken)
    {
        // One decoded piece at a time.
        var limits = ImageLimits.Default with { CacheBytes = 1 };
        var problems = new List<string>();
        ImageInfo? size = null;
        Try(() =>
        {
            using var light = ImageReader.OpenStack(field.Planes, limits);
            size = light.Info;
            if (size.Width < Tile.Size || size.Height < Tile.Size)
                problems.Add($"{field.Name}: {size.Name} is {size.Width}x{size.Height} pixels; {Tile.Size} a side are the least. Leave the field out.");
            for (int plane = 0; plane < size.Planes; plane++)
            {
                if (OneLevel(light, plane, cancellationToken) is { } level)
                    problems.Add($"{field.Name}: plane {plane} in {NameOf(size, plane)} is {level} everywhere: nothing was seen. Copy it again, or leave the field out.");
            }
        });
        var types = new SortedDictionary<string, PixelType>(StringComparer.Ordinal);
        foreach (var (label, file) in field.Labels.OrderBy(label => label.Key, StringComparer.Ordinal))
        {
            Try(() =>
            {
                using var target = ImageReader.Open(file, limits);
                var info = target.Info;
                types[label] = info.PixelType;
                string name = $"{field.Name}: {label}, {info.Name},";
                if (size is not null && (info.Width, info.Height) != (size.Width, size.Height))
                    problems.Add($"{name} is {info.Width}x{info.Height} pixels, its transmitted light {size.Width}x{size.Height}. Export both at one size.");
                if (info.Planes != 1)
                    problems.Add($"{name} has {info.Planes} planes; a label is one image. Export its projection.");
                if (info.PixelType == PixelType.Float32)
                    problems.Add($"{name} is of 32-bit floats, whose range is not known. Export it as 16 bit.");
                if (OneLevel(target, 0, cancellationToken) is { } level)
                    problems.Add($"{name} is {level} everywhere: there is nothing to learn or to judge by. Copy it again, or leave the label out.");
            });
        }

        return (size is null ? null : new CheckedField(field, size.Width, size.Height, size.Planes, size.PixelType, types), problems);

        void Try(Action look)
        {
            try
            {
                look();
            }
            catch (ImageException exception)
            {
                problems.Add($"{field.Name}: {exception.Message}");
            }
        }
    }

    // Levels of 8 and of 16 bit cannot be learned as one label: 255 is white in one and black in the other.
    private static IEnumerable<string> Mixed(CheckedField[] fields)
    {
        foreach (var label in fields.SelectMany(field => field.Labels.Select(label => (Field: field, Label: label.Key, Type: label.Value)))
            .Where(target => target.Type != PixelType.Float32).GroupBy(target => target.Label).OrderBy(label => label.Key, StringComparer.Ordinal))
        {
            var byType = label.GroupBy(target => target.Type).OrderByDescending(type => type.Count()).ThenByDescending(type => type.Key.Bytes()).ToArray();
            foreach (var (field, _, type) in byType.Skip(1).SelectMany(odd => odd))
            {
                yield return string.Create(CultureInfo.InvariantCulture, $"{field.Field.Name}: {label.Key}, {Path.GetFileName(field.Field.Labels[label.Key])}, is of {type.Bytes() * 8} bit, ")
                    + $"that of most fields of {byType[0].Key.Bytes() * 8} bit. Export all at one depth.";
            }
        }
    }

    // The level of a plane that has one alone, else null. Reads all of it, so that damage and floats that are not finite show.
    private static string? OneLevel(IPlaneImage image, int plane, CancellationToken cancellationToken)
    {
        var (width, height) = (image.Info.Width, image.Info.Height);
        int rows = Math.Clamp(StripPixels / width, 1, height);
        float[] strip = new float[(long)rows * width];
        float? first = null;
        bool isOne = true;
        for (int y = 0; y < height; y += rows)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var region = new Region(0, y, width, Math.Min(rows, height - y));
            image.Read(plane, region, strip);
            first ??= strip[0];
            isOne = isOne && !strip.AsSpan(0, (int)region.Area).ContainsAnyExcept(first.Value);
        }

        return isOne ? first!.Value.ToString(CultureInfo.InvariantCulture) : null;
    }

    private static string NameOf(ImageInfo stack, int plane) => Path.GetFileName(stack.Files.Count == stack.Planes ? stack.Files[plane] : stack.Path);
}

/// <summary>What a field's files say of themselves.</summary>
/// <param name="Field">The field.</param>
/// <param name="Width">Width, pixels.</param>
/// <param name="Height">Height, pixels.</param>
/// <param name="Planes">Planes of transmitted light.</param>
/// <param name="PixelType">The type of the transmitted light's samples.</param>
/// <param name="Labels">The type of each label's samples, of those that could be opened.</param>
public sealed record CheckedField(
    PairedField Field, int Width, int Height, int Planes, PixelType PixelType, IReadOnlyDictionary<string, PixelType> Labels);

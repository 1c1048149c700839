using System.Globalization;
using StainGrid.Imaging;

namespace StainGrid.Model;

/// <summary>Fields with transmitted light and true fluorescence, as they are found on disk. No image is opened: see
/// <see cref="DataPreflight"/>.</summary>
/// <param name="Source">The folder or manifest.</param>
/// <param name="Fields">The fields, each with a name of its own, in ordinal order of their names.</param>
/// <param name="LeftOut">The fields and files that were left out, and why.</param>
public sealed record PairedData(string Source, IReadOnlyList<PairedField> Fields, IReadOnlyList<LeftOut> LeftOut)
{
    private const int MaxFiles = 2_000_000;
    private static readonly string[] s_transmitted = ["PHASE_CONTRAST", "BRIGHTFIELD", "DIC"];

    /// <summary>What else a reader of figures should know, such as a label that a condition's other fields have.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Finds the fields of a folder of In Silico Labeling's PNG files (in it and in the folders below, whatever they are
    /// called: the names of the files tell lab, condition, date and well), or of a manifest.</summary>
    /// <param name="path">The folder, or a manifest (.csv) with a header of the columns field, condition (optional), well (optional), image
    /// (a file of all planes; or one of each plane in a row of its own, with its number in the column plane) and one column for
    /// each label. Paths are relative to the manifest.</param>
    /// <exception cref="ImageException">There is nothing to read, or the manifest is refused. The message says what to do.</exception>
    public static PairedData Discover(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            if (File.Exists(path))
            {
                return Path.GetExtension(path).Equals(".csv", StringComparison.OrdinalIgnoreCase)
                    ? PairedManifest.Read(path)
                    : throw new ImageException($"{path} is neither a folder nor a manifest (.csv). Give the data's folder or a manifest.");
            }

            return Directory.Exists(path) ? OfFolder(path) : throw new ImageException($"{path} does not exist, or may not be read. Check the path.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{path} cannot be read: {exception.Message} Check the path and the permissions.", exception);
        }
    }

    /// <summary>What is wrong with the numbers of a field's planes (in their order), or null.</summary>
    internal static string? PlaneProblem(IReadOnlyList<int> planes, int first)
    {
        for (int i = 0; i < planes.Count; i++)
        {
            if (i > 0 && planes[i] == planes[i - 1])
                return $"plane {planes[i]} is there twice";
            if (planes[i] != first + i)
                return $"plane {first + i} is missing";
        }

        return null;
    }

    private static PairedData OfFolder(string folder)
    {
        var images = new List<(IslName Name, string File)>();
        var others = new List<(string File, string Why)>();
        foreach (var file in ImagePath.FilesBelow(Path.GetFullPath(folder)).Where(file => file.Extension.Equals(".png", StringComparison.OrdinalIgnoreCase)))
        {
            if (images.Count + others.Count == MaxFiles)
                throw new ImageException($"{folder} has more than {MaxFiles:N0} images. Give a part of it.");
            var name = IslName.Parse(file.Name);
            if (WhyNot(name) is { } why)
                others.Add((file.Name, why));
            else
                images.Add((name!, file.FullName));
        }

        if (images.Count + others.Count == 0)
            throw new ImageException($"{folder} has no PNG file in it. Give a folder of the In Silico Labeling data set, or a manifest (.csv) of your own pairs.");
        var groups = images.GroupBy(image => image.Name.Field, StringComparer.OrdinalIgnoreCase)
            .Select(group => new Group([.. group])).ToArray();
        var fields = new List<PairedField>();
        var leftOut = new List<LeftOut>();
        var notes = new List<string>();
        foreach (var condition in groups.GroupBy(group => $"{group.Name.Lab}/{group.Name.Condition}", StringComparer.OrdinalIgnoreCase))
        {
            // A stack that was cut off shows by the others of its condition alone.
            int usual = condition.Where(group => group.Problem is null).GroupBy(group => group.Planes.Count)
                .OrderByDescending(group => group.Count()).ThenByDescending(group => group.Key).FirstOrDefault()?.Key ?? 0;
            foreach (var group in condition)
            {
                string? problem = group.Problem ?? (group.Planes.Count < usual
                    ? $"plane {group.Planes.Count} is missing: the condition's fields have {usual} planes. Copy it again" : null);
                if (problem is not null)
                {
                    leftOut.Add(new LeftOut(group.Name.Field, problem + "."));
                    continue;
                }

                var known = IslCondition.Find(group.Name.Lab, group.Name.Condition);
                var labels = group.Labels.ToDictionary(label => label.Label, label => label.File, StringComparer.Ordinal);
                fields.Add(new PairedField(group.Name.Field, known?.Letter ?? group.Name.Condition, group.Name.Well, [.. group.Planes.Select(plane => plane.File)], labels));
                if (known?.Labels.Except(labels.Keys).ToArray() is { Length: > 0 } absent)
                    notes.Add($"{group.Name.Field} lacks {string.Join(", ", absent)}, which condition {known.Letter} has. It counts for its other labels.");
            }
        }

        leftOut.AddRange(others.GroupBy(other => other.Why).Select(group => new LeftOut(
            group.Count() == 1 ? group.First().File : string.Create(CultureInfo.InvariantCulture, $"{group.Count():N0} files, such as {group.First().File}"), group.Key)));
        return new PairedData(folder, [.. fields.OrderBy(field => field.Name, StringComparer.Ordinal)], leftOut) { Notes = notes };
    }

    private static string? WhyNot(IslName? name) => name switch
    {
        null => "its name does not tell lab, condition and well as In Silico Labeling's names do. Rename it, or write a manifest.",
        { IsMask: true } => "it is a mask (is_mask-true): nothing is trained on masks.",
        { IsPrediction: true } => "it is a prediction of In Silico Labeling's (kind PREDICTED), no true image.",
        { Channel: null } => "it has no channel in its name: it shows several at once. Take the data of single channels.",
        { Channel: "NEURITE_CONFOCAL" } => "NEURITE_CONFOCAL is no label of its own: it was computed from MAP2_CONFOCAL and NFH_CONFOCAL.",
        _ when IsTransmitted(name) => name.Plane is null ? "it is transmitted light without a plane's number (z_depth). Take the single planes." : null,
        _ when FluorescenceLabels.Find(name.Channel) is null =>
            $"its channel {name.Channel} is neither transmitted light ({string.Join(", ", s_transmitted)}) nor one of the eight labels.",
        { IsProjection: false } => "it is a label, but no projection of all planes (depth_computation MAXPROJECT). Take the projection.",
        _ => null,
    };

    private static bool IsTransmitted(IslName name) => s_transmitted.Contains(name.Channel, StringComparer.OrdinalIgnoreCase);

    // The images of one field.
    private sealed class Group
    {
        public Group(IReadOnlyList<(IslName Name, string File)> images)
        {
            Name = images[0].Name;
            Planes = [.. images.Where(image => IsTransmitted(image.Name)).OrderBy(image => image.Name.Plane).Select(image => (image.Name.Plane!.Value, image.File))];
            Labels = [.. images.Where(image => !IsTransmitted(image.Name)).Select(image => (FluorescenceLabels.Find(image.Name.Channel!)!.Name, image.File))];
            string[] channels = [.. images.Where(image => IsTransmitted(image.Name)).Select(image => image.Name.Channel!.ToUpperInvariant()).Distinct()];
            var twice = Labels.GroupBy(label => label.Label).FirstOrDefault(label => label.Count() > 1);
            Problem = channels.Length == 0 ? "it has no transmitted light. Copy its planes"
                : channels.Length > 1 ? $"it has transmitted light of several kinds ({string.Join(", ", channels)}). Keep one"
                : PlaneProblem([.. Planes.Select(plane => plane.Number)], 0) is { } gap ? $"{gap}. Copy the field again"
                : Labels.Count == 0 ? "it has no true image of a label. Copy it"
                : twice is not null ? $"{twice.Key} is there twice: {string.Join(" and ", twice.Select(label => label.File))}. Keep one"
                : null;
        }

        public IslName Name { get; }

        public IReadOnlyList<(int Number, string File)> Planes { get; }

        public IReadOnlyList<(string Label, string File)> Labels { get; }

        public string? Problem { get; }
    }
}

/// <summary>A field or files that are not used.</summary>
/// <param name="What">The field's name, or a file's, or how many files and the first one's name.</param>
/// <param name="Why">Why, and what to do where something can be done; a sentence.</param>
public sealed record LeftOut(string What, string Why);

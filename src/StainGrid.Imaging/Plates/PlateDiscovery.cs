using System.Text.Json;
using System.Text.Json.Nodes;
using CsvHelper;
using CsvHelper.Configuration;
using StainGrid.Imaging.Reading;

namespace StainGrid.Imaging;

/// <summary>Finds the fields of a plate in an OME-Zarr HCS plate (NGFF 0.4), a folder of images, or a manifest.</summary>
public static class PlateDiscovery
{
    private const int MaxFiles = 2_000_000;
    private const long MaxManifestBytes = 64L << 20, MaxAttributesBytes = 16L << 20;

    /// <summary>Finds the fields of a plate. A pattern may end with "#channel=NAME", which chooses the transmitted channel.</summary>
    /// <param name="source">An OME-Zarr HCS plate, a folder of images, or a manifest (.csv, .json).</param>
    /// <param name="pattern">For a folder of images: isl, phenix, imagexpress, cv8000, or a regular expression with the named
    /// groups well (or row and column), field, plane, channel, matched against the path below the folder; null to take the
    /// preset that matches most.</param>
    /// <param name="cancellationToken">Stops the search.</param>
    /// <exception cref="ImageException">There is no image, or the pattern or the manifest is refused.</exception>
    public static PlateLayout Discover(string source, string? pattern = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        string? channel = null;
        if (pattern?.LastIndexOf("#channel=", StringComparison.Ordinal) is >= 0 and int mark)
            (pattern, channel) = (pattern[..mark], pattern[(mark + "#channel=".Length)..]);
        if (string.IsNullOrEmpty(pattern))
            pattern = null;
        source = Path.TrimEndingDirectorySeparator(Path.GetFullPath(source));
        try
        {
            if (File.Exists(source))
            {
                return Path.GetExtension(source).ToUpperInvariant() switch
                {
                    ".CSV" or ".JSON" when pattern is null => Manifest(source, cancellationToken),
                    ".CSV" or ".JSON" => throw new ImageException($"{source} is a manifest, which takes no pattern. Leave the pattern out."),
                    _ => throw new ImageException($"{source} is neither a folder nor a manifest (.csv, .json). Give the plate's folder or a manifest."),
                };
            }

            if (!Directory.Exists(source))
                throw new ImageException($"{source} does not exist, or may not be read. Check the path.");
            if (!File.Exists(Path.Combine(source, ".zattrs")))
                return Folder(source, pattern, channel, cancellationToken);
            return pattern is null
                ? Hcs(source, channel, cancellationToken)
                : throw new ImageException($"{source} is an OME-Zarr plate, which takes no pattern. Leave the pattern out.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{source} cannot be read: {exception.Message} Check the path and the permissions.", exception);
        }
    }

    private static PlateLayout Folder(string source, string? pattern, string? channel, CancellationToken cancellationToken)
    {
        var names = new List<string>();
        foreach (var file in ImagePath.FilesBelow(source))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (file.Extension.ToUpperInvariant() is not (".PNG" or ".TIF" or ".TIFF"))
                continue;
            names.Add(Path.GetRelativePath(source, file.FullName).Replace('\\', '/'));
            if (names.Count > MaxFiles)
                throw new ImageException($"{source} has more than {MaxFiles:N0} images. Submit it in parts.");
        }

        if (names.Count == 0)
            throw new ImageException($"{source} has no image (.png, .tif, .tiff) in it. Check the path.");
        var chosen = pattern is not null
            ? NamePattern.Parse(pattern)
            : NamePattern.Presets.MaxBy(preset => names.Count(name => preset.Match(name) is not null))!;
        var images = new List<(NamedImage Image, string File)>();
        var unmatched = new List<string>();
        foreach (string name in names)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (chosen.Match(name) is { } image)
                images.Add((image, Path.Combine(source, name)));
            else if (!chosen.Ignores(name))
                unmatched.Add(name);
        }

        if (images.Count == 0)
        {
            throw new ImageException($"{source} has {names.Count} images (the first is {names[0]}), and none matches "
                + (pattern is null ? $"a known naming ({string.Join(", ", NamePattern.Presets.Select(preset => preset.Name))}). Give a pattern."
                    : $"the pattern {pattern}. Correct the pattern."));
        }

        var notes = new List<string>();
        if (pattern is null)
            notes.Add($"Names read as {chosen.Name}.");
        string?[] channels = [.. images.Select(image => image.Image.Channel).Distinct().OrderBy(name => name?.PadLeft(64), StringComparer.Ordinal)];
        string? taken = channels[0];
        if (channel is not null)
        {
            taken = channels.FirstOrDefault(name => name == channel || name?.TrimStart('0') == channel.TrimStart('0'))
                ?? throw new ImageException($"{source} has no channel {channel}; it has {string.Join(", ", channels.Select(name => name ?? "none named"))}. Choose one of them.");
        }
        else if (channels.Length > 1)
        {
            notes.Add($"Channel {taken} of {string.Join(", ", channels)} is taken; add #channel=.. to the pattern for another.");
        }

        return Layout(source, images.Where(image => image.Image.Channel == taken), notes) with
        {
            Unmatched = new UnmatchedImages(unmatched.Count, [.. unmatched.Take(5)]),
        };
    }

    private static PlateLayout Manifest(string source, CancellationToken cancellationToken)
    {
        if (new FileInfo(source).Length > MaxManifestBytes)
            throw new ImageException($"{source} is larger than {MaxManifestBytes >> 20} MB. Submit the plate in parts.");
        string root = Path.GetDirectoryName(source)!;
        var images = new List<(NamedImage, string)>();
        var problems = new Dictionary<NamedImage, string>();
        int rows = 0;
        foreach (var (well, fieldText, planeText, name) in source.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? JsonRows(source) : CsvRows(source))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (++rows > MaxFiles)
                throw new ImageException($"{source} has more than {MaxFiles:N0} rows. Submit the plate in parts.");
            var (row, column) = WellName.Parse(well);
            int field = 0, plane = 0;
            if (row == 0 || (fieldText.Length > 0 && !int.TryParse(fieldText, NumberStyles.None, CultureInfo.InvariantCulture, out field))
                || (planeText.Length > 0 && !int.TryParse(planeText, NumberStyles.None, CultureInfo.InvariantCulture, out plane)))
            {
                throw new ImageException($"{source}: entry {rows} (well \"{well}\", field \"{fieldText}\", plane \"{planeText}\") names no place; wells are as B07, fields and planes numbers. Correct it.");
            }

            string path = ImagePath.Below(root, name)
                ?? throw new ImageException($"{source}: entry {rows} points out of the manifest's folder or through a link: \"{name}\". Give paths below {root}.");
            var image = new NamedImage(row, column, field, planeText.Length > 0 ? plane : null, null);
            images.Add((image, path));
            if (!File.Exists(path))
                problems.TryAdd(image with { Plane = null }, $"{name} does not exist; copy it to the manifest's folder");
        }

        return images.Count > 0
            ? Layout(source, images, [], problems)
            : throw new ImageException($"{source} names no image. Add rows of well, field, plane, file.");
    }

    private static IEnumerable<(string Well, string Field, string Plane, string File)> CsvRows(string source)
    {
        using var text = new StreamReader(source);
        using var csv = new CsvReader(text, new CsvConfiguration(CultureInfo.InvariantCulture)
        {
            PrepareHeaderForMatch = header => header.Header.Trim().ToUpperInvariant(),
            MaxFieldSize = 8192,
            TrimOptions = TrimOptions.Trim,
        });
        if (!Try(() => csv.Read() && csv.ReadHeader()))
            throw new ImageException($"{source} is empty. It needs the header well,field,plane,file.");
        foreach (string name in (string[])["well", "file"])
        {
            if (!csv.HeaderRecord!.Contains(name, StringComparer.OrdinalIgnoreCase))
                throw new ImageException($"{source} has no column \"{name}\". It needs the header well,field,plane,file.");
        }

        while (Try(csv.Read))
            yield return (Get("well"), Get("field"), Get("plane"), Get("file"));

        string Get(string name) => csv.TryGetField(name, out string? value) ? value ?? "" : "";

        bool Try(Func<bool> read)
        {
            try
            {
                return read();
            }
            catch (CsvHelperException exception)
            {
                throw new ImageException($"{source} is not valid CSV at row {csv.Parser.Row}. Correct it.", exception);
            }
        }
    }

    private static IEnumerable<(string Well, string Field, string Plane, string File)> JsonRows(string source)
    {
        var array = Json(source) as JsonArray ?? throw new ImageException($"{source} is not a JSON array of objects with well, field, plane, file. Correct it.");
        foreach (var item in array)
        {
            if (item is not JsonObject entry)
                throw new ImageException($"{source} has an entry that is no object with well, field, plane, file. Correct it.");
            yield return (Get("well"), Get("field"), Get("plane"), Get("file"));

            string Get(string name) => entry[name] is JsonValue value ? value.ToString() : "";
        }
    }

    private static PlateLayout Hcs(string source, string? channel, CancellationToken cancellationToken)
    {
        var notes = new List<string>();
        if (ImagePath.Below(source, ".zattrs") is not { } description || (Json(description, MaxAttributesBytes) as JsonObject)?["plate"] is not JsonObject plate)
            throw new ImageException($"{source} has a .zattrs without a plate: it is no OME-Zarr HCS plate. Check the path.");
        if (plate["wells"] is not JsonArray wells)
            throw new ImageException($"{source} lists no wells in its .zattrs. Export the plate again.");
        var fields = new List<(PlateField Field, int Planes)>();
        var seen = new HashSet<(int, int)>();
        foreach (var entry in wells)
        {
            cancellationToken.ThrowIfCancellationRequested();
            string path = Text(entry, "path");
            string[] parts = path.Split('/');
            var (row, column) = parts.Length == 2 ? (WellName.RowNumber(parts[0]), WellName.ColumnNumber(parts[1])) : (0, 0);
            string? folder = row > 0 && column > 0 ? ImagePath.Below(source, path) : null;
            if (folder is null)
                throw new ImageException($"{source} lists the well \"{path}\", which is no row and column below it. Export the plate again.");
            if (!seen.Add((row, column)))
                throw new ImageException($"{source} lists the well {path} twice. Export the plate again.");
            JsonArray? images = null;
            string? problem = null;
            try
            {
                images = ImagePath.Below(folder, ".zattrs") is { } attributes && File.Exists(attributes)
                    ? ((Json(attributes, MaxAttributesBytes) as JsonObject)?["well"] as JsonObject)?["images"] as JsonArray : null;
            }
            catch (ImageException exception)
            {
                problem = exception.Message;
            }

            if (images is null)
            {
                fields.Add((new PlateField(WellName.Row(row), column, 0, [], problem ?? $"{path}/.zattrs lists no images; export the well again"), 0));
                continue;
            }

            for (int field = 0; field < images.Count; field++)
            {
                string name = Text(images[field], "path");
                string file = "";
                int planes = 0;
                problem = null;
                try
                {
                    file = ImagePath.Join(ImagePath.Below(folder, name)
                        ?? throw new ImageException($"{path} lists the image \"{name}\", which leads out of it. Export the well again."), channel);
                    using var image = ZarrImage.Open(file, ImageLimits.Default, new DecodedCache(0));
                    planes = image.Info.Planes;
                    if (image.Channels > 1 && channel is null && notes.Count == 0)
                        notes.Add($"Channel 0 of {image.Channels} is taken; give the pattern #channel=.. for another.");
                }
                catch (ImageException exception)
                {
                    problem = exception.Message;
                }

                fields.Add((new PlateField(WellName.Row(row), column, field, file.Length > 0 ? [file] : [], problem), planes));
            }
        }

        if (fields.Count == 0)
            throw new ImageException($"{source} is a plate without any image. Export it again.");
        int common = Common(fields.Where(field => field.Field.Problem is null).Select(field => field.Planes));
        return Plate(source, [.. fields.Select(field => field.Field.Problem is null && field.Planes != common
            ? field.Field with { Problem = $"it has {field.Planes} planes where the plate's fields have {common}" } : field.Field)], notes);
    }

    /// <summary>Groups images to fields and says what is wrong with them.</summary>
    private static PlateLayout Layout(
        string source, IEnumerable<(NamedImage Image, string File)> images, IReadOnlyList<string> notes, Dictionary<NamedImage, string>? problems = null)
    {
        var groups = images.GroupBy(image => image.Image with { Plane = null, Channel = null })
            .Select(group => (group.Key, Files: group.OrderBy(image => image.Image.Plane ?? 0).ThenBy(image => image.File, StringComparer.Ordinal).ToArray()))
            .ToArray();
        int common = Common(groups.Select(group => group.Files.Length));
        int[] usual = [.. groups.First(group => group.Files.Length == common).Files.Select(file => file.Image.Plane ?? 0)];
        var fields = new List<PlateField>();
        foreach (var well in groups.GroupBy(group => (group.Key.Row, group.Key.Column)))
        {
            int index = 0;
            foreach (var (key, files) in well.OrderBy(group => group.Key.Field))
            {
                fields.Add(new PlateField(WellName.Row(key.Row), key.Column, index++, [.. files.Select(file => file.File)],
                    problems?.GetValueOrDefault(key) ?? Problem(files, common, usual)));
            }
        }

        return Plate(source, fields, notes);
    }

    private static string? Problem((NamedImage Image, string File)[] files, int common, int[] usual)
    {
        int[] planes = [.. files.Select(file => file.Image.Plane ?? 0)];
        for (int i = 1; i < files.Length; i++)
        {
            if (planes[i] == planes[i - 1])
                return $"plane {planes[i]} is there twice: {Path.GetFileName(files[i - 1].File)} and {Path.GetFileName(files[i].File)}";
            if (planes[i] > planes[i - 1] + 1)
                return $"plane {planes[i - 1] + 1} is missing";
        }

        return files.Length < common ? $"plane {usual.Except(planes).First()} is missing ({files.Length} of {common} planes)"
            : files.Length > common ? $"it has {files.Length} planes where the plate's fields have {common}"
            : null;
    }

    private static int Common(IEnumerable<int> counts) =>
        counts.GroupBy(count => count).OrderByDescending(group => group.Count()).ThenByDescending(group => group.Key).FirstOrDefault()?.Key ?? 0;

    private static PlateLayout Plate(string source, IReadOnlyList<PlateField> fields, IReadOnlyList<string> notes)
    {
        var (rows, columns) = PlateLayout.Format(fields.Max(field => WellName.RowNumber(field.Row)), fields.Max(field => field.Column));
        return new PlateLayout(Path.GetFileNameWithoutExtension(source), source, rows, columns,
            [.. fields.OrderBy(field => WellName.RowNumber(field.Row)).ThenBy(field => field.Column).ThenBy(field => field.Field)])
        {
            Notes = notes,
        };
    }

    private static string Text(JsonNode? entry, string member) => entry is JsonObject && entry[member] is JsonValue value ? value.ToString() : "";

    internal static JsonNode? Json(string path, long maximum = MaxManifestBytes)
    {
        try
        {
            if (new FileInfo(path).Length > maximum)
                throw new ImageException($"{path} is larger than {maximum >> 20} MB. Check the file.");
            return JsonNode.Parse(File.ReadAllBytes(path), documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false });
        }
        catch (Exception exception) when (exception is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{path} is not readable as JSON: {exception.Message} Export it again.", exception);
        }
    }
}

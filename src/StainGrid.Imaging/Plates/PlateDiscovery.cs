using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsvHelper;
using CsvHelper.Configuration;
using StainGrid.Imaging.Reading;

namespace StainGrid.Imaging;

/// <summary>Finds the fields of a plate in an OME-Zarr HCS plate (NGFF 0.4), a folder of images, or a manifest; on disk or in
/// blobs.</summary>
public static class PlateDiscovery
{
    private const int MaxFiles = 2_000_000, RequestsAtOnce = 16;
    private const long MaxManifestBytes = 64L << 20, MaxAttributesBytes = 16L << 20;

    /// <summary>Finds the fields of a plate. A pattern may end with "#channel=NAME", which chooses the transmitted channel.</summary>
    /// <param name="source">An OME-Zarr HCS plate, a folder of images, or a manifest (.csv, .json): a path, or an address of a blob or
    /// a prefix as <see cref="BlobAddress"/> says.</param>
    /// <param name="pattern">For a folder of images: isl, phenix, imagexpress, cv8000, or a regular expression with the named
    /// groups well (or row and column), field, plane, channel, matched against the path below the folder; null to take the
    /// preset that matches most.</param>
    /// <param name="blobs">Opens the stores.</param>
    /// <param name="cancellationToken">Stops the search.</param>
    /// <exception cref="ImageException">There is no image, or the pattern or the manifest is refused.</exception>
    /// <exception cref="BlobStoreException">A store fails.</exception>
    public static async Task<PlateLayout> DiscoverAsync(string source, string? pattern, BlobFiles blobs, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        ArgumentNullException.ThrowIfNull(blobs);
        string? channel = null;
        if (pattern?.LastIndexOf("#channel=", StringComparison.Ordinal) is >= 0 and int mark)
            (pattern, channel) = (pattern[..mark], pattern[(mark + "#channel=".Length)..]);
        if (string.IsNullOrEmpty(pattern))
            pattern = null;
        bool isBlob = BlobAddress.IsBlob(source);
        source = isBlob ? source : Path.TrimEndingDirectorySeparator(Path.GetFullPath(source));
        string shown = BlobAddress.Show(source).TrimEnd('/');
        try
        {
            if (isBlob ? Path.GetExtension(shown).ToUpperInvariant() is ".CSV" or ".JSON" : File.Exists(source))
            {
                return Path.GetExtension(shown).ToUpperInvariant() switch
                {
                    ".CSV" or ".JSON" when pattern is null => await ManifestAsync(shown, SourceFolder.Open(BlobAddress.Parent(source), blobs), cancellationToken),
                    ".CSV" or ".JSON" => throw new ImageException($"{shown} is a manifest, which takes no pattern. Leave the pattern out."),
                    _ => throw new ImageException($"{shown} is neither a folder nor a manifest (.csv, .json). Give the plate's folder or a manifest."),
                };
            }

            if (!isBlob && !Directory.Exists(source))
                throw new ImageException($"{shown} does not exist, or may not be read. Check the path.");
            var folder = SourceFolder.Open(source, blobs);
            if (isBlob ? await folder.FindAsync(".zattrs", cancellationToken) is null : !File.Exists(Path.Combine(source, ".zattrs")))
                return await FolderAsync(folder, pattern, channel, cancellationToken);
            return pattern is null
                ? await HcsAsync(folder, channel, cancellationToken)
                : throw new ImageException($"{shown} is an OME-Zarr plate, which takes no pattern. Leave the pattern out.");
        }
        catch (Exception exception) when (exception is (IOException and not BlobStoreException) or UnauthorizedAccessException)
        {
            throw new ImageException($"{shown} cannot be read: {exception.Message} Check the path and the permissions.", exception);
        }
    }

    private static async Task<PlateLayout> FolderAsync(SourceFolder folder, string? pattern, string? channel, CancellationToken cancellationToken)
    {
        string source = folder.Name;
        var names = new List<string>();
        var versions = new Dictionary<string, string?>(StringComparer.Ordinal);
        await foreach (var file in folder.FilesAsync("", cancellationToken))
        {
            if (Path.GetExtension(file.Name).ToUpperInvariant() is not (".PNG" or ".TIF" or ".TIFF"))
                continue;
            names.Add(file.Name.Replace('\\', '/'));
            versions[names[^1]] = VersionOf(file);
            if (names.Count > MaxFiles)
                throw new ImageException($"{source} has more than {MaxFiles:N0} images. Submit it in parts.");
        }

        if (names.Count == 0)
            throw new ImageException($"{source} has no image (.png, .tif, .tiff) in it. Check the path.");
        var chosen = pattern is not null
            ? NamePattern.Parse(pattern)
            : NamePattern.Presets.MaxBy(preset => names.Count(name => preset.Match(name) is not null))!;
        var images = new List<FoundImage>();
        var unmatched = new List<string>();
        foreach (string name in names)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (chosen.Match(name) is { } image)
                images.Add(new FoundImage(image, folder.Address(name), versions[name]));
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

    private static async Task<PlateLayout> ManifestAsync(string source, SourceFolder root, CancellationToken cancellationToken)
    {
        byte[] text = await ReadManifestAsync(source, root, cancellationToken);
        var rows = new List<(NamedImage Image, string Name, string Address)>();
        foreach (var (well, fieldText, planeText, name) in source.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? JsonRows(source, text) : CsvRows(source, text))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (rows.Count == MaxFiles)
                throw new ImageException($"{source} has more than {MaxFiles:N0} rows. Submit the plate in parts.");
            var (row, column) = WellName.Parse(well);
            int field = 0, plane = 0;
            if (row == 0 || (fieldText.Length > 0 && !int.TryParse(fieldText, NumberStyles.None, CultureInfo.InvariantCulture, out field))
                || (planeText.Length > 0 && !int.TryParse(planeText, NumberStyles.None, CultureInfo.InvariantCulture, out plane)))
            {
                throw new ImageException($"{source}: entry {rows.Count + 1} (well \"{well}\", field \"{fieldText}\", plane \"{planeText}\") names no place; wells are as B07, fields and planes numbers. Correct it.");
            }

            string address = root.Below(name)
                ?? throw new ImageException($"{source}: entry {rows.Count + 1} points out of the manifest's folder or through a link: \"{name}\". Give paths below {root.Name}.");
            rows.Add((new NamedImage(row, column, field, planeText.Length > 0 ? plane : null, null), name, address));
        }

        var found = new SourceFile?[rows.Count];
        await ForEachAsync(rows.Count, async (i, stop) => found[i] = await root.FindAsync(rows[i].Name, stop), cancellationToken);
        var problems = new Dictionary<NamedImage, string>();
        foreach (var (image, name, _) in rows.Where((_, i) => found[i] is null))
            problems.TryAdd(image with { Plane = null }, $"{name} does not exist; copy it to the manifest's folder");
        return rows.Count > 0
            ? Layout(source, rows.Select((row, i) => new FoundImage(row.Image, row.Address, VersionOf(found[i]))), [], problems)
            : throw new ImageException($"{source} names no image. Add rows of well, field, plane, file.");
    }

    private static async Task<byte[]> ReadManifestAsync(string source, SourceFolder root, CancellationToken cancellationToken)
    {
        // On disk the manifest itself, which its user named, may be a link; what it names may not.
        string name = Path.GetFileName(source);
        long? length = root is DiskFolder ? (File.ResolveLinkTarget(source, returnFinalTarget: true) as FileInfo ?? new FileInfo(source)).Length
            : (await root.FindAsync(name, cancellationToken))?.Length;
        if (length > MaxManifestBytes)
            throw new ImageException($"{source} is larger than {MaxManifestBytes >> 20} MB. Submit the plate in parts.");
        return (root is DiskFolder ? await File.ReadAllBytesAsync(source, cancellationToken) : await root.ReadAsync(name, MaxManifestBytes, cancellationToken))
            ?? throw new ImageException($"{source} does not exist. Check the path.");
    }

    private static IEnumerable<(string Well, string Field, string Plane, string File)> CsvRows(string source, byte[] data)
    {
        using var text = new StreamReader(new MemoryStream(data));
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

    private static IEnumerable<(string Well, string Field, string Plane, string File)> JsonRows(string source, byte[] data)
    {
        var array = Json(source, data) as JsonArray ?? throw new ImageException($"{source} is not a JSON array of objects with well, field, plane, file. Correct it.");
        foreach (var item in array)
        {
            if (item is not JsonObject entry)
                throw new ImageException($"{source} has an entry that is no object with well, field, plane, file. Correct it.");
            yield return (Get("well"), Get("field"), Get("plane"), Get("file"));

            string Get(string name) => entry[name] is JsonValue value ? value.ToString() : "";
        }
    }

    private static async Task<PlateLayout> HcsAsync(SourceFolder source, string? channel, CancellationToken cancellationToken)
    {
        if (((await source.JsonAsync(".zattrs", MaxAttributesBytes, cancellationToken)).Node as JsonObject)?["plate"] is not JsonObject plate)
            throw new ImageException($"{source.Name} has a .zattrs without a plate: it is no OME-Zarr HCS plate. Check the path.");
        if (plate["wells"] is not JsonArray entries)
            throw new ImageException($"{source.Name} lists no wells in its .zattrs. Export the plate again.");
        var wells = new List<(int Row, int Column, string Path)>();
        var seen = new HashSet<(int, int)>();
        foreach (var entry in entries)
        {
            string path = Text(entry, "path");
            string[] parts = path.Split('/');
            var (row, column) = parts.Length == 2 ? (WellName.RowNumber(parts[0]), WellName.ColumnNumber(parts[1])) : (0, 0);
            if (row == 0 || column == 0 || source.Below(path) is null)
                throw new ImageException($"{source.Name} lists the well \"{path}\", which is no row and column below it. Export the plate again.");
            if (!seen.Add((row, column)))
                throw new ImageException($"{source.Name} lists the well {path} twice. Export the plate again.");
            wells.Add((row, column, path));
        }

        var found = new List<HcsField>[wells.Count];
        await ForEachAsync(wells.Count, async (i, stop) => found[i] = await WellAsync(source, wells[i].Row, wells[i].Column, wells[i].Path, channel, stop), cancellationToken);
        var fields = found.SelectMany(well => well).ToList();
        if (fields.Count == 0)
            throw new ImageException($"{source.Name} is a plate without any image. Export it again.");
        int common = Common(fields.Where(field => field.Field.Problem is null).Select(field => field.Planes));
        int channels = channel is null ? fields.Select(field => field.Channels).FirstOrDefault(count => count > 1) : 0;
        return Plate(source.Name, [.. fields.Select(field => field.Field.Problem is null && field.Planes != common
            ? field.Field with { Problem = $"it has {field.Planes} planes where the plate's fields have {common}" } : field.Field)],
            channels > 1 ? [$"Channel 0 of {channels} is taken; give the pattern #channel=.. for another."] : []);
    }

    private static async Task<List<HcsField>> WellAsync(SourceFolder source, int row, int column, string path, string? channel, CancellationToken cancellationToken)
    {
        var folder = source.Within(path)!;
        string? problem = null;
        JsonArray? images = null;
        try
        {
            images = (((await folder.JsonAsync(".zattrs", MaxAttributesBytes, cancellationToken)).Node as JsonObject)?["well"] as JsonObject)?["images"] as JsonArray;
        }
        catch (ImageException exception)
        {
            problem = exception.Message;
        }

        if (images is null)
            return [new HcsField(new PlateField(WellName.Row(row), column, 0, [], problem ?? $"{path}/.zattrs lists no images; export the well again"), 0, 0)];
        var fields = new List<HcsField>();
        for (int field = 0; field < images.Count; field++)
        {
            string name = Text(images[field], "path");
            var found = new HcsField(new PlateField(WellName.Row(row), column, field, []), 0, 0);
            try
            {
                var group = folder.Within(name) ?? throw new ImageException($"{path} lists the image \"{name}\", which leads out of it. Export the well again.");
                found = found with { Field = found.Field with { Files = [ImagePath.Join(folder.Below(name)!, channel)] } };
                using var image = await ZarrImage.OpenAsync(group, channel, ImageLimits.Default, new DecodedCache(0), cancellationToken);
                found = found with { Planes = image.Info.Planes, Channels = image.Channels };
                if (await VersionOfAsync(group, cancellationToken) is { } version)
                    found = found with { Field = found.Field with { Versions = [version] } };
            }
            catch (ImageException exception)
            {
                found = found with { Field = found.Field with { Problem = exception.Message } };
            }

            fields.Add(found);
        }

        return fields;
    }

    private static string? VersionOf(SourceFile? file) =>
        file?.Version is { } version ? string.Create(CultureInfo.InvariantCulture, $"{version} {file.Length}") : null;

    // Of all chunks of an OME-Zarr image in blobs.
    private static async Task<string?> VersionOfAsync(SourceFolder folder, CancellationToken cancellationToken)
    {
        if (folder is not BlobFolder)
            return null;
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await foreach (var file in ZarrImage.FilesAsync(folder, cancellationToken))
            hash.AppendData(Encoding.UTF8.GetBytes($"{file.Name}\t{VersionOf(file)}\n"));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static Task ForEachAsync(int count, Func<int, CancellationToken, Task> act, CancellationToken cancellationToken) => Parallel.ForAsync(
        0, count, new ParallelOptions { MaxDegreeOfParallelism = RequestsAtOnce, CancellationToken = cancellationToken }, async (i, stop) => await act(i, stop));

    /// <summary>Groups images to fields and says what is wrong with them.</summary>
    private static PlateLayout Layout(
        string source, IEnumerable<FoundImage> images, IReadOnlyList<string> notes, Dictionary<NamedImage, string>? problems = null)
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
                    problems?.GetValueOrDefault(key) ?? Problem(files, common, usual))
                {
                    Versions = files.Any(file => file.Version is not null) ? [.. files.Select(file => file.Version ?? "")] : [],
                });
            }
        }

        return Plate(source, fields, notes);
    }

    private static string? Problem(FoundImage[] files, int common, int[] usual)
    {
        int[] planes = [.. files.Select(file => file.Image.Plane ?? 0)];
        for (int i = 1; i < files.Length; i++)
        {
            if (planes[i] == planes[i - 1])
                return $"plane {planes[i]} is there twice: {BlobAddress.FileName(files[i - 1].File)} and {BlobAddress.FileName(files[i].File)}";
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

    private static JsonNode? Json(string source, byte[] data)
    {
        try
        {
            return JsonNode.Parse(data, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false });
        }
        catch (JsonException exception)
        {
            throw new ImageException($"{source} is not readable as JSON: {exception.Message} Export it again.", exception);
        }
    }

    private sealed record FoundImage(NamedImage Image, string File, string? Version);

    private sealed record HcsField(PlateField Field, int Planes, int Channels);
}

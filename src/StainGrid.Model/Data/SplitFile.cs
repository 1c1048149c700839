using System.Text.Json;
using System.Text.Json.Serialization;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>A split as a file (split.json): fields by their names, with the pixels where a part is not the whole field. A run writes
/// down what it held out, and its evaluation takes that up.</summary>
public static class SplitFile
{
    private const long MaxBytes = 64L << 20;

    private static readonly JsonSerializerOptions s_options = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        AllowDuplicateProperties = false,
        RespectNullableAnnotations = true,
        MaxDepth = 8,
    };

    /// <summary>Writes a split; a file that is there is replaced at once, not part by part.</summary>
    /// <exception cref="ImageException">The split has a pixel twice, or the file cannot be written.</exception>
    public static void Write(DataSplit split, string path)
    {
        ArgumentNullException.ThrowIfNull(split);
        ArgumentException.ThrowIfNullOrEmpty(path);
        DataSplits.Checked(split);
        var document = new Document(1, Parts(split.Train), Parts(split.Validation), Parts(split.Test));
        try
        {
            WholeFile.Write(path, partial => File.WriteAllBytes(partial, JsonSerializer.SerializeToUtf8Bytes(document, s_options)));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{path} cannot be written: {exception.Message} Check the folder and the disk.", exception);
        }

        static Part[] Parts(IReadOnlyList<FieldPart> parts) => [.. parts.Select(part => new Part(
            part.Field.Name, part.Region is { } region ? new Box(region.X, region.Y, region.Width, region.Height) : null))];
    }

    /// <summary>Reads a split of fields that were found again; where a part is not a whole field, its header is read.</summary>
    /// <param name="path">The file.</param>
    /// <param name="fields">The data's fields.</param>
    /// <exception cref="ImageException">The file is no split, names a field that is not in the data or pixels that are not in a field, or
    /// has a pixel in two parts.</exception>
    public static DataSplit Read(string path, IReadOnlyList<PairedField> fields) => Read(path, fields, DataSplits.SizeOf);

    internal static DataSplit Read(string path, IReadOnlyList<PairedField> fields, Func<PairedField, (int Width, int Height)> sizeOf)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(fields);
        Document document;
        try
        {
            if (new FileInfo(path).Length > MaxBytes)
                throw new ImageException($"{path} is larger than {MaxBytes >> 20} MB: it is no split. Check the path.");
            document = JsonSerializer.Deserialize<Document>(File.ReadAllBytes(path), s_options) ?? throw new JsonException("It is null.");
        }
        catch (JsonException exception)
        {
            throw new ImageException($"{path} is no split: {exception.Message} Give the split.json that a run wrote.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{path} cannot be read: {exception.Message} Check the path.", exception);
        }

        if (document.Version != 1)
            throw new ImageException($"{path} is a split of version {document.Version}; 1 is known. Use the StainGrid that wrote it.");
        var byName = new Dictionary<string, PairedField>(StringComparer.Ordinal);
        foreach (var field in fields)
        {
            if (!byName.TryAdd(field.Name, field))
                throw new ImageException($"The data has two fields called {field.Name}. Rename one.");
        }

        return DataSplits.Checked(new DataSplit(Parts(document.Train), Parts(document.Validation), Parts(document.Test)));

        FieldPart[] Parts(Part[] parts) => [.. parts.Select(part =>
        {
            if (part is null || !byName.TryGetValue(part.Field, out var field))
                throw new ImageException($"{path} names the field \"{part?.Field}\", which is not in the data. Give the data that the split was made of.");
            if (part.Region is not { } box)
                return new FieldPart(field, null);
            var (width, height) = sizeOf(field);
            if (box.X < 0 || box.Y < 0 || box.Width < Tile.Size || box.Height < Tile.Size || box.X > width - box.Width || box.Y > height - box.Height)
            {
                throw new ImageException($"{path}: the part {box.Width}x{box.Height} at ({box.X}, {box.Y}) is not in {field.Name}, {width}x{height}, or under {Tile.Size} pixels. "
                    + "Give the data that the split was made of.");
            }

            return new FieldPart(field, new Region(box.X, box.Y, box.Width, box.Height));
        })];
    }

    private sealed record Document(
        [property: JsonRequired] int Version, [property: JsonRequired] Part[] Train, [property: JsonRequired] Part[] Validation, [property: JsonRequired] Part[] Test);

    private sealed record Part([property: JsonRequired] string Field, Box? Region = null);

    private sealed record Box(
        [property: JsonRequired] int X, [property: JsonRequired] int Y, [property: JsonRequired] int Width, [property: JsonRequired] int Height);
}

using System.Globalization;
using CsvHelper;
using CsvHelper.Configuration;
using StainGrid.Imaging;

namespace StainGrid.Model;

/// <summary>A CSV file that names one's own pairs; <see cref="PairedData.Discover"/> says its columns.</summary>
internal static class PairedManifest
{
    private const long MaxBytes = 64L << 20;
    private const string Header = "field,condition,well,image,DAPI_CONFOCAL";

    public static PairedData Read(string path)
    {
        if ((File.ResolveLinkTarget(path, returnFinalTarget: true) as FileInfo ?? new FileInfo(path)).Length > MaxBytes)
            throw new ImageException($"{path} is larger than {MaxBytes >> 20} MB. Give the data in parts.");
        string root = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var fields = new Dictionary<string, Entry>(StringComparer.Ordinal);
        var owners = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (number, cells) in Rows(path))
        {
            string where = $"{path}: row {number}";
            string[] parts = [cells.GetValueOrDefault("condition", ""), cells.GetValueOrDefault("well", ""), cells["field"]];
            if (parts[2].Length == 0)
                throw new ImageException($"{where} has no field. Name the field; rows of one field have the same name.");
            if (Array.Find(parts, part => part.Contains('/') || part.Any(char.IsControl)) is { } odd)
                throw new ImageException($"{where}: \"{odd}\" has a slash or a control character, which names cannot have. Rename it.");
            string name = string.Join('/', parts.Where(part => part.Length > 0));
            if (!fields.TryGetValue(name, out var field))
                fields.Add(name, field = new Entry(parts[0], parts[1], parts[2]));
            else if ((field.Condition, field.Well, field.Field) != (parts[0], parts[1], parts[2]))
                throw new ImageException($"{where}: two fields are called {name}, by other columns. Rename one.");
            int? plane = null;
            if (cells.GetValueOrDefault("plane", "") is { Length: > 0 } text)
            {
                plane = int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int parsed) && parsed <= 9999 ? parsed
                    : throw new ImageException($"{where}: the plane \"{text}\" is no number of 0 to 9999. Correct it.");
            }

            field.Planes.Add((plane, FileOf("image", "the transmitted light")
                ?? throw new ImageException($"{where} has no image. Name the file of the transmitted light.")));
            foreach (string label in cells.Keys.Where(key => key is not ("field" or "condition" or "well" or "plane" or "image")))
            {
                if (FileOf(label, label) is { } file && !field.Labels.TryAdd(label, file) && field.Labels[label] != file)
                    throw new ImageException($"{where}: {name} has another file of {label} already. Name one.");
            }

            // A file that is in two fields could be trained on and tested on.
            string? FileOf(string column, string use)
            {
                if (cells[column] is not { Length: > 0 } relative)
                    return null;
                string file = ImagePath.Below(root, relative)
                    ?? throw new ImageException($"{where}: {column} \"{relative}\" leads out of the manifest's folder or through a link. Give a path below it.");
                string owner = $"{name} ({use})";
                if (!owners.TryAdd(file, owner) && (owners[file] != owner || column == "image"))
                    throw new ImageException($"{where}: {relative} is in the manifest already, for {owners[file]}. Give each file one place.");
                if (!File.Exists(file))
                    field.Absent ??= relative;
                return file;
            }
        }

        if (fields.Count == 0)
            throw new ImageException($"{path} names no field. Add rows below the header, as {Header}.");
        var problems = fields.Select(field => (field.Key, Problem: field.Value.Problem())).Where(field => field.Problem is not null);
        return new PairedData(path,
            [.. fields.Where(field => field.Value.Problem() is null).OrderBy(field => field.Key, StringComparer.Ordinal).Select(field => new PairedField(
                field.Key, field.Value.Condition, field.Value.Well, [.. field.Value.Planes.OrderBy(plane => plane.Number).Select(plane => plane.File)], field.Value.Labels))],
            [.. problems.Select(field => new LeftOut(field.Key, field.Problem!))]);
    }

    // The cells of each row by their columns, the labels by their right names.
    private static IEnumerable<(int Number, Dictionary<string, string> Cells)> Rows(string path)
    {
        using var text = new StreamReader(path);
        using var csv = new CsvReader(text, new CsvConfiguration(CultureInfo.InvariantCulture) { MaxFieldSize = 8192, TrimOptions = TrimOptions.Trim });
        if (!Try(csv.Read))
            throw new ImageException($"{path} is empty. It needs a header, as {Header}.");
        string[] columns = [.. csv.Parser.Record!.Select(column => column.ToLowerInvariant() is "field" or "condition" or "well" or "plane" or "image"
            ? column.ToLowerInvariant() : FluorescenceLabels.Find(column)?.Name ?? column)];
        if (columns.GroupBy(column => column).FirstOrDefault(column => column.Count() > 1) is { } twice)
            throw new ImageException($"{path} has the column {twice.Key} twice. Keep one.");
        foreach (string name in (string[])["field", "image"])
        {
            if (!columns.Contains(name))
                throw new ImageException($"{path} has no column \"{name}\". It needs a header, as {Header}.");
        }

        string[] labels = [.. columns.Except(["field", "condition", "well", "plane", "image"])];
        if (labels.Length == 0)
            throw new ImageException($"{path} has no column of a label. Add one, as {Header}.");
        if (LabelInfo.FindNameProblem(labels) is { } problem)
            throw new ImageException($"{path}: the columns besides field, condition, well, plane and image are labels. {problem} Correct the header.");
        while (Try(csv.Read))
        {
            // A path with a comma that is not quoted would move all that follow.
            string[] record = csv.Parser.Record!;
            if (record.Length != columns.Length)
                throw new ImageException($"{path}: row {csv.Parser.Row} has {record.Length} cells, the header {columns.Length}. Correct it; quote values with commas.");
            yield return (csv.Parser.Row, columns.Zip(record).ToDictionary(cell => cell.First, cell => cell.Second));
        }

        bool Try(Func<bool> read)
        {
            try
            {
                return read();
            }
            catch (CsvHelperException exception)
            {
                throw new ImageException($"{path} is not valid CSV at row {csv.Parser.Row}. Correct it.", exception);
            }
        }
    }

    private sealed class Entry(string condition, string well, string name)
    {
        public string Condition => condition;

        public string Well => well;

        public string Field => name;

        public List<(int? Number, string File)> Planes { get; } = [];

        public Dictionary<string, string> Labels { get; } = new(StringComparer.Ordinal);

        public string? Absent { get; set; }

        public string? Problem()
        {
            if (Absent is not null)
                return $"{Absent} does not exist. Copy it to the manifest's folder.";
            if (Labels.Count == 0)
                return "it has no true image of a label. Name one.";
            if (Planes.Count == 1)
                return null;
            if (Planes.Any(plane => plane.Number is null))
                return "it has several rows, and not all have a plane's number. Number the planes, or name one file of all planes.";
            int[] numbers = [.. Planes.Select(plane => plane.Number!.Value).Order()];
            return PairedData.PlaneProblem(numbers, numbers[0]) is { } problem ? $"{problem}. Correct the manifest." : null;
        }
    }
}

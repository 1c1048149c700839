using System.Security.Cryptography;
using System.Text;

namespace StainGrid.Imaging;

/// <summary>What a plate consists of.</summary>
/// <param name="Name">The plate's name.</param>
/// <param name="Source">The folder or manifest that it was found in, in full; of blobs the address without a signature.</param>
/// <param name="Rows">The names of all rows, A and on: of the smallest of the 96, 384 and 1536-well formats that holds every
/// well, else up to the last.</param>
/// <param name="Columns">The names of all columns, 1 and on.</param>
/// <param name="Fields">The fields by row, column and field.</param>
public sealed record PlateLayout(
    string Name, string Source, IReadOnlyList<string> Rows, IReadOnlyList<string> Columns, IReadOnlyList<PlateField> Fields)
{
    /// <summary>The images whose names say no well.</summary>
    public UnmatchedImages Unmatched { get; init; } = new(0, []);

    /// <summary>What was decided without being asked, for people.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>The SHA-256, in lower-case hex, of the places of the fields and the relative names and sizes of their files, of blobs
    /// also their versions; the order of the fields does not matter. Two plates with the same have, as far as these tell, the same
    /// content.</summary>
    /// <param name="cancellationToken">Stops between files.</param>
    public string ContentHash(CancellationToken cancellationToken = default)
    {
        string root = Directory.Exists(Source) ? Source : Path.GetDirectoryName(Source)!;
        string folder = Path.GetExtension(Source).ToUpperInvariant() is ".CSV" or ".JSON" ? BlobAddress.Parent(Source) : Source;
        var lines = new List<string>();
        foreach (var field in Fields)
        {
            lines.Add($"{field.Path}\n");
            for (int i = 0; i < field.Files.Count; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (BlobAddress.IsBlob(field.Files[i]))
                {
                    lines.Add($"{field.Path}\t{i}\t{BlobAddress.Show(field.Files[i])[folder.Length..]}\t{field.Versions.ElementAtOrDefault(i)}\n");
                    continue;
                }

                var (path, channel) = ImagePath.Split(field.Files[i]);
                string name = Path.GetRelativePath(root, path).Replace('\\', '/');
                try
                {
                    foreach (var file in Directory.Exists(path) ? ImagePath.FilesBelow(path) : [new FileInfo(path)])
                    {
                        string inside = file.FullName.Length > path.Length ? file.FullName[path.Length..].Replace('\\', '/') : "";
                        lines.Add(string.Create(CultureInfo.InvariantCulture, $"{field.Path}\t{i}\t{name}\t{channel}\t{inside}\t{file.Length}\n"));
                    }
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
                {
                    lines.Add($"{field.Path}\t{i}\t{name}\t{channel}\tabsent\n");   // its field will fail, and the others go on
                }
            }
        }

        lines.Sort(StringComparer.Ordinal);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(lines))));
    }

    /// <summary>The plate's format for wells up to a row and a column, both counted from 1.</summary>
    internal static (string[] Rows, string[] Columns) Format(int rows, int columns)
    {
        var (r, c) = (rows, columns) switch
        {
            ( <= 8, <= 12) => (8, 12),
            ( <= 16, <= 24) => (16, 24),
            ( <= 32, <= 48) => (32, 48),
            _ => (rows, columns),
        };
        return ([.. Enumerable.Range(1, r).Select(WellName.Row)],
            [.. Enumerable.Range(1, c).Select(column => column.ToString(CultureInfo.InvariantCulture))]);
    }
}

/// <summary>One site of a well: its image, or why it cannot be stained.</summary>
/// <param name="Row">The row's name, A to ZZ.</param>
/// <param name="Column">The column's number, from 1.</param>
/// <param name="Field">The field's place among those of the well, from 0.</param>
/// <param name="Files">The files of the planes in order, in full, as <see cref="ImageReader.OpenStackAsync"/> takes them; of blobs with
/// the signature that the source had.</param>
/// <param name="Problem">Why the field cannot be stained; null where nothing is known against it.</param>
public sealed record PlateField(string Row, int Column, int Field, IReadOnlyList<string> Files, string? Problem = null)
{
    /// <summary>The versions and sizes of the files when they were found, where they are blobs; else empty.</summary>
    public IReadOnlyList<string> Versions { get; init; } = [];

    /// <summary>The well, as "B07".</summary>
    public string Well => string.Create(CultureInfo.InvariantCulture, $"{Row}{Column:00}");

    /// <summary>The image's path in the output, as "B/7/0".</summary>
    public string Path => string.Create(CultureInfo.InvariantCulture, $"{Row}/{Column}/{Field}");
}

/// <summary>Images that matched nothing.</summary>
/// <param name="Count">How many.</param>
/// <param name="Examples">The first few names.</param>
public sealed record UnmatchedImages(int Count, IReadOnlyList<string> Examples);

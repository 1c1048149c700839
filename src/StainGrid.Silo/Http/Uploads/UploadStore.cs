using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>A file of an upload.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Length">Its bytes in all.</param>
/// <param name="Offset">Those that are here.</param>
internal sealed record UploadedFile(string Name, long Length, long Offset);

/// <summary>Files that callers upload, below a folder: TENANT/ID/NAME once they are whole. Parts stand beside, in ".parts", where nobody takes them for images.</summary>
internal sealed class UploadStore(string? folder, long largestFile)
{
    private const int MostFiles = 100_000;
    private const long Reserve = 1L << 30;   // bytes that stay free on the disk
    private const string LengthEnd = ".length";
    private static readonly TimeSpan Abandoned = TimeSpan.FromDays(7);
    private static readonly string[] s_kinds = [".png", ".tif", ".tiff", ".csv", ".json"];

    private readonly ConcurrentDictionary<string, byte> writing = new(StringComparer.Ordinal);

    private string Root => folder ?? throw new StainGridException(StainGridError.NotFound, "This service takes no uploads. Submit plates of its shares.");

    /// <summary>Begins an upload, and drops parts that nobody has added to for a week.</summary>
    public string Create(string tenant)
    {
        string id = ServiceId.New();
        Directory.CreateDirectory(Folder(tenant, id));
        string parts = Path.Combine(Root, UploadFolders.Parts, tenant);
        foreach (string old in Directory.Exists(parts) ? Directory.EnumerateDirectories(parts) : [])
        {
            if (Directory.EnumerateFiles(old).Append(old).All(entry => DateTime.UtcNow - File.GetLastWriteTimeUtc(entry) > Abandoned))
                Directory.Delete(old, recursive: true);
        }

        return id;
    }

    public IReadOnlyList<UploadedFile> List(string tenant, string id)
    {
        string folder = Existing(tenant, id), parts = PartsOf(tenant, id);
        var files = Directory.EnumerateFiles(folder).Select(file => new FileInfo(file)).Select(file => new UploadedFile(file.Name, file.Length, file.Length));
        var begun = Directory.Exists(parts) ? Directory.EnumerateFiles(parts, "*" + LengthEnd).Select(file => Find(tenant, id, Path.GetFileName(file)[..^LengthEnd.Length])).OfType<UploadedFile>() : [];
        return [.. files.Concat(begun).DistinctBy(file => file.Name).OrderBy(file => file.Name, StringComparer.Ordinal)];
    }

    public void Delete(string tenant, string id)
    {
        Existing(tenant, id);
        UploadFolders.Delete(Root, tenant, id);
    }

    /// <summary>Begins a file; one of the same name and length that was begun goes on.</summary>
    public UploadedFile Begin(string tenant, string id, string name, long length)
    {
        string folder = Existing(tenant, id), parts = PartsOf(tenant, id);
        if (!IsName(name))
            throw new StainGridException(StainGridError.Refused, $"A file's name has at most 180 bytes, no '/', no '.' at its start, and ends with {string.Join(", ", s_kinds)}.");
        if (length < 1 || length > largestFile)
            throw new BadHttpRequestException($"A file has 1 to {largestFile} bytes.", StatusCodes.Status413PayloadTooLarge);
        if (Find(tenant, id, name) is { } begun)
            return begun.Length == length ? begun : throw new StainGridException(StainGridError.Conflict, $"{name} was begun with {begun.Length} bytes. Delete it first.");
        if (Directory.EnumerateFiles(folder).Count() + (Directory.Exists(parts) ? Directory.EnumerateFiles(parts).Count() / 2 : 0) >= MostFiles)
            throw new StainGridException(StainGridError.Refused, $"An upload has at most {MostFiles} files. Begin another.");
        if (new DriveInfo(folder).AvailableFreeSpace < length + Reserve)
            throw new StainGridException(StainGridError.Busy, "The service has no room for this file now. Tell its operator.") { RetryAfter = TimeSpan.FromMinutes(10) };
        Directory.CreateDirectory(parts);
        File.WriteAllText(Path.Combine(parts, name + LengthEnd), length.ToString(CultureInfo.InvariantCulture));
        using (new FileStream(Path.Combine(parts, name), FileMode.OpenOrCreate, FileAccess.Write, FileShare.ReadWrite))
        {
            // Empty, unless another request has begun it just now and gone on.
        }

        return new UploadedFile(name, length, 0);
    }

    /// <summary>How far a file is, or null where it was not begun.</summary>
    public UploadedFile? Find(string tenant, string id, string name)
    {
        string folder = Existing(tenant, id);
        if (!IsName(name))
            return null;
        if (new FileInfo(Path.Combine(folder, name)) is { Exists: true } whole)
            return new UploadedFile(name, whole.Length, whole.Length);
        var part = new FileInfo(Path.Combine(PartsOf(tenant, id), name));
        try
        {
            // All bytes, but not moved: who wrote the last of them was stopped right then. It is asked for its last byte again, which finishes it.
            return part.Exists && long.TryParse(File.ReadAllText(part.FullName + LengthEnd), NumberStyles.None, CultureInfo.InvariantCulture, out long length)
                ? new UploadedFile(name, length, Math.Min(part.Length, length - 1)) : null;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return new FileInfo(Path.Combine(folder, name)) is { Exists: true } moved ? new UploadedFile(name, moved.Length, moved.Length) : null;
        }
    }

    public void Delete(string tenant, string id, string name)
    {
        string part = Path.Combine(PartsOf(tenant, id), name), whole = Path.Combine(Existing(tenant, id), name);
        if (Find(tenant, id, name) is null)
            return;
        foreach (string file in (string[])[whole, part, part + LengthEnd])
            File.Delete(file);
    }

    /// <summary>Adds bytes at an offset; what has come stays, also where the caller goes away in the middle.</summary>
    /// <returns>The new offset.</returns>
    public async Task<long> AppendAsync(string tenant, string id, string name, long offset, Stream body, CancellationToken cancellationToken)
    {
        var file = Find(tenant, id, name) ?? throw new StainGridException(StainGridError.NotFound, "There is no such file in this upload.");
        string root = Root, part = Path.Combine(PartsOf(tenant, id), name);
        if (!writing.TryAdd(part, 0))
            throw new StainGridException(StainGridError.Conflict, "Another request is adding to this file.");
        try
        {
            file = Find(tenant, id, name) ?? file;
            if (offset != file.Offset)
                throw new StainGridException(StainGridError.Conflict, $"The file has {file.Offset} bytes; the next ones begin there.");
            if (file.Offset == file.Length)
                return file.Length;
            long written = file.Offset;
            if (new DriveInfo(root).AvailableFreeSpace < Reserve)
                throw new IOException("The disk is nearly full.");
            await using (var stream = new FileStream(part, FileMode.Open, FileAccess.Write, FileShare.None))
            {
                stream.Seek(written, SeekOrigin.Begin);
                byte[] buffer = new byte[1 << 16];
                for (int read; (read = await body.ReadAsync(buffer, cancellationToken)) > 0; written += read)
                {
                    if (written + read > file.Length)
                        throw new StainGridException(StainGridError.Refused, $"These are more bytes than the {file.Length} that the file was begun with.");
                    await stream.WriteAsync(buffer.AsMemory(0, read), CancellationToken.None);
                }

                if (written == file.Length)
                    stream.Flush(flushToDisk: true);
            }

            if (written == file.Length)
            {
                File.Move(part, Path.Combine(Folder(tenant, id), name));
                File.Delete(part + LengthEnd);
            }

            return written;
        }
        catch (IOException e) when (e is not BadHttpRequestException)
        {
            throw new StainGridException(StainGridError.Busy, "The file cannot be written now. Tell the service's operator.", e) { RetryAfter = TimeSpan.FromMinutes(1) };
        }
        finally
        {
            writing.TryRemove(part, out _);
        }
    }

    private static bool IsName(string name) =>
        name.Length > 0 && Encoding.UTF8.GetByteCount(name) <= 180 && name[0] != '.' && name.IndexOfAny(['/', '\\', ':']) < 0 && !name.Any(char.IsControl) && !name.EndsWith(LengthEnd, StringComparison.Ordinal)
        && s_kinds.Contains(Path.GetExtension(name), StringComparer.OrdinalIgnoreCase) && IsKey(name);

    private static bool IsKey(string name)
    {
        try
        {
            BlobKey.Check(name);
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private string Existing(string tenant, string id) =>
        ServiceId.IsValid(id) && Directory.Exists(Folder(tenant, id)) ? Folder(tenant, id) : throw new StainGridException(StainGridError.NotFound, "There is no such upload.");

    private string Folder(string tenant, string id) => Path.Combine(Root, tenant, id);

    private string PartsOf(string tenant, string id) => Path.Combine(Root, UploadFolders.Parts, tenant, id);
}

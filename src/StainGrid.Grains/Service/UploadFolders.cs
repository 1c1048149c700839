using StainGrid.Contracts;

namespace StainGrid.Grains;

/// <summary>What tenants uploaded, as folders: TENANT/ID, and beside them .parts/TENANT/ID with the files that are not whole.</summary>
public static class UploadFolders
{
    /// <summary>What a source starts with that is an upload.</summary>
    public const string Source = "upload:";

    /// <summary>Where the files are that are not whole, in the folder of all.</summary>
    public const string Parts = ".parts";

    /// <summary>The id of the upload that a source names; null where it names none.</summary>
    public static string? IdOf(string source) =>
        source.StartsWith(Source, StringComparison.Ordinal) && source[Source.Length..].Split('/')[0] is var id && ServiceId.IsValid(id) ? id : null;

    /// <summary>The uploads that there are, whole or begun, with the time of the last write to each.</summary>
    /// <param name="root">The folder of all.</param>
    public static IEnumerable<(string Tenant, string Id, DateTimeOffset Written)> List(string root)
    {
        string[] roots = [.. ((string[])[root, Path.Combine(root, Parts)]).Where(Directory.Exists)];
        return roots.SelectMany(Directory.EnumerateDirectories).Select(folder => Path.GetFileName(folder)!).Where(ServiceId.IsTenant).Distinct()
            .SelectMany(tenant => roots.Select(place => Path.Combine(place, tenant)).Where(Directory.Exists).SelectMany(Directory.EnumerateDirectories)
                .Select(folder => Path.GetFileName(folder)!).Where(ServiceId.IsValid).Distinct().Select(id => (tenant, id, Written(root, tenant, id))));
    }

    /// <summary>Deletes an upload.</summary>
    /// <returns>Whether there was one.</returns>
    /// <exception cref="IOException">It cannot be deleted; the next try goes on.</exception>
    public static bool Delete(string root, string tenant, string id)
    {
        string[] folders = [.. FoldersOf(root, tenant, id)];
        foreach (string folder in folders)
            Directory.Delete(folder, recursive: true);
        return folders.Length > 0;
    }

    /// <summary>When an upload was written to last. A whole file is moved into its folder, which tells the time; a part grows where it is.</summary>
    public static DateTimeOffset Written(string root, string tenant, string id) =>
        FoldersOf(root, tenant, id).Concat(Directory.Exists(Path.Combine(root, Parts, tenant, id)) ? Directory.EnumerateFiles(Path.Combine(root, Parts, tenant, id)) : [])
            .Select(File.GetLastWriteTimeUtc).Append(DateTime.UnixEpoch).Max();

    private static IEnumerable<string> FoldersOf(string root, string tenant, string id) =>
        ((string[])[Path.Combine(root, Parts, tenant, id), Path.Combine(root, tenant, id)]).Where(Directory.Exists);
}

namespace StainGrid.TestSupport;

/// <summary>The real microscopy beside the checkout (../shared/data), which is not part of the repository.</summary>
internal static class SharedData
{
    /// <summary>The folder, or null where it is absent: STAINGRID_SHARED_DATA, else shared/data beside an ancestor of the
    /// test's folder.</summary>
    public static string? Root { get; } = Find();

    /// <summary>A file below <see cref="Root"/>; skips the running test, saying so, where the data is absent.</summary>
    public static string File(params string[] parts)
    {
        Assert.SkipWhen(Root is null, "The real microscopy (../shared/data or STAINGRID_SHARED_DATA) is absent.");
        return Path.Combine([Root!, .. parts]);
    }

    private static string? Find()
    {
        if (Environment.GetEnvironmentVariable("STAINGRID_SHARED_DATA") is { Length: > 0 } set)
            return Directory.Exists(set) ? set : null;
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "shared", "data");
            if (Directory.Exists(candidate))
                return candidate;
        }

        return null;
    }
}

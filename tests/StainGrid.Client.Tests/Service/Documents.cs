namespace StainGrid.Client.Tests;

/// <summary>The checkout and its docs.</summary>
internal static class Documents
{
    /// <summary>The checkout's folder.</summary>
    public static string Root { get; } = Find();

    /// <summary>The first fenced block of a language in a page of docs.</summary>
    public static async Task<string> ExampleAsync(string page, string language)
    {
        string text = await File.ReadAllTextAsync(Path.Combine(Root, "docs", page), TestContext.Current.CancellationToken);
        string[] parts = text.ReplaceLineEndings("\n").Split("\n```" + language + "\n", 2);
        Assert.True(parts.Length == 2, $"docs/{page} has no block of {language}.");
        return parts[1].Split("\n```\n", 2)[0] + "\n";
    }

    private static string Find()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "StainGrid.sln")))
            folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException($"StainGrid.sln is not above {AppContext.BaseDirectory}.");
    }
}

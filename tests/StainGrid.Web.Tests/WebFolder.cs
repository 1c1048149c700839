using StainGrid.TestSupport;

namespace StainGrid.Web.Tests;

/// <summary>The page's sources, web/, with the packages that they are built with.</summary>
internal static class WebFolder
{
    private static readonly SemaphoreSlim s_install = new(1);

    /// <summary>The root of the checkout.</summary>
    public static string Root { get; } = Find();

    /// <summary>What is committed of the page's build.</summary>
    public static string Committed { get; } = Path.Combine(Root, "src", "StainGrid.Silo", "wwwroot");

    /// <summary>The folder web/, its packages installed as the lock file says.</summary>
    public static async Task<string> InstalledAsync(CancellationToken cancellationToken)
    {
        string folder = Path.Combine(Root, "web"), installed = Path.Combine(folder, "node_modules", ".package-lock.json");
        await s_install.WaitAsync(cancellationToken);
        try
        {
            if (!File.Exists(installed) || File.GetLastWriteTimeUtc(installed) < File.GetLastWriteTimeUtc(Path.Combine(folder, "package-lock.json")))
                await Conformance.RunAsync("npm", ["ci", "--no-audit", "--no-fund"], folder, cancellationToken);
            return folder;
        }
        finally
        {
            s_install.Release();
        }
    }

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "StainGrid.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException($"StainGrid.sln is not above {AppContext.BaseDirectory}.");
    }
}

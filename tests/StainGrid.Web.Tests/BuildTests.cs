using StainGrid.TestSupport;

namespace StainGrid.Web.Tests;

public sealed class BuildTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_committed_page_is_what_its_sources_give()
    {
        string web = await WebFolder.InstalledAsync(Stop);
        using var folder = new TemporaryFolder();
        string built = folder.File("wwwroot");
        await Conformance.RunAsync("node", ["build.mjs", "--out", built], web, Stop);

        Assert.Equal(Names(built), Names(WebFolder.Committed));
        foreach (string name in Names(built))
        {
            Assert.True(
                File.ReadAllBytes(Path.Combine(built, name)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(WebFolder.Committed, name))),
                $"{name} is not what web/ gives: run 'npm ci && npm run build' there and commit src/StainGrid.Silo/wwwroot.");
        }

        static IEnumerable<string> Names(string folder) =>
            Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(folder, file)).Order(StringComparer.Ordinal);
    }

    [Fact]
    public async Task The_sources_have_no_type_errors_and_their_own_tests_pass()
    {
        string web = await WebFolder.InstalledAsync(Stop);
        await Conformance.RunAsync("npm", ["run", "--silent", "check"], web, Stop);
        string report = await Conformance.RunAsync("npm", ["run", "--silent", "test"], web, Stop);
        Assert.Contains("# fail 0", report, StringComparison.Ordinal);
        Assert.DoesNotContain("# pass 0", report, StringComparison.Ordinal);
    }

    [Fact]
    public void The_page_names_no_other_host_and_the_licences_of_all_that_is_in_it()
    {
        Assert.DoesNotContain("resolved", File.ReadAllText(Path.Combine(WebFolder.Root, "web", "package-lock.json")), StringComparison.Ordinal);
        string page = File.ReadAllText(Path.Combine(WebFolder.Committed, "index.html"));
        Assert.DoesNotContain("://", page, StringComparison.Ordinal);
        Assert.DoesNotContain("<style", page, StringComparison.OrdinalIgnoreCase);
        string licences = File.ReadAllText(Path.Combine(WebFolder.Committed, "licences.txt"));
        Assert.All(["openseadragon 6", "zarrita 0", "@zarrita/storage 0", "preact 1", "fzstd 0"], name => Assert.Contains(name, licences, StringComparison.Ordinal));
        Assert.DoesNotContain("no file with the licence", licences, StringComparison.Ordinal);
    }
}

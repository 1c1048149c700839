using System.Text.RegularExpressions;
using StainGrid.TestSupport;

namespace StainGrid.Deploy.Tests.Images;

public sealed class DockerfileTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Linters_find_nothing_in_ours_and_something_in_a_bad_one()
    {
        Assert.Equal("[]", (await Checkout.NodeAsync("lint.mjs", [Checkout.File("deploy", "docker", "Dockerfile")], null, Stop)).Trim());
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder.File("Dockerfile"), "FROM debian\nRUN apt-get update && apt-get install curl\nHEALTHCHECK --interval=often CMD true\n", Stop);
        string found = await Checkout.NodeAsync("lint.mjs", [folder.File("Dockerfile")], null, Stop);
        Assert.All((string[])["Missing Tag", "--no-install-recommends", "invalid duration"], said => Assert.Contains(said, found, StringComparison.Ordinal));
    }

    [Fact]
    public void The_image_is_of_versions_that_are_said_runs_as_nobody_by_number_and_checks_its_health()
    {
        var stages = Dockerfile.Ours.Stages;
        Assert.Equal(2, stages.Length);
        Assert.All(stages, stage =>
        {
            string image = Regex.Replace(stage[0].Rest.Split(' ')[0], @"^\$\{(\w+)\}$", match => Dockerfile.Ours.Defaults[match.Groups[1].Value]);
            Assert.Matches(@"^[a-z/]+:\d+\.\d+$", image);   // a well-known name and a version; which registry is the builder's matter
        });
        var last = stages[^1];
        Assert.Matches(@"^[1-9]\d*:[1-9]\d*$", last.Last(instruction => instruction.Name == "USER").Rest);
        Assert.True(last.ToList().FindIndex(instruction => instruction.Name == "USER") > last.ToList().FindLastIndex(instruction => instruction.Name is "RUN" or "COPY"), "What is built before USER is root's, and the program cannot write it.");
        Assert.All(last.Where(instruction => instruction.Name is "ENTRYPOINT" or "CMD"), instruction => Assert.NotNull(instruction.Exec));
        Assert.Equal(["staingrid"], last.Single(instruction => instruction.Name == "ENTRYPOINT").Exec!);
        Assert.StartsWith("CMD [\"staingrid\", \"health\"", last.Single(instruction => instruction.Name == "HEALTHCHECK").Arguments, StringComparison.Ordinal);
        Assert.DoesNotContain(Dockerfile.Ours.Instructions, instruction => instruction.Name is "ADD" or "EXPOSE" or "VOLUME");
    }

    [Fact]
    public void Nothing_secret_is_an_argument_or_in_the_environment() => Assert.All(
        Dockerfile.Ours.Instructions.Where(instruction => instruction.Name is "ARG" or "ENV" or "LABEL"),
        instruction => Assert.DoesNotMatch("(?i)password|secret|token|_key|connection_string|credential", instruction.Rest));

    [Fact]
    public async Task A_build_sees_what_it_copies_and_nothing_that_it_does_not_need()
    {
        string[] files = await BuildContext.FilesAsync(Stop);
        var copies = Dockerfile.Ours.Instructions.Where(instruction => instruction.Name == "COPY" && !instruction.Flags.Any(flag => flag.StartsWith("--from", StringComparison.Ordinal))).ToArray();
        Assert.NotEmpty(copies);
        Assert.All(copies.SelectMany(copy => copy.Arguments.Split(' ')[..^1]), source => Assert.True(
            source == "." ? files.Length > 0 : Array.Exists(files, file => file == source || file.StartsWith(source.TrimEnd('/') + "/", StringComparison.Ordinal)), $"{source} is not there, or ignored."));
        Assert.Equal(
            [".editorconfig", "Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props", "build", "global.json", "models", "src"],
            files.Select(file => file.Split('/')[0]).Distinct().Order(StringComparer.Ordinal));
        Assert.True(BuildContext.IsIgnored("src/StainGrid.Cli/bin/Release/net10.0/staingrid"));
        Assert.True(BuildContext.IsIgnored(".env"));
        Assert.True(BuildContext.IsIgnored("tests/deploy/package.json"));
    }
}

using System.Text.Json;
using System.Text.RegularExpressions;

namespace StainGrid.Deploy.Tests.Images;

/// <summary>One instruction of a Dockerfile, its lines joined.</summary>
internal sealed record Instruction(string Name, string Rest)
{
    /// <summary>The flags before the arguments: "--from=build".</summary>
    public IEnumerable<string> Flags => Rest.Split(' ').TakeWhile(word => word.StartsWith("--", StringComparison.Ordinal));

    /// <summary>What follows the flags.</summary>
    public string Arguments => string.Join(' ', Rest.Split(' ').SkipWhile(word => word.StartsWith("--", StringComparison.Ordinal)));

    /// <summary>The words of the exec form (JSON), or null where it is the shell's.</summary>
    public string[]? Exec => Arguments.StartsWith('[') ? JsonSerializer.Deserialize<string[]>(Arguments) : null;
}

/// <summary>A Dockerfile as far as ours goes: no heredocs, no other escape character.</summary>
internal sealed partial class Dockerfile
{
    private Dockerfile(string text)
    {
        string joined = Continuation().Replace(Comment().Replace(text, ""), " ");
        Instructions =
        [
            .. joined.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                .Select(line => line.Split(' ', 2, StringSplitOptions.TrimEntries)).Select(parts => new Instruction(parts[0].ToUpperInvariant(), parts.ElementAtOrDefault(1) ?? "")),
        ];
    }

    public static Dockerfile Ours { get; } = new(File.ReadAllText(Checkout.File("deploy", "docker", "Dockerfile")));

    public IReadOnlyList<Instruction> Instructions { get; }

    /// <summary>The arguments and their defaults.</summary>
    public Dictionary<string, string> Defaults => Instructions.Where(instruction => instruction.Name == "ARG")
        .Select(instruction => instruction.Rest.Split('=', 2)).Where(pair => pair.Length == 2).ToDictionary(pair => pair[0], pair => pair[1]);

    /// <summary>The instructions of each stage, its FROM first.</summary>
    public IReadOnlyList<Instruction>[] Stages
    {
        get
        {
            var stages = new List<List<Instruction>>();
            foreach (var instruction in Instructions)
            {
                if (instruction.Name == "FROM")
                    stages.Add([]);
                stages.LastOrDefault()?.Add(instruction);
            }

            return [.. stages];
        }
    }

    [GeneratedRegex(@"^\s*#.*\n", RegexOptions.Multiline)]
    private static partial Regex Comment();

    [GeneratedRegex(@"\s*\\\n\s*")]
    private static partial Regex Continuation();
}

/// <summary>What .dockerignore leaves of the checkout: the last pattern that a path or a folder above it matches decides.</summary>
internal static class BuildContext
{
    private static readonly (Regex Pattern, bool Ignored)[] s_rules =
    [
        .. File.ReadLines(Checkout.File(".dockerignore")).Select(line => line.Trim()).Where(line => line.Length > 0 && line[0] != '#')
            .Select(line => (Pattern(line.TrimStart('!').Trim('/')), line[0] != '!')),
    ];

    /// <summary>The files of a clean checkout that a build sees.</summary>
    public static async Task<string[]> FilesAsync(CancellationToken cancellationToken) =>
    [
        .. (await Checkout.RunAsync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], Checkout.Root, null, cancellationToken))
            .Split('\0', StringSplitOptions.RemoveEmptyEntries).Where(path => !IsIgnored(path) && File.Exists(Checkout.File(path))),
    ];

    public static bool IsIgnored(string path)
    {
        string[] parts = path.Split('/');
        string[] above = [.. Enumerable.Range(1, parts.Length).Select(count => string.Join('/', parts.Take(count)))];
        return s_rules.LastOrDefault(rule => above.Any(rule.Pattern.IsMatch)).Ignored;
    }

    private static Regex Pattern(string pattern) => new(
        "^" + Regex.Escape(pattern).Replace(@"\*\*/", "(.*/)?", StringComparison.Ordinal).Replace(@"\*", "[^/]*", StringComparison.Ordinal).Replace(@"\?", "[^/]", StringComparison.Ordinal) + "$");
}

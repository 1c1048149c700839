using System.Text.RegularExpressions;

namespace StainGrid.Client.Tests;

/// <summary>A block of commands that is run.</summary>
/// <param name="Line">The number of its first line.</param>
/// <param name="Commands">What the shell is given.</param>
/// <param name="Printed">The lines that the page says are printed; ".." stands for anything.</param>
internal sealed record GuideBlock(int Line, string Commands, IReadOnlyList<string> Printed);

/// <summary>A page of docs whose blocks are marked: "sh run" with the commands, then "text" with what they print; or "LANGUAGE not-run", which begins with why.</summary>
internal sealed partial class Guide
{
    /// <summary>What the first line of a block that is not run says.</summary>
    public const string Excuse = "# Not run by the tests: ";

    private static readonly string[] NoCommands = ["text", "csharp", "json", "yaml"];

    private readonly List<GuideBlock> blocks = [];
    private readonly List<string> problems = [];

    private Guide(string page) => Page = page;

    /// <summary>The file's name in docs.</summary>
    public string Page { get; }

    /// <summary>The blocks that are run, in their order.</summary>
    public IReadOnlyList<GuideBlock> Blocks => blocks;

    /// <summary>What is not marked as it must be, a line each.</summary>
    public IReadOnlyList<string> Problems => problems;

    /// <summary>Reads a page.</summary>
    public static async Task<Guide> ReadAsync(string page, CancellationToken cancellationToken)
    {
        var guide = new Guide(page);
        guide.Parse(await File.ReadAllLinesAsync(Path.Combine(Documents.Root, "docs", page), cancellationToken));
        return guide;
    }

    /// <summary>The first of the lines that <paramref name="output"/> has not, after those before it; null where it has all.</summary>
    public static string? FirstMissing(IEnumerable<string> printed, string output)
    {
        int from = 0;
        foreach (string line in printed)
        {
            var match = new Regex(Regex.Escape(line).Replace(@"\.\.", ".*?", StringComparison.Ordinal)).Match(output, from);
            if (!match.Success)
                return line;
            from = match.Index + match.Length;
        }

        return null;
    }

    [GeneratedRegex(@"^\s*(\$ |\./)?(staingrid|kubectl|docker|dotnet|curl|redis-server|napari|pip|export) ")]
    private static partial Regex Command();

    private void Parse(string[] lines)
    {
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i].StartsWith("    ", StringComparison.Ordinal) || lines[i].StartsWith('\t'))
                Problem(i, "an indented block. Fence it and mark it: sh run, sh not-run, text");
            if (!lines[i].StartsWith("```", StringComparison.Ordinal))
                continue;
            string mark = lines[i][3..];
            int first = i + 1;
            i = Array.FindIndex(lines, first, line => line == "```");
            if (i < 0)
            {
                Problem(first - 1, "a block without an end");
                return;
            }

            var code = lines[first..i];
            if (mark == "sh run")
            {
                var printed = lines.Skip(i + 1).FirstOrDefault() == "```text" ? lines[(i + 2)..].TakeWhile(line => line != "```") : [];
                blocks.Add(new GuideBlock(first + 1, string.Join('\n', code), [.. printed.Select(line => line.Trim()).Where(line => line != "")]));
            }
            else if (mark.EndsWith(" not-run", StringComparison.Ordinal))
            {
                if (code is [] || !code[0].StartsWith(Excuse, StringComparison.Ordinal))
                    Problem(first - 1, $"a block that is not run does not begin with '{Excuse}' and why");
            }
            else if (!NoCommands.Contains(mark))
            {
                Problem(first - 1, $"a block marked '{mark}'. Mark it: sh run, sh not-run, {string.Join(", ", NoCommands)}");
            }
            else if (Array.FindIndex(code, Command().IsMatch) is >= 0 and var command)
            {
                Problem(first + command, "a command in a block that is not for commands");
            }
        }
    }

    private void Problem(int index, string what) => problems.Add($"docs/{Page}:{index + 1}: {what}.");
}

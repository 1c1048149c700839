using System.CommandLine.Parsing;

namespace StainGrid.Cli;

/// <summary>What the command returns to the shell.</summary>
internal static class ExitCodes
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int Interrupted = 130;

    /// <summary>"stain " for the stain command, "" for the root.</summary>
    public static string CommandPath(this CommandResult command) =>
        command.Parent is CommandResult parent ? $"{parent.CommandPath()}{command.Command.Name} " : "";
}

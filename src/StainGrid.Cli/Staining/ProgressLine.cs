using Spectre.Console;

namespace StainGrid.Cli;

/// <summary>One line on the standard error: on a terminal it is written over again and gone at the end, else each is a line.</summary>
internal sealed class ProgressLine : IDisposable
{
    /// <summary>Between two lines that say nothing new, where it is not a terminal.</summary>
    public static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(15);

    private readonly IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
    private int width;

    public bool IsTerminal { get; } = !Console.IsErrorRedirected;

    public void Show(string line)
    {
        if (IsTerminal)
        {
            console.Write(new Text($"\r{line.PadRight(width)}"));
            width = line.Length;
        }
        else
        {
            Console.Error.WriteLine(line);
        }
    }

    public void Dispose()
    {
        if (width > 0)
            console.Write(new Text($"\r{new string(' ', width)}\r"));
    }
}

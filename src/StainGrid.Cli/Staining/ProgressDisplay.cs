using System.Diagnostics;
using System.Globalization;
using Spectre.Console;
using StainGrid.Contracts;

namespace StainGrid.Cli;

/// <summary>One line on the standard error: a bar with tiles/s and the time left on a terminal, else a plain line now and then.</summary>
internal sealed class ProgressDisplay(string name) : IDisposable
{
    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(15);

    private readonly bool terminal = !Console.IsErrorRedirected;
    private readonly IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
    private readonly Stopwatch running = new();
    private TimeSpan? shown;
    private SlideState state;
    private int width;

    public void Show(SlideStatus status)
    {
        if (status.State == SlideState.Running && !running.IsRunning)
            running.Start();
        if (terminal)
        {
            string line = Line(status, 30);
            console.Write(new Text($"\r{line.PadRight(width)}"));
            width = line.Length;
        }
        else if (state != status.State || shown is null || running.Elapsed - shown > PlainInterval)
        {
            shown = running.Elapsed;
            state = status.State;
            Console.Error.WriteLine(Line(status, 0));
        }
    }

    public void Dispose()
    {
        if (terminal && width > 0)
            console.Write(new Text($"\r{new string(' ', width)}\r"));
    }

    private string Line(SlideStatus status, int bar)
    {
        if (status.State != SlideState.Running || status.TilesTotal == 0)
            return $"{name}: {status.State.ToString().ToLowerInvariant()}";
        double share = Math.Min(1, (double)status.TilesDone / status.TilesTotal);
        double rate = status.TilesDone / Math.Max(0.001, running.Elapsed.TotalSeconds);
        string left = rate > 0
            ? TimeSpan.FromSeconds(Math.Max(0, status.TilesTotal - status.TilesDone) / rate).ToString(@"h\:mm\:ss", CultureInfo.InvariantCulture)
            : "-:--:--";
        int full = (int)(share * bar);
        string drawn = bar > 0 ? $"[{new string('#', full)}{new string('.', bar - full)}] " : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"{name}: {drawn}{share,4:P0} {Math.Min(status.TilesDone, status.TilesTotal)}/{status.TilesTotal} tiles, {rate:F1} tiles/s, {left} left");
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Spectre.Console;
using StainGrid.Contracts;

namespace StainGrid.Cli;

/// <summary>A plate's progress on the standard error: a line that changes on a terminal, else a plain line now and then.</summary>
internal sealed partial class PlateProgress : IDisposable
{
    private static readonly TimeSpan PlainInterval = TimeSpan.FromSeconds(15);

    private readonly bool terminal = !Console.IsErrorRedirected;
    private readonly IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private TimeSpan? shown;
    private int? firstComplete;
    private int width;

    /// <summary>"complete with failures" for <see cref="PlateState.CompleteWithFailures"/>.</summary>
    public static string Name(PlateState state) => Capital().Replace(state.ToString(), " $0").Trim().ToLowerInvariant();

    public static string Line(PlateStatus status) => string.Create(CultureInfo.InvariantCulture,
        $"{status.PlateId}: {Name(status.State)}, {status.FieldsComplete} of {status.Fields} fields complete")
        + (status.FieldsFailed > 0 ? $", {status.FieldsFailed} failed" : "")
        + (status.BlocksRetried > 0 ? $", {status.BlocksRetried} blocks retried" : "")
        + (status.Waiting is null || status.IsFinal ? "" : $" ({status.Waiting})");

    public void Show(PlateStatus status)
    {
        firstComplete ??= status.FieldsComplete;
        if (!terminal && shown is not null && clock.Elapsed - shown < PlainInterval)
            return;
        shown = clock.Elapsed;
        int done = status.FieldsComplete - firstComplete.Value, left = status.Fields - status.FieldsComplete - status.FieldsFailed;
        string rate = string.Create(CultureInfo.InvariantCulture, $", {status.TilesDone / Math.Max(0.001, clock.Elapsed.TotalSeconds):F1} tiles/s");
        string time = done > 0 ? $", {(clock.Elapsed / done * left).ToString(@"d\.hh\:mm\:ss", CultureInfo.InvariantCulture)} left" : "";
        string line = Line(status) + rate + time;
        if (terminal)
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
        if (terminal && width > 0)
            console.Write(new Text($"\r{new string(' ', width)}\r"));
    }

    [GeneratedRegex("[A-Z]")]
    private static partial Regex Capital();
}

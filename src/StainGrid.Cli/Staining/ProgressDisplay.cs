using System.Diagnostics;
using System.Globalization;
using StainGrid.Contracts;

namespace StainGrid.Cli;

/// <summary>One line on the standard error: a bar with tiles/s and the time left on a terminal, else a plain line now and then.</summary>
internal sealed class ProgressDisplay(string name) : IDisposable
{
    private readonly ProgressLine line = new();
    private readonly Stopwatch running = new();
    private TimeSpan? shown;
    private SlideState state;

    public void Show(SlideStatus status)
    {
        if (status.State == SlideState.Running && !running.IsRunning)
            running.Start();
        if (!line.IsTerminal && state == status.State && shown is not null && running.Elapsed - shown <= ProgressLine.PlainInterval)
            return;
        shown = running.Elapsed;
        state = status.State;
        line.Show(Line(status, line.IsTerminal ? 30 : 0));
    }

    public void Dispose() => line.Dispose();

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

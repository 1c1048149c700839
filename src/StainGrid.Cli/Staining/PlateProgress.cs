using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using StainGrid.Contracts;

namespace StainGrid.Cli;

/// <summary>A plate's progress on the standard error: a line that changes on a terminal, else a plain line now and then.</summary>
internal sealed partial class PlateProgress : IDisposable
{
    private readonly ProgressLine line = new();
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private TimeSpan? shown;
    private int? firstComplete;

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
        if (!line.IsTerminal && shown is not null && clock.Elapsed - shown < ProgressLine.PlainInterval)
            return;
        shown = clock.Elapsed;
        int done = status.FieldsComplete - firstComplete.Value, left = status.Fields - status.FieldsComplete - status.FieldsFailed;
        string rate = string.Create(CultureInfo.InvariantCulture, $", {status.TilesDone / Math.Max(0.001, clock.Elapsed.TotalSeconds):F1} tiles/s");
        string time = done > 0 ? $", {(clock.Elapsed / done * left).ToString(@"d\.hh\:mm\:ss", CultureInfo.InvariantCulture)} left" : "";
        line.Show(Line(status) + rate + time);
    }

    public void Dispose() => line.Dispose();

    [GeneratedRegex("[A-Z]")]
    private static partial Regex Capital();
}

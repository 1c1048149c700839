using System.Globalization;
using StainGrid.Imaging;

namespace StainGrid.Model;

/// <summary>How a training went: of each step the loss of each label, and where it was evaluated the correlation with the truth of the validation part.</summary>
public sealed class LearningCurve
{
    private const int Window = 100;   // parts that the plot's losses are averaged over
    private const double Smoothing = 0.95;
    private readonly IReadOnlyList<string> labels;
    private readonly List<Row> rows = [];

    /// <param name="labels">The model's labels.</param>
    public LearningCurve(IReadOnlyList<string> labels)
    {
        ArgumentNullException.ThrowIfNull(labels);
        this.labels = labels;
    }

    /// <summary>Of each label the loss, averaged over the last steps, nats; NaN where it had none; null before the first step.</summary>
    public IReadOnlyList<double>? Losses { get; private set; }

    /// <summary>What the last evaluation found, or null.</summary>
    public IReadOnlyList<double>? Pearson { get; private set; }

    /// <summary>Whether there is a step, and an evaluation after the last of them.</summary>
    public bool IsEvaluated => rows.Count > 0 && rows[^1].Pearson is not null;

    /// <summary>Adds a step.</summary>
    public void Add(TrainingStep step)
    {
        ArgumentNullException.ThrowIfNull(step);
        rows.Add(new Row(step, null));
        Losses = [.. step.Losses.Select((loss, label) => Losses is null || double.IsNaN(Losses[label]) ? loss
            : double.IsNaN(loss) ? Losses[label] : Smoothing * Losses[label] + (1 - Smoothing) * loss)];
    }

    /// <summary>Adds what an evaluation after the last step found.</summary>
    /// <param name="pearson">Of each label Pearson's coefficient; NaN where it has none.</param>
    public void Add(IReadOnlyList<double> pearson)
    {
        Pearson = pearson;
        rows[^1] = rows[^1] with { Pearson = pearson };
    }

    /// <summary>Takes up a file that <see cref="Write"/> wrote, as far as a checkpoint goes.</summary>
    /// <param name="path">The file; nothing is taken up where there is none.</param>
    /// <param name="steps">The steps that the checkpoint has.</param>
    /// <exception cref="ImageException">The file is not of this training.</exception>
    public void Read(string path, int steps)
    {
        if (!File.Exists(path))
            return;
        string[] lines = File.ReadAllLines(path);
        if (lines.Length == 0 || lines[0] != Header)
            throw new ImageException($"{path} is not the learning curve of this training. Give another folder, or delete the file.");
        try
        {
            foreach (string line in lines.Skip(1))
            {
                double[] cells = [.. line.Split(',').Select(cell => cell.Length == 0 ? double.NaN : double.Parse(cell, CultureInfo.InvariantCulture))];
                if (cells.Length != 2 + 2 * labels.Count)
                    throw new FormatException($"A row has {cells.Length} cells.");
                if (cells[0] > steps)
                    break;
                Add(new TrainingStep((int)cells[0], cells[2..(2 + labels.Count)], cells[1]));
                double[] pearson = cells[(2 + labels.Count)..];
                if (!pearson.All(double.IsNaN))
                    Add(pearson);
            }
        }
        catch (Exception exception) when (exception is FormatException or ArgumentException or OverflowException)
        {
            throw new ImageException($"{path} is damaged: {exception.Message} Delete it: the curve then begins at the checkpoint.", exception);
        }
    }

    /// <summary>Writes the table (CSV, one row a step, empty where nothing was measured), whole or not at all.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(string path)
    {
        WholeFile.Write(path, partial => File.WriteAllLines(partial, [Header, .. rows.Select(row => string.Join(',', (string[])
            [
                row.Step.Step.ToString(CultureInfo.InvariantCulture), Cell(row.Step.LearningRate),
                .. row.Step.Losses.Select(Cell), .. labels.Select((_, label) => Cell(row.Pearson?[label] ?? double.NaN)),
            ]))]));

        static string Cell(double value) => double.IsNaN(value) ? "" : value.ToString("R", CultureInfo.InvariantCulture);
    }

    /// <summary>From a file that <see cref="Write"/> wrote the mean loss over the labels, averaged over hundredths of the training.</summary>
    internal static IReadOnlyList<(double X, double Y)> MeanLosses(string path)
    {
        string[] lines = File.ReadAllLines(path);
        int labels = lines[0].Split(',').Count(column => column.StartsWith("loss_", StringComparison.Ordinal));
        var curve = new LearningCurve([.. lines[0].Split(',').Skip(2).Take(labels).Select(column => column["loss_".Length..])]);
        curve.Read(path, int.MaxValue);
        return [.. curve.rows.Chunk(Math.Max(1, curve.rows.Count / Window)).Select(part => ((double)part[^1].Step.Step, part.Average(row => row.Step.Loss)))];
    }

    /// <summary>Draws losses, averaged over hundredths of the training, and correlations.</summary>
    /// <exception cref="ImageException">It cannot be written.</exception>
    public void Plot(string path)
    {
        int window = Math.Max(1, rows.Count / Window);
        var parts = rows.Chunk(window).ToArray();
        List<PlotPanel> panels =
        [
            new("LOSS, NATS A PIXEL (TRAINING)", [.. labels.Select((name, label) => new PlotLine(name, [.. parts.Select(part => ((double)part[^1].Step.Step, Mean(part.Select(row => row.Step.Losses[label]))))]))]),
        ];
        if (rows.Any(row => row.Pearson is not null))
            panels.Add(new("PEARSON (VALIDATION)", [.. labels.Select((name, label) => new PlotLine(name, [.. rows.Where(row => row.Pearson is not null).Select(row => ((double)row.Step.Step, row.Pearson![label]))]))]));
        LinePlotPng.Write(path, "STEP", panels);

        static double Mean(IEnumerable<double> losses) => losses.Where(loss => !double.IsNaN(loss)).DefaultIfEmpty(double.NaN).Average();
    }

    private string Header => string.Join(',', (string[])["step", "learning_rate", .. labels.Select(label => $"loss_{label}"), .. labels.Select(label => $"pearson_{label}")]);

    private sealed record Row(TrainingStep Step, IReadOnlyList<double>? Pearson);
}

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using StainGrid.Imaging;

namespace StainGrid.Model;

/// <summary>A row of the paper's table IV.</summary>
/// <param name="Name">What it is called.</param>
/// <param name="Network">Its network.</param>
public sealed record AblationRow(string Name, NetworkOptions Network);

/// <summary>What a training of a row gave.</summary>
/// <param name="Row">The row.</param>
/// <param name="Seed">The seed.</param>
/// <param name="SameTime">Whether it took the time of the slowest row, not its steps.</param>
/// <param name="Steps">The steps taken.</param>
/// <param name="StepSeconds">The mean time of a step, seconds: steps with attention take longer than those before it.</param>
/// <param name="Pearson">Pearson's coefficient on the test part by the label's name; labels where it is not defined are left out.</param>
public sealed record AblationResult(
    [property: JsonRequired] string Row, [property: JsonRequired] int Seed, [property: JsonRequired] bool SameTime, [property: JsonRequired] int Steps,
    [property: JsonRequired] double StepSeconds, [property: JsonRequired] IReadOnlyDictionary<string, double> Pearson);

/// <summary>
/// The paper's ablation (table IV): a U-Net of one scale, with patches of three scales, with dense blocks, and with GPT layers, trained on the same data, steps
/// and seeds, and judged on the same held-out part. Each training is a <see cref="TrainingRun"/> in a folder of its own, so that an ablation that was stopped goes on.
/// </summary>
public sealed class Ablation
{
    private const string ResultsFile = "results.json";
    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private readonly string folder;
    private readonly TrainingConfig config;
    private readonly DataSplit split;
    private readonly long memory;
    private readonly List<AblationResult> results;

    /// <summary>Prepares an ablation, or takes up one that was begun in the folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="config">The settings of every training; its network is the last row, without what the other rows lack.</param>
    /// <param name="split">The data's parts; the figures are of its test part.</param>
    /// <param name="memory">The most bytes of images to hold.</param>
    /// <exception cref="ImageException">The split holds nothing out, or the folder cannot be read.</exception>
    public Ablation(string folder, TrainingConfig config, DataSplit split, long memory = 4L << 30)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(split);
        DataSplits.RequireFigures(split);
        config.Validate();
        (this.folder, this.config, this.split, this.memory) = (Path.GetFullPath(folder), config, split, memory);
        Rows = RowsOf(config.Network);
        results = Read(Path.Combine(this.folder, ResultsFile));
    }

    /// <summary>The rows, from the plainest to the whole network.</summary>
    public IReadOnlyList<AblationRow> Rows { get; }

    /// <summary>The rows of a network.</summary>
    /// <param name="network">The whole network.</param>
    public static IReadOnlyList<AblationRow> RowsOf(NetworkOptions network)
    {
        ArgumentNullException.ThrowIfNull(network);
        var dense = network with { Resampling = Resampling.Convolution, Block = BlockKind.Dense };
        var plain = dense with { Block = BlockKind.Plain };
        return
        [
            new("U-Net, one scale", plain with { PatchScales = [Tiling.Tile.Size] }),
            new("U-Net, multi-scale", plain),
            new("with dense blocks", dense),
            new("with GPT layers", network with { Resampling = Resampling.Attention, Block = BlockKind.Dense }),
        ];
    }

    /// <summary>Trains and judges each row with each seed, those that are not done yet, and writes results.json, report.md and report.html, table.csv, pearson.png and loss.png.</summary>
    /// <param name="seeds">The seeds.</param>
    /// <param name="sameTime">Whether rows that are faster than the slowest are trained once more, for as long as that takes.</param>
    /// <param name="progress">Told what is in the works, and how far its training is.</param>
    /// <param name="cancellationToken">Stops after the step in the works.</param>
    /// <exception cref="OperationCanceledException">It was stopped; what is done stays.</exception>
    public IReadOnlyList<AblationResult> Run(IReadOnlyList<int> seeds, bool sameTime, Action<string, TrainingProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(seeds);
        ArgumentOutOfRangeException.ThrowIfZero(seeds.Count);
        foreach (int seed in seeds)
        {
            foreach (var row in Rows)
                RunOne(row, seed, config.Training.Steps, sameTime: false, progress, cancellationToken);
        }

        if (sameTime)
        {
            double slowest = Rows.Max(Seconds);
            foreach (var row in Rows.Where(row => Seconds(row) < slowest))
            {
                foreach (int seed in seeds)
                    RunOne(row, seed, (int)Math.Round(config.Training.Steps * slowest / Seconds(row)), sameTime: true, progress, cancellationToken);
            }
        }

        Write();
        return results;

        double Seconds(AblationRow row) => results.Where(result => result.Row == row.Name && !result.SameTime).Min(result => result.StepSeconds);
    }

    private void RunOne(AblationRow row, int seed, int steps, bool sameTime, Action<string, TrainingProgress>? progress, CancellationToken cancellationToken)
    {
        if (results.Any(result => result.Row == row.Name && result.Seed == seed && result.SameTime == sameTime))
            return;
        var settings = config with { Network = row.Network, EvaluateEvery = 0, Training = config.Training with { Seed = seed, Steps = steps } };
        using var run = TrainingRun.Open(RunFolder(row.Name, seed, sameTime), settings, split, memory);
        var times = new List<double>();
        long before = Stopwatch.GetTimestamp();
        run.Run(
            at =>
            {
                times.Add(Stopwatch.GetElapsedTime(before).TotalSeconds);
                progress?.Invoke(sameTime ? $"{row.Name}, seed {seed}, same time" : $"{row.Name}, seed {seed}", at);
                before = Stopwatch.GetTimestamp();
            },
            cancellationToken);
        var report = new Evaluator(run.Model, new EvaluationOptions { Precision = config.Training.Precision, Draws = 2, DrawPixels = 1 }).Run(split.Test, cancellationToken: cancellationToken);
        results.Add(new AblationResult(row.Name, seed, sameTime, steps, times.DefaultIfEmpty(0).Average(),
            new SortedDictionary<string, double>(report.Labels.Where(label => label.All.Pearson is not null).ToDictionary(label => label.Label, label => label.All.Pearson!.Value), StringComparer.Ordinal)));
        WriteWhole(ResultsFile, JsonSerializer.Serialize(results, s_json));
    }

    private string RunFolder(string row, int seed, bool sameTime) =>
        Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{row.Replace(",", "", StringComparison.Ordinal).Replace(' ', '-')}-{seed}{(sameTime ? "-same-time" : "")}"));

    private void Write()
    {
        string[] labels = [.. results.SelectMany(result => result.Pearson.Keys).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        var lines = Rows.SelectMany(row => results.Where(result => result.Row == row.Name).GroupBy(result => result.SameTime).OrderBy(group => group.Key)
            .Select(group => (row.Name, SameTime: group.Key, Results: group.ToArray()))).ToArray();
        string[] names = [.. lines.Select(line => line.SameTime ? $"{line.Name}, same time" : line.Name)];
        HeatMapPng.Write(Path.Combine(folder, "pearson.png"), "PEARSON ON THE TEST PART X 100", names, labels,
            (row, label) => lines[row].Results.Where(result => result.Pearson.ContainsKey(labels[label])).Select(result => (double?)Math.Max(0, result.Pearson[labels[label]])).Average());
        PlotLosses();
        WriteWhole("table.csv", string.Join('\n', (string[])
        [
            string.Join(',', (string[])["row", "seed", "same_time", "steps", "step_seconds", .. labels]),
            .. results.Select(result => string.Create(CultureInfo.InvariantCulture, $"\"{result.Row}\",{result.Seed},{(result.SameTime ? 1 : 0)},{result.Steps},{result.StepSeconds:R},")
                + string.Join(',', labels.Select(label => result.Pearson.TryGetValue(label, out double value) ? value.ToString("R", CultureInfo.InvariantCulture) : ""))), "",
        ]));

        var document = new ReportDocument("StainGrid: ablation", folder);
        document.Paragraph(string.Create(CultureInfo.InvariantCulture,
            $"The rows of table IV of the paper, trained alike (batch {config.Training.BatchSize}, rate {config.Training.LearningRate}, {config.Training.Precision.ToString().ToLowerInvariant()}), seeds {string.Join(", ", results.Select(result => result.Seed).Distinct())}. Pearson's coefficient over all pixels of the test part, middle plane; mean and, with more than one seed, standard deviation. Rows marked \"same time\" were trained for as long as the slowest row, by the mean time of a step."));
        document.Table(["row", "steps", "s a step", "minutes", .. labels], lines.Select((line, i) => (string[])
        [
            names[i], string.Join(" to ", line.Results.Select(result => result.Steps).Distinct().Order().Select(steps => steps.ToString(CultureInfo.InvariantCulture))),
            Text(line.Results.Average(result => result.StepSeconds), "F3"), Text(line.Results.Average(result => result.StepSeconds * result.Steps) / 60, "F1"),
            .. labels.Select(label => Spread([.. line.Results.Where(result => result.Pearson.ContainsKey(label)).Select(result => result.Pearson[label])])),
        ]));
        document.Picture("pearson.png", "Pearson's coefficient, in hundredths, by row and label.");
        document.Picture("loss.png", "Training loss, mean over the labels, over steps and over minutes (first seed).");
        WriteWhole("report.md", document.ToMarkdown());
        WriteWhole("report.html", document.ToHtml());

        static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

        static string Spread(double[] values) => values.Length switch
        {
            0 => "-",
            1 => Text(values[0], "F3"),
            _ => $"{Text(values.Average(), "F3")} ± {Text(Math.Sqrt(values.Sum(value => Math.Pow(value - values.Average(), 2)) / (values.Length - 1)), "F3")}",
        };
    }

    private void PlotLosses()
    {
        var steps = new List<PlotLine>();
        var minutes = new List<PlotLine>();
        foreach (var row in Rows)
        {
            if (results.FirstOrDefault(result => result.Row == row.Name && !result.SameTime) is not { } result)
                continue;
            var losses = LearningCurve.MeanLosses(Path.Combine(RunFolder(row.Name, result.Seed, false), TrainingRun.CurveFile));
            steps.Add(new PlotLine(row.Name, losses));
            minutes.Add(new PlotLine(row.Name, [.. losses.Select(point => (point.X * result.StepSeconds / 60, point.Y))]));
        }

        LinePlotPng.Write(Path.Combine(folder, "loss.png"), "", [new PlotPanel("LOSS OVER STEPS, NATS A PIXEL AND LABEL", steps), new PlotPanel("LOSS OVER MINUTES", minutes)]);
    }

    private void WriteWhole(string name, string text) => WholeFile.Write(Path.Combine(folder, name), partial => File.WriteAllText(partial, text));

    private static List<AblationResult> Read(string path)
    {
        try
        {
            return File.Exists(path) ? JsonSerializer.Deserialize<List<AblationResult>>(File.ReadAllText(path), s_json) ?? [] : [];
        }
        catch (JsonException exception)
        {
            throw new ImageException($"{path} is damaged: {exception.Message} Delete it: what was trained is judged again.", exception);
        }
    }
}

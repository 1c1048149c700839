using System.Globalization;
using StainGrid.Imaging;
using StainGrid.Imaging.Specimen;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>How far a training is.</summary>
/// <param name="Step">The last step.</param>
/// <param name="Steps">All of them.</param>
/// <param name="Losses">For each label the loss, averaged over the last steps, nats; NaN where it had none.</param>
/// <param name="Pearson">For each label the correlation on the validation part when it was evaluated last, or null.</param>
public sealed record TrainingProgress(int Step, int Steps, IReadOnlyList<double> Losses, IReadOnlyList<double>? Pearson);

/// <summary>
/// A training and its folder: training.json (settings), split.json (what is held out), checkpoint.safetensors, curve.csv and .png, and at the end
/// model.safetensors. A run that was stopped or killed goes on from its checkpoint, and gives what it would have given.
/// </summary>
public sealed class TrainingRun : IDisposable
{
    /// <summary>The learning curve's name in the folder.</summary>
    internal const string CurveFile = "curve.csv";

    private const double DarkPercentile = 0.1;

    private readonly string folder;
    private readonly TrainingConfig config;
    private readonly DataSplit? split;
    private readonly Trainer trainer;
    private readonly LearningCurve curve;
    private readonly string data;

    private TrainingRun(string folder, TrainingConfig config, DataSplit? split, StainModel model, Trainer trainer, LearningCurve curve, string data) =>
        (this.folder, this.config, this.split, Model, this.trainer, this.curve, this.data) = (folder, config, split, model, trainer, curve, data);

    /// <summary>The file that a finished run leaves.</summary>
    public string ModelFile => Path.Combine(folder, "model.safetensors");

    /// <summary>The split's file.</summary>
    public string SplitPath => SplitOf(folder);

    /// <summary>The steps that were taken before.</summary>
    public int StepsDone => trainer.Steps;

    /// <summary>The model; its weights are those of the last step.</summary>
    public StainModel Model { get; }

    /// <summary>Makes a training ready, or one that was begun in the folder ready to go on.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <param name="config">The settings.</param>
    /// <param name="split">The data's parts, or null for specimens alone.</param>
    /// <param name="memory">The most bytes of images to hold.</param>
    /// <param name="device">Where to train; the cpu if null.</param>
    /// <exception cref="ImageException">Data is missing, damaged or does not fit together, the folder holds another training, or a file cannot be written.</exception>
    /// <exception cref="ModelFileException">The model to go on from, or the checkpoint, is damaged or of another network.</exception>
    /// <exception cref="ArgumentException">A setting is out of its range.</exception>
    public static TrainingRun Open(string folder, TrainingConfig config, DataSplit? split, long memory = 4L << 30, TorchSharp.torch.Device? device = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(config);
        config.Validate();
        if (split is not null)
            DataSplits.RequireFigures(split);
        folder = Path.GetFullPath(folder);
        Claim(folder, config, split);
        var model = NewModel(config, split);
        Trainer? trainer = null;
        try
        {
            if (device is not null)
                model.To(device);
            var pool = new TrainingPool(Sources(config, split, model.Metadata), memory, config.Training.Seed);
            trainer = new Trainer(model, pool.At, config.Settings);
            var curve = new LearningCurve(model.Network.Labels);
            if (File.Exists(CheckpointOf(folder)))
            {
                trainer.LoadCheckpoint(CheckpointOf(folder));
                curve.Read(CurveOf(folder), trainer.Steps);
            }

            string[] names = [.. (split?.Train ?? []).Select(part => part.Region is { } region
                ? string.Create(CultureInfo.InvariantCulture, $"{part.Field.Name} [{region.X}, {region.Y}, {region.Width}x{region.Height}]") : part.Field.Name)];
            string data = string.Join("; ", (string[])[.. names.Take(20), .. names.Length > 20 ? (string[])[$"and {names.Length - 20} more"] : [], .. config.Specimens > 0 ? (string[])[$"{config.Specimens} synthetic specimens"] : []]);
            return new TrainingRun(folder, config, split, model, trainer, curve, data);
        }
        catch
        {
            trainer?.Dispose();
            model.Dispose();
            throw;
        }
    }

    /// <summary>Trains to the end, or until it is stopped, and then leaves a checkpoint.</summary>
    /// <param name="progress">Told after each step.</param>
    /// <param name="cancellationToken">Stops after the step in the works.</param>
    /// <returns>The model's file.</returns>
    /// <exception cref="OperationCanceledException">It was stopped; the checkpoint has all steps that were taken.</exception>
    /// <exception cref="TrainingException">It diverged; the checkpoint is that of before.</exception>
    /// <exception cref="ModelFileException">A file cannot be written; the checkpoint before it stays.</exception>
    /// <exception cref="ImageException">An image cannot be read any more.</exception>
    /// <exception cref="IOException">The curve cannot be written.</exception>
    public string Run(Action<TrainingProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        int steps = config.Training.Steps;
        while (trainer.Steps < steps || IsEvaluationDue)
        {
            if (cancellationToken.IsCancellationRequested)
            {
                Save();
                cancellationToken.ThrowIfCancellationRequested();
            }

            bool stepped = !IsEvaluationDue;   // or it was stopped in the evaluation after its last step
            if (stepped)
                curve.Add(trainer.Step());
            if (IsEvaluationDue && Evaluate(cancellationToken) is { } pearson)
                curve.Add(pearson);
            if (trainer.Steps == steps || trainer.Steps % config.CheckpointEvery == 0)
                Save();
            if (stepped)
                progress?.Invoke(new TrainingProgress(trainer.Steps, steps, curve.Losses!, curve.Pearson));
        }

        trainer.MeasureNorms();
        Model.Describe(Model.Metadata with { Licence = config.Licence, Training = Summary(curve.Losses, curve.Pearson) });
        Model.Save(ModelFile, TorchSharp.torch.ScalarType.BFloat16);
        return ModelFile;
    }

    /// <summary>Frees the model.</summary>
    public void Dispose()
    {
        trainer.Dispose();
        Model.Dispose();
    }

    private static string CheckpointOf(string folder) => Path.Combine(folder, "checkpoint.safetensors");

    private static string CurveOf(string folder) => Path.Combine(folder, CurveFile);

    private static string SplitOf(string folder) => Path.Combine(folder, "split.json");

    // Writes down what the training is of, where the folder is new, has the same settings and split, or those of a training that never began.
    private static void Claim(string folder, TrainingConfig config, DataSplit? split)
    {
        string settings = Path.Combine(folder, "training.json"), parts = SplitOf(folder), wanted = parts + ".new";
        string json = (config with { Data = config.Data is null ? null : Path.GetFullPath(config.Data), From = config.From is null ? null : Path.GetFullPath(config.From), Split = split is null ? null : "split.json" }).ToJson();
        try
        {
            Directory.CreateDirectory(folder);
            if (split is not null)
                SplitFile.Write(split, wanted);
            bool begun = File.Exists(CheckpointOf(folder));
            if ((begun && Differs(settings, json)) || (split is not null && (begun || !File.Exists(settings)) && Differs(parts, File.ReadAllText(wanted))))
                throw new ImageException($"{folder} holds a training with other settings or another split. Give another folder, or go on with 'staingrid train {settings} -o {folder}'.");
            if (split is not null)
                File.Move(wanted, parts, overwrite: true);
            WholeFile.Write(settings, partial => File.WriteAllText(partial, json));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{folder} cannot be written to: {exception.Message} Check the folder, its permissions and the free space.", exception);
        }
        finally
        {
            if (File.Exists(wanted))
                File.Delete(wanted);
        }

        static bool Differs(string path, string text) => File.Exists(path) && File.ReadAllText(path) != text;
    }

    private static StainModel NewModel(TrainingConfig config, DataSplit? split)
    {
        using var from = config.From is null ? null : StainModel.Load(config.From);
        string[] present = [.. (split?.Train ?? []).SelectMany(part => part.Field.Labels.Keys).Concat(config.Specimens > 0 ? SyntheticSpecimen.LabelNames : []).Distinct(StringComparer.Ordinal)];
        string[] known = [.. FluorescenceLabels.All.Select(label => label.Name)];
        LabelInfo[] labels = [.. known.Intersect(present).Concat(present.Except(known).Order(StringComparer.Ordinal))
            .Select(name => from?.Metadata.Labels.FirstOrDefault(label => label.Name == name) ?? Measure(name, config, split))];
        return from is null ? StainModel.Create(config.Network, labels, (ulong)config.Training.Seed) : from.WithLabels(labels, (ulong)config.Training.Seed);
    }

    // From the dark of the darkest field to the brightest pixel of all, of what is trained on.
    private static LabelInfo Measure(string name, TrainingConfig config, DataSplit? split)
    {
        var ranges = new List<PlaneRange>();
        var rule = new NormalisationRule { LowPercentile = DarkPercentile, HighPercentile = 100 };
        foreach (var part in (split?.Train ?? []).Where(part => part.Field.Labels.ContainsKey(name)))
        {
            using var truth = ImageReader.Open(part.Field.Labels[name]);
            Add(truth, part.Region);
        }

        if (config.Specimens > 0 && SyntheticSpecimen.LabelNames.Contains(name))
        {
            using var truth = TrainingField.TruthOfSpecimen(1, name);
            Add(truth, null);
        }

        var (low, high) = ((int)ranges.Min(range => range.Low), (int)ranges.Max(range => range.High));
        if (low >= high)
            throw new ImageException($"{name} is {low} in all that is trained on: there is nothing to learn. Leave the label out, or take other data.");
        return (FluorescenceLabels.Find(name) ?? new LabelInfo(name, 0, ushort.MaxValue, "FFFFFF")) with { Low = low, High = high };

        void Add(IPlaneImage truth, Region? region)
        {
            using var seen = new PartOfImage(truth, region ?? new Region(0, 0, truth.Info.Width, truth.Info.Height));
            var range = PlaneRange.Measure(seen, 0, rule);
            float stretch = (float)(ushort.MaxValue / truth.Info.PixelType.Maximum());   // 1, or 257 for 8 bit
            ranges.Add(new PlaneRange(range.Low * stretch, range.High * stretch));
        }
    }

    private static TrainingSource[] Sources(TrainingConfig config, DataSplit? split, ModelMetadata metadata)
    {
        var parts = split?.Train ?? [];
        var sources = new List<TrainingSource>();
        foreach (var part in parts)
        {
            using var light = ImageReader.OpenStack(part.Field.Planes);
            var region = part.Region ?? new Region(0, 0, light.Info.Width, light.Info.Height);
            sources.Add(new TrainingSource(part.Field.Name, TrainingField.BytesOf(region.Width, region.Height, light.Info.Planes, metadata.Labels.Count), 1,
                () => TrainingField.Read(part, metadata.Labels, metadata.Normalisation)));
        }

        double weight = parts.Count == 0 ? 1 : config.SpecimenShare < 1 ? config.SpecimenShare / (1 - config.SpecimenShare) * parts.Count / Math.Max(1, config.Specimens) : 1;
        if (parts.Count > 0 && config.SpecimenShare == 1)
            sources.Clear();
        for (int seed = 1; seed <= config.Specimens; seed++)
        {
            int number = seed;
            sources.Add(new TrainingSource($"specimen {number}",
                TrainingField.BytesOf(TrainingField.SpecimenSide, TrainingField.SpecimenSide, new SpecimenOptions().Planes, metadata.Labels.Count), weight,
                () => TrainingField.OfSpecimen(number, metadata.Labels, metadata.Normalisation)));
        }

        return [.. sources];
    }

    // After the last step, where it was not done yet.
    private bool IsEvaluationDue => split?.Validation.Count > 0 && config.EvaluateEvery > 0 && curve.Losses is not null && !curve.IsEvaluated
        && (trainer.Steps == config.Training.Steps || trainer.Steps % config.EvaluateEvery == 0);

    // Null where it was stopped.
    private double[]? Evaluate(CancellationToken cancellationToken)
    {
        trainer.MeasureNorms();
        try
        {
            var report = new Evaluator(Model, new EvaluationOptions { Precision = config.Training.Precision, Draws = 2, DrawPixels = 1 }).Run(split!.Validation, cancellationToken: cancellationToken);
            return [.. Model.Network.Labels.Select(name => report.Labels.FirstOrDefault(label => label.Label == name)?.All.Pearson ?? double.NaN)];
        }
        catch (OperationCanceledException)
        {
            return null;   // the step itself is not lost
        }
    }

    private void Save()
    {
        curve.Write(CurveOf(folder));   // first: what goes beyond the checkpoint is left out when it is read
        trainer.SaveCheckpoint(CheckpointOf(folder));
        curve.Plot(Path.Combine(folder, "curve.png"));
    }

    private TrainingSummary Summary(IReadOnlyList<double>? losses, IReadOnlyList<double>? pearson)
    {
        var options = config.Training;
        var values = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["data"] = data,
            ["steps"] = options.Steps.ToString(CultureInfo.InvariantCulture),
            ["batch"] = options.BatchSize.ToString(CultureInfo.InvariantCulture),
            ["learning_rate"] = options.LearningRate.ToString(CultureInfo.InvariantCulture),
            ["precision"] = options.Precision.ToString().ToLowerInvariant(),
            ["seed"] = options.Seed.ToString(CultureInfo.InvariantCulture),
        };
        for (int label = 0; label < Model.Network.Labels.Count; label++)
        {
            if (losses is not null && !double.IsNaN(losses[label]))
                values[$"loss_{Model.Network.Labels[label]}"] = losses[label].ToString("F3", CultureInfo.InvariantCulture);
            if (pearson is not null && !double.IsNaN(pearson[label]))
                values[$"validation_pearson_{Model.Network.Labels[label]}"] = pearson[label].ToString("F3", CultureInfo.InvariantCulture);
        }

        return new TrainingSummary { Text = "Trained with 'staingrid train'.", Values = values };
    }
}

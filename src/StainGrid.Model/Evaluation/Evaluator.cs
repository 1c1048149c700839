using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>How far an evaluation is.</summary>
/// <param name="Field">The field in the works.</param>
/// <param name="TilesDone">Tiles predicted, of all fields and planes.</param>
/// <param name="TilesTotal">All of them.</param>
public readonly record struct EvaluationProgress(string Field, long TilesDone, long TilesTotal);

/// <summary>The images of a field and label, for those who draw them.</summary>
/// <param name="Field">The field.</param>
/// <param name="Label">The label.</param>
/// <param name="Width">Width of the part that was seen, pixels.</param>
/// <param name="Height">Its height.</param>
/// <param name="Input">The transmitted light of the plane that was predicted from (of all planes, the middle one), as in the file.</param>
/// <param name="Truth">True levels.</param>
/// <param name="Predicted">Predicted levels.</param>
/// <param name="Deviation">Standard deviation of the predicted distribution, levels.</param>
public sealed record EvaluatedImage(PairedField Field, LabelInfo Label, int Width, int Height,
    ReadOnlyMemory<float> Input, ReadOnlyMemory<byte> Truth, ReadOnlyMemory<byte> Predicted, ReadOnlyMemory<float> Deviation);

/// <summary>Evaluates a model on paired data: predicts each field's part, of which nothing outside is seen, and compares it with the truth. One field is
/// in memory at a time, as <see cref="SlidePredictor"/> needs it.</summary>
public sealed class Evaluator
{
    private readonly StainModel model;
    private readonly EvaluationOptions options;

    /// <summary>Prepares an evaluation.</summary>
    /// <param name="model">The model, in evaluation mode; not disposed of here.</param>
    /// <param name="options">How to evaluate.</param>
    public Evaluator(StainModel model, EvaluationOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        this.model = model;
        this.options = options;
    }

    /// <summary>Evaluates.</summary>
    /// <param name="parts">What the model may be judged on. A label that a field lacks is left out there.</param>
    /// <param name="images">Given the images of each field and label as they are predicted.</param>
    /// <param name="progress">Told when the first field begins and after each batch of tiles, on any thread, one at a time.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <exception cref="ImageException">An image cannot be read or does not fit the others, or the model has none of the labels. The headers of all
    /// files are looked at before anything is predicted.</exception>
    public EvaluationReport Run(IReadOnlyList<FieldPart> parts, Action<EvaluatedImage>? images = null, Action<EvaluationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(parts);
        string[] names = [.. parts.SelectMany(part => part.Field.Labels.Keys).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        string[] missing = [.. names.Except(model.Network.Labels)];
        if (missing.Length == names.Length)
        {
            throw new ImageException(parts.Count == 0 ? "There is no field to evaluate on. Give data with fields."
                : $"The data has the labels {List(names)}; the model predicts {List(model.Network.Labels)}. Give a model for one of the data's labels, or name the data's files as the model does.");
        }

        var fields = new EvaluatedField[parts.Count];
        long total = 0, done = 0;
        for (int i = 0; i < fields.Length; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            (fields[i], long tiles) = Check(parts[i]);
            total += tiles;
        }

        progress?.Invoke(new EvaluationProgress(fields[0].Name, 0, total));
        var tallies = model.Metadata.Labels.Where(label => names.Contains(label.Name))
            .ToDictionary(label => label.Name, _ => new SortedDictionary<string, LabelTally>(StringComparer.Ordinal));
        for (int i = 0; i < fields.Length; i++)
        {
            var field = fields[i];
            Evaluate(parts[i].Field, field, tallies, images, tiles => progress?.Invoke(new EvaluationProgress(field.Name, done += tiles, total)), cancellationToken);
        }

        return new EvaluationReport
        {
            ModelSha256 = model.Sha256,
            Planes = options.PlanesInWords,
            Stride = options.Tiling.Stride,
            Blend = options.Tiling.Blend.ToString().ToLowerInvariant(),
            Precision = options.Precision.ToString().ToLowerInvariant(),
            Draws = options.Draws,
            DrawPixels = options.DrawPixels,
            Seed = options.Seed,
            Fields = fields,
            Labels = [.. tallies.Select(label => Summarise(label.Key, label.Value, cancellationToken))],
            LabelsWithoutHead = missing,
        };

        static string List(IEnumerable<string> labels) => string.Join(", ", labels);
    }

    // All that headers say, so that an hour's work does not end with a file of another size.
    private (EvaluatedField Field, long Tiles) Check(FieldPart part)
    {
        var field = part.Field;
        using var light = ImageReader.OpenStack(field.Planes);
        var whole = new Region(0, 0, light.Info.Width, light.Info.Height);
        var region = part.Region ?? whole;
        if (region.IsEmpty || region.Intersect(whole) != region)
            throw new ImageException($"{field.Name}: the part {region} is not in the field of {whole.Width}x{whole.Height} pixels. Split the data again.");
        if (options.Plane is { } plane && (plane < 0 || plane >= light.Info.Planes))
            throw new ImageException($"{field.Name} has the planes 0 to {light.Info.Planes - 1}, not {plane}. Give one of these.");
        int[] labels = LabelsOf(field);
        foreach (int label in labels)
        {
            using var truth = ImageReader.Open(field.Labels[model.Network.Labels[label]]);
            TrueLevels.Check(field.Name, truth.Info, whole.Width, whole.Height);
        }

        int planes = labels.Length == 0 ? 0 : options.PlanesOf(light.Info.Planes).Length;
        long tiles = new TilingPlan(region.Width, region.Height, options.Tiling).TileCount * planes + TileCalibration.TileCount(region.Width, region.Height, planes);
        return (new EvaluatedField(field.Name, field.Condition, region.X, region.Y, region.Width, region.Height), tiles);
    }

    private void Evaluate(PairedField field, EvaluatedField seen, Dictionary<string, SortedDictionary<string, LabelTally>> tallies,
        Action<EvaluatedImage>? images, Action<int> progress, CancellationToken cancellationToken)
    {
        int[] labels = LabelsOf(field);
        if (labels.Length == 0)
            return;
        using var whole = ImageReader.OpenStack(field.Planes);
        var region = new Region(seen.X, seen.Y, seen.Width, seen.Height);
        using var light = new PartOfImage(whole, region);
        int[] planes = options.PlanesOf(light.Info.Planes);
        byte[][] truths = [.. labels.Select(label => Truth(field, region, model.Metadata.Labels[label]))];
        var predicted = SlidePredictor.Predict(model, light, planes, labels, [Statistic.Mean, Statistic.StandardDeviation], options.Tiling, options.Precision, progress, cancellationToken);
        var calibrations = TileCalibration.Measure(model, light, planes, labels, truths, progress, cancellationToken);
        float[]? input = null;
        for (int i = 0; i < labels.Length; i++)
        {
            var label = model.Metadata.Labels[labels[i]];
            byte[] levels = Array.ConvertAll(predicted.Values[2 * i], value => (byte)MathF.Round(value * 255));
            if (!tallies[label.Name].TryGetValue(field.Condition, out var tally))
                tallies[label.Name][field.Condition] = tally = new LabelTally();
            tally.Add(levels, truths[i], region.Width, region.Height, calibrations[i]);
            if (images is null)
                continue;
            input ??= Input(light, planes[planes.Length / 2]);
            images(new EvaluatedImage(field, label, region.Width, region.Height, input, truths[i], levels, Array.ConvertAll(predicted.Values[2 * i + 1], value => value * 255)));
        }
    }

    // Those that the field and the model have, by their index in the model.
    private int[] LabelsOf(PairedField field) => [.. Enumerable.Range(0, model.Network.Labels.Count).Where(label => field.Labels.ContainsKey(model.Network.Labels[label]))];

    private LabelEvaluation Summarise(string label, SortedDictionary<string, LabelTally> conditions, CancellationToken cancellationToken)
    {
        var all = new LabelTally();
        var metrics = new List<ConditionMetrics>();
        foreach (var (condition, tally) in conditions)
        {
            cancellationToken.ThrowIfCancellationRequested();
            all.Add(tally);
            metrics.Add(new ConditionMetrics(condition, tally.Metrics(options)));
        }

        return new LabelEvaluation(label, metrics.Count == 1 ? metrics[0].Metrics : all.Metrics(options), metrics);
    }

    private static byte[] Truth(PairedField field, Region region, LabelInfo label)
    {
        using var truth = ImageReader.Open(field.Labels[label.Name]);
        return TrueLevels.Read(truth, region, label);
    }

    private static float[] Input(PartOfImage light, int plane)
    {
        var pixels = new float[(long)light.Info.Width * light.Info.Height];
        light.Read(plane, new Region(0, 0, light.Info.Width, light.Info.Height), pixels);
        return pixels;
    }
}

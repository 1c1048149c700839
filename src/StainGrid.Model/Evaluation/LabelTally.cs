namespace StainGrid.Model;

/// <summary>What is counted of a label, field after field, until its figures are wanted. No pixel is kept.</summary>
public sealed class LabelTally
{
    private readonly JointHistogram levels = new();
    private readonly Calibration calibration = new();
    private int fields;
    private double similarity;
    private long windows;

    /// <summary>Adds a field.</summary>
    /// <param name="predicted">Width x height levels, row by row.</param>
    /// <param name="truth">As many true levels.</param>
    /// <param name="width">Width, pixels.</param>
    /// <param name="height">Height, pixels.</param>
    /// <param name="field">The calibration on the field.</param>
    /// <exception cref="ArgumentException">An image has another number of pixels.</exception>
    public void Add(ReadOnlySpan<byte> predicted, ReadOnlySpan<byte> truth, int width, int height, Calibration field)
    {
        var (sum, count) = StructuralSimilarity.Sum(predicted, truth, width, height);
        levels.Add(predicted, truth);
        calibration.Add(field);
        similarity += sum;
        windows += count;
        fields++;
    }

    /// <summary>Adds what another one counted.</summary>
    public void Add(LabelTally other)
    {
        ArgumentNullException.ThrowIfNull(other);
        levels.Add(other.levels);
        calibration.Add(other.calibration);
        similarity += other.similarity;
        windows += other.windows;
        fields += other.fields;
    }

    /// <summary>The figures.</summary>
    /// <param name="options">How often to draw random pixels.</param>
    public LabelMetrics Metrics(EvaluationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new LabelMetrics
        {
            Fields = fields,
            Pixels = levels.Pixels,
            PearsonOfRandomPixels = levels.PearsonOfRandomPixels(options.Draws, options.DrawPixels, options.Seed),
            Pearson = levels.Pearson(),
            MeanAbsoluteError = levels.MeanAbsoluteError(),
            RootMeanSquareError = levels.RootMeanSquareError(),
            StructuralSimilarity = windows > 0 ? similarity / windows : null,
            Confusion = levels.Confusion(),
            Coverage = calibration.Coverage,
        };
    }
}

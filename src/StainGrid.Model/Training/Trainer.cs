using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>A step that was taken.</summary>
/// <param name="Step">Its number, from 1.</param>
/// <param name="Losses">For each label its mean cross-entropy, nats; NaN where no tile had it.</param>
/// <param name="LearningRate">The learning rate.</param>
public sealed record TrainingStep(int Step, IReadOnlyList<double> Losses, double LearningRate)
{
    /// <summary>The mean over the labels that tiles had.</summary>
    public double Loss => Losses.Where(loss => !double.IsNaN(loss)).DefaultIfEmpty(0).Average();
}

/// <summary>Trains a model on random tiles of fields: one plane at a time, multi-task cross-entropy over the levels; labels that a
/// field lacks are left out (the paper's section III-E). What a step does depends on the options and the state before it alone.</summary>
public sealed class Trainer : IDisposable
{
    private readonly StainModel model;
    private readonly TrainingOptions options;
    private readonly Func<int, IReadOnlyList<TrainingField>> fieldsAt;
    private readonly TrainingTiles tiles;
    private readonly DistributionLoss loss;
    private readonly TorchSharp.Modules.Adam optimiser;
    private readonly GlobalPixelTransformerLayer[] attention;

    /// <summary>Prepares the training of a model.</summary>
    /// <param name="model">The model; its weights change.</param>
    /// <param name="fields">The fields; each is as likely as its weight says.</param>
    /// <param name="options">How to train.</param>
    /// <exception cref="ArgumentException">An option is out of its range, or there is no field.</exception>
    public Trainer(StainModel model, IReadOnlyList<TrainingField> fields, TrainingOptions options)
        : this(model, _ => fields, options)
    {
        ArgumentNullException.ThrowIfNull(fields);
        ArgumentOutOfRangeException.ThrowIfZero(fields.Count);
    }

    /// <summary>Prepares the training of a model on fields that change with the step.</summary>
    internal Trainer(StainModel model, Func<int, IReadOnlyList<TrainingField>> fieldsAt, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        this.model = model;
        this.options = options;
        this.fieldsAt = fieldsAt;
        attention = [.. model.Network.modules().OfType<GlobalPixelTransformerLayer>()];
        if (options.AttentionFrom > 0 && attention.Length > 0 && model.Network.Options.Variant != NetworkVariant.Residual)
            throw new ArgumentException("A GPT layer of the paper variant is nothing without its attention. Set attention_from to 0 in the training's settings.");
        tiles = new TrainingTiles(options.Augmentation, options.Turn, options.BrightShare, options.Seed);
        loss = new DistributionLoss(model.Network.Options.Levels, options.TargetSpread, options.MeanWeight);
        optimiser = optim.Adam(model.Network.parameters(), options.LearningRate);
    }

    /// <summary>Steps that were taken.</summary>
    public int Steps { get; private set; }

    /// <summary>Takes the next step.</summary>
    /// <exception cref="TrainingException">The loss or the gradient is not a number: no weight was changed by this step.</exception>
    public TrainingStep Step()
    {
        using var scope = NewDisposeScope();
        model.Network.train();
        manual_seed(((long)options.Seed << 32) + Steps);   // dropout
        if (Steps == 0)
            BeginWithoutAttention();
        foreach (var layer in attention)
            layer.QueriesAlone = Steps < options.AttentionFrom * options.Steps;
        double rate = options.RateAt(Steps);
        foreach (var group in optimiser.ParamGroups)
            group.LearningRate = rate;
        optimiser.zero_grad();
        bool smallTiles = Steps < options.SmallTileShare * options.Steps;
        var (contexts, targets) = tiles.Draw(fieldsAt(Steps), Steps, smallTiles ? 4 * options.BatchSize : options.BatchSize);
        using var held = HeldScalars.Begin();
        double[] losses = Differentiate(contexts, targets, smallTiles);
        double norm = nn.utils.clip_grad_norm_(model.Network.parameters(), options.ClipNorm > 0 ? options.ClipNorm : double.PositiveInfinity);
        if (!double.IsFinite(norm) || losses.Any(double.IsInfinity))
        {
            throw new TrainingException($"The loss of step {Steps + 1} is {losses.Sum()} and its gradient {norm}: training diverged. "
                + "Go on from the last checkpoint with a smaller learning rate.");
        }

        optimiser.step();
        Steps++;
        return new TrainingStep(Steps, losses, rate);
    }

    /// <summary>Writes all that the training needs to go on.</summary>
    /// <param name="path">The file; one that is there is replaced once the new one is whole.</param>
    /// <exception cref="ModelFileException">The file cannot be written.</exception>
    public void SaveCheckpoint(string path) => TrainingCheckpoint.Write(path, model, optimiser, Steps, options);

    /// <summary>Goes on from a checkpoint: what follows is what would have followed there.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="ModelFileException">The file is damaged, of another network, or of a training with other options.</exception>
    public void LoadCheckpoint(string path) => Steps = TrainingCheckpoint.Read(path, model, optimiser, options);

    /// <summary>Measures batch norm's running statistics over many batches, without dropout: those of training lag behind the weights. The network is in evaluation mode then.</summary>
    public void MeasureNorms()
    {
        model.Network.eval();
        if (options.NormBatches < 1)
            return;
        using var gradients = no_grad();
        var norms = model.Network.modules().OfType<TorchSharp.Modules.BatchNorm2d>().ToArray();
        var before = norms.Select(norm => norm.momentum).ToArray();
        foreach (var norm in norms)
            norm.train();
        var fields = fieldsAt(Math.Max(0, Steps - 1));
        for (int batch = 0; batch < options.NormBatches; batch++)
        {
            using var scope = NewDisposeScope();
            foreach (var norm in norms)
                norm.momentum = 1.0 / (batch + 1);
            var contexts = tiles.Draw(fields, -1 - batch, options.BatchSize).Contexts;
            using var held = HeldScalars.Begin();
            model.Network.Features(Patches(contexts));
        }

        for (int i = 0; i < norms.Length; i++)
        {
            norms[i].momentum = before[i];
            norms[i].eval();
        }
    }

    /// <summary>Frees the optimiser; the model stays.</summary>
    public void Dispose() => optimiser.Dispose();

    private void BeginWithoutAttention()
    {
        using var gradients = no_grad();
        foreach (var layer in options.AttentionFrom > 0 ? attention : [])
            layer.ClearValues();
    }

    // Of each label the mean loss; gradients are those of the mean over the labels.
    private double[] Differentiate(Tensor contexts, Tensor?[] targets, bool smallTiles)
    {
        int margin = smallTiles ? Tile.Size / 4 : 0, side = Tile.Size - 2 * margin;
        var patches = Patches(contexts).narrow(2, margin, side).narrow(3, margin, side);                             // [N, S, side, side]
        var features = model.Network.Features(patches);                                                              // [N, 90, side, side]

        // The heads run on detached pixels, and one adds to their gradient after the other, so that the logits of one label live at a time.
        int first = Steps % options.LossStride, second = Steps / options.LossStride % options.LossStride;
        var pixels = Some(features.permute(0, 2, 3, 1)).flatten(0, 2).contiguous();                                  // [P, 90]
        var leaf = pixels.detach().requires_grad_();
        int present = targets.Count(target => target is not null);
        double[] losses = [.. targets.Select((target, label) => target is null ? double.NaN
            : loss.Backward(leaf, Some(target.narrow(1, margin, side).narrow(2, margin, side)).flatten().contiguous().to(model.Device), model.Network.Head(label), 1.0 / present))];
        if (leaf.grad is { } gradient)
            pixels.backward([gradient]);
        return losses;

        Tensor Some(Tensor image) => image[TensorIndex.Colon, TensorIndex.Slice(first, null, options.LossStride), TensorIndex.Slice(second, null, options.LossStride)];
    }

    private Tensor Patches(Tensor contexts) => MultiScalePatches.Cut(contexts.to(model.Device), model.Network.Options.PatchScales)
        .to(options.Precision == Precision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32);
}

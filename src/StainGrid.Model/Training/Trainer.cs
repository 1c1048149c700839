using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>How to train.</summary>
public sealed record TrainingOptions
{
    /// <summary>Optimiser steps, unless <see cref="Budget"/> ends first.</summary>
    public int Steps { get; init; } = 1000;

    /// <summary>The most time to take; the learning rate falls to zero towards whichever end comes first.</summary>
    public TimeSpan Budget { get; init; } = TimeSpan.FromDays(7);

    /// <summary>Tiles a step.</summary>
    public int BatchSize { get; init; } = 2;

    /// <summary>Adam's largest learning rate, after the warm-up.</summary>
    public double LearningRate { get; init; } = 1e-3;

    /// <summary>Steps of linear warm-up.</summary>
    public int WarmUp { get; init; } = 30;

    /// <summary>The largest norm of a step's gradient.</summary>
    public double ClipNorm { get; init; } = 1;

    /// <summary>Standard deviation, levels, of the Gaussian that a target level is spread over. One-hot targets over 256 levels
    /// tell nothing of how near a miss was; 0 for the paper's one-hot.</summary>
    public double TargetSpread { get; init; } = 3;

    /// <summary>The share of the training that sees only the middle 64x64 of each tile, four times as many of them: attention
    /// costs a sixteenth there, so that a step costs less and sees more places. The rest sees whole tiles. 0 for the paper's.</summary>
    public double SmallTileShare { get; init; } = 0.75;

    /// <summary>The loss is taken at every so many pixels along x and y, from a random first one: neighbours tell nearly the
    /// same, and the heads' 256 levels cost as much as a stage of the network. 1 for the paper's.</summary>
    public int LossStride { get; init; } = 2;

    /// <summary>The seed of crops, flips and dropout.</summary>
    public long Seed { get; init; } = 1;

    /// <summary>Forward passes that batch norm's running statistics are measured over at the end, without dropout.</summary>
    public int NormBatches { get; init; } = 60;
}

/// <summary>Trains a model on random tiles of fields: one plane at a time, multi-task cross-entropy over the levels; labels that a
/// field lacks are left out (the paper's section III-E).</summary>
public sealed class Trainer
{
    private readonly StainModel model;
    private readonly IReadOnlyList<TrainingField> fields;
    private readonly TrainingOptions options;
    private readonly Random random;

    /// <summary>Prepares the training of a model.</summary>
    /// <param name="model">The model; its weights change.</param>
    /// <param name="fields">The fields; each is as likely as another.</param>
    /// <param name="options">How to train.</param>
    public Trainer(StainModel model, IReadOnlyList<TrainingField> fields, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(fields);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfZero(fields.Count);
        this.model = model;
        this.fields = fields;
        this.options = options;
        random = new Random(unchecked((int)options.Seed));
    }

    /// <summary>Trains, then measures batch norm's statistics.</summary>
    /// <param name="progress">Told the step and its mean loss a label, nats.</param>
    /// <param name="cancellationToken">Ends the training early; the model is then as good as it got.</param>
    /// <returns>The steps taken.</returns>
    /// <exception cref="InvalidOperationException">The loss is not a number.</exception>
    public int Run(Action<int, double>? progress = null, CancellationToken cancellationToken = default)
    {
        manual_seed(options.Seed);
        model.Network.train();
        using var optimiser = optim.Adam(model.Network.parameters(), options.LearningRate);
        var started = DateTime.UtcNow;
        int step = 0;
        for (; step < options.Steps && !cancellationToken.IsCancellationRequested; step++)
        {
            double share = Math.Max((double)step / options.Steps, (DateTime.UtcNow - started) / options.Budget);
            if (share >= 1)
                break;
            foreach (var group in optimiser.ParamGroups)
                group.LearningRate = options.LearningRate * Math.Min(1, (step + 1.0) / options.WarmUp) * 0.5 * (1 + Math.Cos(Math.PI * share));
            double loss = Step(optimiser, smallTiles: share < options.SmallTileShare);
            if (!double.IsFinite(loss))
                throw new InvalidOperationException($"The loss is {loss} at step {step + 1}. Train again with a smaller learning rate.");
            progress?.Invoke(step + 1, loss);
        }

        MeasureNorms();
        return step;
    }

    private double Step(optim.Optimizer optimiser, bool smallTiles)
    {
        using var scope = NewDisposeScope();
        optimiser.zero_grad();
        int margin = smallTiles ? Tile.Size / 4 : 0, side = Tile.Size - 2 * margin;
        var (contexts, targets) = Batch(smallTiles ? 4 * options.BatchSize : options.BatchSize);
        var patches = MultiScalePatches.Cut(contexts, model.Network.Options.PatchScales);                            // [N, S, 128, 128]
        var features = model.Network.Features(patches.narrow(2, margin, side).narrow(3, margin, side));              // [N, 90, side, side]

        // Each head runs on detached features and adds to their gradient, so that the logits of one label live at a time.
        var detached = features.detach().requires_grad_();
        var rows = TensorIndex.Slice(random.Next(options.LossStride), null, options.LossStride);
        var columns = TensorIndex.Slice(random.Next(options.LossStride), null, options.LossStride);
        double loss = 0;
        int present = targets.Count(target => target is not null);
        for (int label = 0; label < targets.Length; label++)
        {
            if (targets[label] is not { } target)
                continue;
            using var labelScope = NewDisposeScope();
            var logits = model.Network.Logits(detached[TensorIndex.Colon, TensorIndex.Colon, rows, columns], label);                               // [N, 256, h, w]
            var truth = target.narrow(1, margin, side).narrow(2, margin, side)[TensorIndex.Colon, rows, columns];                   // [N, h, w]
            var error = CrossEntropy(logits, truth) / present;
            error.backward();
            loss += error.item<float>();
        }

        features.backward([detached.grad!]);
        nn.utils.clip_grad_norm_(model.Network.parameters(), options.ClipNorm);
        optimiser.step();
        return loss;
    }

    /// <summary>Mean over the valid pixels of the cross-entropy against the target level spread by a Gaussian.</summary>
    /// <param name="logits">[N, C, H, W].</param>
    /// <param name="target">[N, H, W] levels; -1 where there is no truth.</param>
    private Tensor CrossEntropy(Tensor logits, Tensor target)
    {
        if (options.TargetSpread <= 0)
            return nn.functional.cross_entropy(logits, target, ignore_index: -1);
        long levels = logits.shape[1];
        var valid = target.ge(0);                                                                                    // [N, H, W]
        var level = arange(levels, dtype: ScalarType.Float32, device: logits.device);
        var away = (level.unsqueeze(0) - level.unsqueeze(1)) / options.TargetSpread;
        var spread = (away * away * -0.5).softmax(1);                                                                // [C, C], row: a level's target
        var wanted = spread.index_select(0, target.clamp_min(0).flatten())
            .view(target.shape[0], target.shape[1], target.shape[2], levels).permute(0, 3, 1, 2);                    // [N, C, H, W]
        var error = -(wanted * logits.log_softmax(1)).sum(1);                                                        // [N, H, W]
        return (error * valid).sum() / valid.sum().clamp_min(1);
    }

    // Random tiles of one field each, of a random plane, flipped, turned, and with slightly changed contrast.
    private (Tensor Contexts, Tensor?[] Targets) Batch(int count)
    {
        int labels = model.Network.Labels.Count;
        var contexts = new List<Tensor>(count);
        var targets = Enumerable.Range(0, labels).Select(_ => new List<Tensor>(count)).ToArray();
        var context = new float[Tile.ContextSize * Tile.ContextSize];
        bool[] present = new bool[labels];
        for (int i = 0; i < count; i++)
        {
            var field = fields[random.Next(fields.Count)];
            var tile = new Tile(0, 0, random.Next(field.Width - Tile.Size + 1), random.Next(field.Height - Tile.Size + 1));
            field.CopyContext(random.Next(field.Planes), tile, context);
            int turns = random.Next(4);
            bool flip = random.Next(2) == 1;
            float gain = 1 + 0.1f * (random.NextSingle() * 2 - 1), shift = 0.05f * (random.NextSingle() * 2 - 1);
            contexts.Add(Turn(tensor(context, [1, Tile.ContextSize, Tile.ContextSize]) * gain + shift));
            for (int label = 0; label < labels; label++)
            {
                var target = full([Tile.Size, Tile.Size], -1L, dtype: ScalarType.Int64);
                if (field.Targets[label] is { } levels)
                {
                    present[label] = true;
                    var values = new long[Tile.Size * Tile.Size];
                    for (int p = 0; p < values.Length; p++)
                        values[p] = levels[(tile.Y + p / Tile.Size) * field.Width + tile.X + p % Tile.Size];
                    target = tensor(values, [Tile.Size, Tile.Size]);
                }

                targets[label].Add(Turn(target));
            }

            Tensor Turn(Tensor image)
            {
                var turned = image.rot90(turns, (image.dim() - 2, image.dim() - 1));
                return (flip ? turned.flip(-1) : turned).contiguous();
            }
        }

        return (stack(contexts).to(model.Device),
            [.. targets.Select((list, label) => present[label] ? stack(list).to(model.Device) : null)]);
    }

    // Averages over many batches, without dropout: the running statistics of a short training lag behind its last weights.
    private void MeasureNorms()
    {
        model.Network.eval();
        if (options.NormBatches < 1)
            return;
        using var gradients = no_grad();
        var norms = model.Network.modules().OfType<TorchSharp.Modules.BatchNorm2d>().ToArray();
        var before = norms.Select(norm => norm.momentum).ToArray();
        foreach (var norm in norms)
            norm.train();
        for (int batch = 0; batch < options.NormBatches; batch++)
        {
            using var scope = NewDisposeScope();
            foreach (var norm in norms)
                norm.momentum = 1.0 / (batch + 1);
            model.Network.Features(MultiScalePatches.Cut(Batch(options.BatchSize).Contexts, model.Network.Options.PatchScales));
        }

        for (int i = 0; i < norms.Length; i++)
        {
            norms[i].momentum = before[i];
            norms[i].eval();
        }
    }
}

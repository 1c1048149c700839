using StainGrid.TestSupport;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests.Training;

[Collection(nameof(Alone))]
public sealed class TrainerTests : IDisposable
{
    private static readonly NetworkOptions Attention = TrainingFiles.Small with { Resampling = Resampling.Attention };

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(Precision.Float32, Resampling.Convolution)]
    [InlineData(Precision.BFloat16, Resampling.Convolution)]
    [InlineData(Precision.BFloat16, Resampling.Attention)]
    public void Training_lowers_the_loss_and_the_prediction_follows_the_truth(Precision precision, Resampling resampling)
    {
        using var model = StainModel.Create(TrainingFiles.Small with { Resampling = resampling }, TrainingFiles.Labels, 1);
        using var trainer = new Trainer(model, [TrainingFiles.Blobs()], TrainingFiles.Quick with { Steps = 80, LearningRate = 1e-2, Precision = precision });
        TrainingStep[] steps = [.. Enumerable.Range(0, 80).Select(_ => trainer.Step())];
        Assert.Equal(Enumerable.Range(1, 80), steps.Select(step => step.Step));
        Assert.All(steps, step => Assert.True(double.IsNaN(step.Losses[1]) && step.Loss == step.Losses[0]));
        Assert.Equal(1e-2 / 3, steps[0].LearningRate, 1e-9);
        double first = steps[..3].Average(step => step.Loss), last = steps[^5..].Average(step => step.Loss);
        Assert.True(last < first - 0.3, $"From {first:F2} to {last:F2}.");

        trainer.MeasureNorms();
        using FunctionImage light = TrainingFiles.Light(), truth = TrainingFiles.Truth();
        var predicted = SlidePredictor.Predict(model, light, [0], [0], [Statistic.Mean], new TilingOptions(128), precision, cancellationToken: TestContext.Current.CancellationToken);
        var expected = new float[160 * 160];
        truth.Read(0, new Region(0, 0, 160, 160), expected);
        double pearson = Correlation.Pearson<float>(predicted.Values[0], expected);
        Assert.True(pearson > 0.7, $"Pearson is {pearson:F3}; the loss went from {first:F2} to {last:F2}.");
    }

    [Fact]
    public void The_same_seed_trains_the_same_weights_another_others_and_a_label_without_truth_keeps_its_head()
    {
        var field = TrainingFiles.Blobs();
        float[] Trained(int seed)
        {
            using var model = Model(TrainingFiles.Small);
            using var untouched = Model(TrainingFiles.Small);
            using var trainer = new Trainer(model, [field], TrainingFiles.Quick with { Seed = seed });
            for (int step = 0; step < 3; step++)
                trainer.Step();
            Assert.Equal(TrainingFiles.Head(untouched, "ABSENT"), TrainingFiles.Head(model, "ABSENT"));
            Assert.NotEqual(TrainingFiles.Head(untouched, "BRIGHT"), TrainingFiles.Head(model, "BRIGHT"));
            return TrainingFiles.Weights(model);
        }

        float[] expected = Trained(4);
        Assert.Equal(expected, Trained(4));
        Assert.NotEqual(expected, Trained(5));
    }

    [Theory]
    [InlineData(Precision.Float32)]
    [InlineData(Precision.BFloat16)]
    public void A_step_that_diverges_ends_the_training_with_what_to_do_and_changes_no_weight(Precision precision)
    {
        using var model = Model(TrainingFiles.Small);
        using var trainer = new Trainer(model, [TrainingFiles.Blobs()], TrainingFiles.Quick with { LearningRate = 1e30, Precision = precision });
        float[] before = [];
        var error = Assert.Throws<TrainingException>(() =>
        {
            for (int step = 0; step < 25; step++)
            {
                before = TrainingFiles.Weights(model);
                trainer.Step();
            }
        });
        Assert.Contains("smaller learning rate", error.Message);
        Assert.Contains($"step {trainer.Steps + 1} ", error.Message);
        Assert.True(before.AsSpan().SequenceEqual(TrainingFiles.Weights(model)), "The step that failed changed weights.");
        Assert.InRange(trainer.Steps, 1, 24);
    }

    // One field lacks a label, so that its head has fewer steps than the network.
    [Theory]
    [InlineData(Precision.Float32, Resampling.Convolution)]
    [InlineData(Precision.BFloat16, Resampling.Convolution)]
    [InlineData(Precision.BFloat16, Resampling.Attention)]
    public void A_training_that_goes_on_from_a_checkpoint_is_the_unbroken_one(Precision precision, Resampling resampling)
    {
        const int Steps = 8, Stop = 4;
        TrainingField[] fields = [TrainingFiles.Blobs("BRIGHT"), TrainingFiles.Blobs("BRIGHT", "ABSENT")];
        var network = (resampling == Resampling.Attention ? Attention : TrainingFiles.Small) with { Dropout = 0.5 };
        var options = TrainingFiles.Quick with { Steps = Steps, Precision = precision, SmallTileShare = resampling == Resampling.Attention ? 1 : 0.75, Seed = 2 };
        using var unbroken = Model(network);
        var steps = new List<TrainingStep>();
        using (var trainer = new Trainer(unbroken, fields, options))
        {
            for (int step = 0; step < Steps; step++)
            {
                if (step == Stop)
                    trainer.SaveCheckpoint(folder.File("stopped"));
                steps.Add(trainer.Step());
            }

            trainer.SaveCheckpoint(folder.File("unbroken"));
        }

        // The small tiles are four a step: of small steps each has both labels, of the last not.
        Assert.Contains(steps[..Stop], step => !double.IsNaN(step.Losses[1]));
        TorchSharp.torch.manual_seed(99);
        using var model = StainModel.Create(network, TrainingFiles.Labels, 77);
        using (var trainer = new Trainer(model, fields, options))
        {
            trainer.Step();
            trainer.LoadCheckpoint(folder.File("stopped"));
            Assert.Equal(Stop, trainer.Steps);
            trainer.SaveCheckpoint(folder.File("again"));
            Assert.Equal(File.ReadAllBytes(folder.File("stopped")), File.ReadAllBytes(folder.File("again")));
            TrainingStep[] rest = [.. Enumerable.Range(Stop, Steps - Stop).Select(_ => trainer.Step())];
            Assert.Equal(steps[Stop..].Select(step => (step.Step, step.LearningRate)), rest.Select(step => (step.Step, step.LearningRate)));
            Assert.Equal(steps[Stop..].SelectMany(step => step.Losses), rest.SelectMany(step => step.Losses));
            trainer.SaveCheckpoint(folder.File("resumed"));
        }

        Assert.Equal(TrainingFiles.Weights(unbroken), TrainingFiles.Weights(model));
        Assert.Equal(File.ReadAllBytes(folder.File("unbroken")), File.ReadAllBytes(folder.File("resumed")));
    }

    [Fact]
    public void Attention_begins_when_it_should_and_before_it_the_network_is_the_one_whose_values_are_zero()
    {
        using var model = Model(Attention);
        using var untouched = Model(Attention);
        using var trainer = new Trainer(model, [TrainingFiles.Blobs()], TrainingFiles.Quick with { Steps = 4, AttentionFrom = 0.5 });
        trainer.Step();
        trainer.Step();
        Assert.All(Named(model, ".value."), value => Assert.Equal(0, value));
        Assert.Equal(Named(untouched, ".key."), Named(model, ".key."));
        Assert.NotEqual(Named(untouched, ".query."), Named(model, ".query."));

        trainer.MeasureNorms();
        using (TorchSharp.torch.no_grad())
        {
            using var patches = TorchSharp.torch.rand(1, 3, 32, 32);
            using var alone = model.Network.Features(patches);
            foreach (var layer in Layers(model))
                layer.QueriesAlone = false;
            using var whole = model.Network.Features(patches);
            Assert.Equal(alone.data<float>().ToArray(), whole.data<float>().ToArray());
        }

        trainer.Step();
        trainer.Step();
        Assert.All(Layers(model), layer => Assert.False(layer.QueriesAlone));
        Assert.Contains(Named(model, ".value."), value => value != 0);
        Assert.NotEqual(Named(untouched, ".key."), Named(model, ".key."));

        static IEnumerable<GlobalPixelTransformerLayer> Layers(StainModel model) => model.Network.modules().OfType<GlobalPixelTransformerLayer>();

        static float[] Named(StainModel model, string part) =>
            [.. model.Network.NamedTensors().Where(pair => pair.Key.Contains(part)).SelectMany(pair => pair.Value.data<float>().ToArray())];
    }

    [Fact]
    public void The_paper_variant_cannot_begin_without_attention()
    {
        using var model = Model(Attention with { Variant = NetworkVariant.Paper });
        Assert.Contains("attention_from to 0", Assert.Throws<ArgumentException>(() => new Trainer(model, [TrainingFiles.Blobs()], TrainingFiles.Quick)).Message);
        var config = new TrainingConfig { Specimens = 1, Network = model.Network.Options };
        Assert.Equal(0, config.Settings.AttentionFrom);
        Assert.Equal(0, new TrainingConfig { Specimens = 1, From = "other" }.Settings.AttentionFrom);
        Assert.NotEqual(0, new TrainingConfig { Specimens = 1 }.Settings.AttentionFrom);
    }

    [Fact]
    public void A_head_without_truth_in_some_steps_goes_on_by_its_own_number_of_updates()
    {
        var options = TrainingFiles.Quick with { Steps = 6, ClipNorm = 0 };
        TrainingField[] without = [TrainingFiles.Blobs("BRIGHT")], with = [TrainingFiles.Blobs("BRIGHT", "ABSENT")];
        float[][] heads = [.. ((bool[])[false, true]).Select(stops =>
        {
            using var model = Model(TrainingFiles.Small);
            var trainer = new Trainer(model, step => step < 4 ? without : with, options);
            for (int step = 0; step < 6; step++)
            {
                if (stops && step == 5)
                {
                    trainer.SaveCheckpoint(folder.File("a"));
                    trainer.Dispose();
                    trainer = new Trainer(model, step => step < 4 ? without : with, options);
                    trainer.LoadCheckpoint(folder.File("a"));
                }

                trainer.Step();
            }

            trainer.Dispose();
            return TrainingFiles.Head(model, "ABSENT");
        })];
        Assert.Equal(heads[0], heads[1]);
        using var untouched = Model(TrainingFiles.Small);
        Assert.NotEqual(TrainingFiles.Head(untouched, "ABSENT"), heads[0]);
    }

    [Fact]
    public void Measured_norms_are_the_mean_over_many_batches_and_do_not_change_the_training()
    {
        var options = TrainingFiles.Quick with { Steps = 4 };
        var network = TrainingFiles.Small with { Dropout = 0.5 };
        float[][] weights = [.. ((bool[])[false, true]).Select(measures =>
        {
            using var model = Model(network);
            using var trainer = new Trainer(model, [TrainingFiles.Blobs()], options);
            for (int step = 0; step < 4; step++)
            {
                if (measures)
                    trainer.MeasureNorms();
                trainer.Step();
            }

            trainer.MeasureNorms();
            Assert.False(model.Network.training);
            float[] first = Statistics(model);
            trainer.MeasureNorms();
            Assert.Equal(first, Statistics(model));
            return TrainingFiles.Weights(model);
        })];
        Assert.Equal(weights[0], weights[1]);

        static float[] Statistics(StainModel model) =>
            [.. model.Network.NamedTensors().Where(pair => pair.Key.Contains("running")).SelectMany(pair => pair.Value.data<float>().ToArray())];
    }

    [Fact]
    public void Options_out_of_range_and_no_fields_are_refused()
    {
        using var model = Model(TrainingFiles.Small);
        Assert.Throws<ArgumentOutOfRangeException>(() => new Trainer(model, [], TrainingFiles.Quick));
        var field = TrainingFiles.Blobs();
        foreach (var (options, word) in ((TrainingOptions, string)[])
            [
                (TrainingFiles.Quick with { Steps = 0 }, "Steps"), (TrainingFiles.Quick with { BatchSize = 257 }, "BatchSize"),
                (TrainingFiles.Quick with { LearningRate = double.NaN }, "LearningRate"), (TrainingFiles.Quick with { BrightShare = 1.1 }, "BrightShare"),
                (TrainingFiles.Quick with { Precision = Precision.Auto }, "float32 or bfloat16"), (TrainingFiles.Quick with { Precision = (Precision)9 }, "float32 or bfloat16"),
            ])
        {
            Assert.Contains(word, Assert.Throws<ArgumentException>(() => new Trainer(model, [field], options)).Message);
        }
    }

    [Fact]
    public void The_learning_rate_warms_up_and_falls_along_a_cosine()
    {
        var options = new TrainingOptions { Steps = 1000, WarmUp = 10, LearningRate = 2 };
        Assert.Equal(0.2, options.RateAt(0), 1e-9);
        Assert.Equal(2, options.RateAt(10), 1e-3);
        Assert.Equal(1, options.RateAt(500), 1e-9);
        Assert.InRange(options.RateAt(999), 1e-9, 1e-4);
        Assert.Equal((1e-5, 1e-5), (TrainingOptions.Paper.RateAt(0), TrainingOptions.Paper.RateAt(99_999)));
    }

    [Fact]
    public void Pearson_is_that_of_its_definition()
    {
        float[] a = [1, 2, 3, 4, 10], b = [2, 1, 4, 3, 7];
        double ma = a.Average(), mb = b.Average();
        double expected = a.Zip(b, (x, y) => (x - ma) * (y - mb)).Sum() / Math.Sqrt(a.Sum(x => (x - ma) * (x - ma)) * b.Sum(y => (y - mb) * (y - mb)));
        Assert.Equal(expected, Correlation.Pearson<float>(a, b), 1e-12);
        Assert.Throws<ArgumentException>(() => Correlation.Pearson<float>(a, b.AsSpan(1)));
    }

    private static StainModel Model(NetworkOptions network) => StainModel.Create(network, TrainingFiles.Labels, 1);
}

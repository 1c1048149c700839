using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests.Training;

public class TrainerTests
{
    private static readonly LabelInfo[] Labels = [new("BRIGHT", 0, 65_535, "FFFFFF"), new("ABSENT", 0, 65_535, "FFFFFF")];
    private static readonly TrainingOptions Quick = new() { Steps = 25, BatchSize = 1, WarmUp = 3, LearningRate = 3e-3, SmallTileShare = 1, NormBatches = 8, Seed = 4 };

    [Fact]
    public void Training_lowers_the_loss_and_the_prediction_follows_the_truth()
    {
        using var model = Model();
        var field = Field(out var light, out var truth);
        var losses = new List<double>();
        var options = Quick with { Steps = 100, LearningRate = 1e-2 };
        Assert.Equal(options.Steps, new Trainer(model, [field], options).Run((_, loss) => losses.Add(loss), TestContext.Current.CancellationToken));
        Assert.True(losses[^5..].Average() < losses[..3].Average() - 0.3, $"From {losses[0]:F2} to {losses[^1]:F2}.");
        using (light)
        using (truth)
        {
            var predicted = SlidePredictor.Predict(model, light, [0], [0], [Statistic.Mean], new TilingOptions(128), cancellationToken: TestContext.Current.CancellationToken);
            var expected = new float[160 * 160];
            truth.Read(0, new Region(0, 0, 160, 160), expected);
            double pearson = Correlation.Pearson<float>(predicted.Values[0], expected);
            Assert.True(pearson > 0.7, $"Pearson is {pearson:F3}; the loss went from {losses[0]:F2} to {losses[^1]:F2}.");
        }
    }

    [Fact]
    public void The_same_seed_trains_the_same_weights_and_a_label_without_truth_keeps_its_head()
    {
        var field = Field(out var light, out var truth);
        light.Dispose();
        truth.Dispose();
        var options = Quick with { Steps = 3 };
        float[][] heads = [.. Enumerable.Range(0, 2).Select(_ =>
        {
            using var model = Model();
            new Trainer(model, [field], options).Run(cancellationToken: TestContext.Current.CancellationToken);
            using var untouched = Model();
            Assert.Equal(Head(untouched, "ABSENT"), Head(model, "ABSENT"));
            Assert.NotEqual(Head(untouched, "BRIGHT"), Head(model, "BRIGHT"));
            return Head(model, "BRIGHT");
        })];
        Assert.Equal(heads[0], heads[1]);

        static float[] Head(StainModel model, string label) => model.Network.NamedTensors()[$"heads.{label}.weight"].data<float>().ToArray();
    }

    [Fact]
    public void Pixels_outside_the_part_are_never_read()
    {
        static float Guard(int plane, int x, int y) => x < 130 ? x * 100 + y : throw new InvalidOperationException($"({x}, {y}) was read.");
        using var light = new FunctionImage(300, 150, 2, PixelType.UInt16, Guard);
        using var truth = new FunctionImage(300, 150, 1, PixelType.UInt16, Guard);
        var field = TrainingField.Read("guarded", light, new Dictionary<string, IPlaneImage> { ["BRIGHT"] = truth }, Labels, new NormalisationRule(), new Region(0, 0, 130, 150));
        Assert.Equal((130, 150), (field.Width, field.Height));
        using var model = Model();
        new Trainer(model, [field], Quick with { Steps = 2, NormBatches = 1 }).Run(cancellationToken: TestContext.Current.CancellationToken);
    }

    [Fact]
    public void A_loss_that_is_not_a_number_ends_the_training_with_what_to_do()
    {
        using var model = Model();
        var field = Field(out var light, out var truth);
        light.Dispose();
        truth.Dispose();
        var error = Assert.Throws<InvalidOperationException>(() =>
            new Trainer(model, [field], Quick with { LearningRate = 1e30 }).Run(cancellationToken: TestContext.Current.CancellationToken));
        Assert.Contains("smaller learning rate", error.Message);
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

    private static StainModel Model() => StainModel.Create(
        new NetworkOptions { StemChannels = 4, Growth = 4, EncoderLayers = [1], DecoderLayers = [1], BottomLayers = 1, Resampling = Resampling.Convolution, Dropout = 0 },
        Labels, 1);

    // Bright blobs in the light are bright in the truth.
    private static TrainingField Field(out FunctionImage light, out FunctionImage truth)
    {
        light = new FunctionImage(160, 160, 1, PixelType.UInt16, (_, x, y) => 30_000 + 20_000 * MathF.Sin(x * 0.2f) * MathF.Sin(y * 0.15f));
        truth = new FunctionImage(160, 160, 1, PixelType.UInt16, (_, x, y) => MathF.Sin(x * 0.2f) * MathF.Sin(y * 0.15f) > 0.3f ? 50_000 : 8_000);
        return TrainingField.Read("blobs", light, new Dictionary<string, IPlaneImage> { ["BRIGHT"] = truth }, Labels, new NormalisationRule(), new Region(0, 0, 160, 160));
    }
}

using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests.Training;

public sealed class DistributionLossTests
{
    private const int Levels = 256;
    private const int Channels = 21;
    private const double Share = 0.5;

    [Theory]
    [InlineData(1, 3, 20, 0)]
    [InlineData(1000, 0, 0, 0)]
    [InlineData(1000, 3, 0, 0.3)]
    [InlineData(2085, 0, 20, 0.3)]
    [InlineData(2048, 3, 20, 0.99)]
    public void The_blocked_path_is_the_plain_one(int pixels, double spread, double meanWeight, double absent)
    {
        using var scope = NewDisposeScope();
        var loss = new DistributionLoss(Levels, spread, meanWeight);
        var targets = Targets(pixels, absent);
        var (plain, blocked) = (new Example(pixels, ScalarType.Float32), new Example(pixels, ScalarType.BFloat16));
        double expected = loss.Backward(plain.Features, targets, plain.Head, Share), actual = loss.Backward(blocked.Features, targets, blocked.Head, Share);
        Assert.InRange(actual, expected * 0.995, expected * 1.005);
        Near(plain, blocked);
    }

    [Fact]
    public void Gradients_are_added_to_those_that_are_there()
    {
        using var scope = NewDisposeScope();
        var loss = new DistributionLoss(Levels, 3, 20);
        Tensor first = Targets(1100, 0.1), second = 255 - first.abs();
        foreach (var type in (ScalarType[])[ScalarType.Float32, ScalarType.BFloat16])
        {
            Example both = new(1100, type), one = new(1100, type), other = new(1100, type);
            loss.Backward(both.Features, first, both.Head, Share);
            loss.Backward(both.Features, second, both.Head, 2);
            loss.Backward(one.Features, first, one.Head, Share);
            loss.Backward(other.Features, second, other.Head, 2);
            foreach (var (sum, a, b) in both.Gradients.Zip(one.Gradients, other.Gradients))
                Near("the sum", a.to(ScalarType.Float64) + b.to(ScalarType.Float64), sum, 5e-3);
        }
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Without_any_truth_there_is_no_loss_and_no_gradient(ScalarType type)
    {
        using var scope = NewDisposeScope();
        var example = new Example(50, type);
        Assert.Equal(0, new DistributionLoss(Levels, 3, 20).Backward(example.Features, full([50], -1, ScalarType.Int64), example.Head, 1));
        foreach (var parameter in (Tensor[])[example.Features, example.Head.weight!, example.Head.bias!])
            Assert.True(parameter.grad is null || parameter.grad.abs().max().item<float>() == 0);
    }

    [Fact]
    public void A_pixel_without_truth_has_no_gradient()
    {
        using var scope = NewDisposeScope();
        foreach (var type in (ScalarType[])[ScalarType.Float32, ScalarType.BFloat16])
        {
            var example = new Example(40, type);
            var targets = Targets(40, 0);
            targets[7] = -1;
            new DistributionLoss(Levels, 3, 20).Backward(example.Features, targets, example.Head, 1);
            var sizes = example.Features.grad!.to(ScalarType.Float32).abs().sum(1).data<float>().ToArray();
            Assert.Equal([7], Enumerable.Range(0, 40).Where(pixel => sizes[pixel] == 0));
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0, 20)]
    [InlineData(3, 0)]
    [InlineData(3, 20)]
    public void The_plain_path_is_the_definition(double spread, double meanWeight)
    {
        using var scope = NewDisposeScope();
        long[] targets = [0, 17, -1, 255, 128];
        var example = new Example(targets.Length, ScalarType.Float32);
        double loss = new DistributionLoss(Levels, spread, meanWeight).Backward(example.Features, tensor(targets), example.Head, Share);
        double[][] values = [.. example.Parameters.Select(parameter => parameter.data<float>().ToArray().Select(value => (double)value).ToArray())];
        var (entropy, _) = Defined();
        Assert.Equal(entropy, loss, 1e-5);

        // The gradients by small changes.
        double[][] gradients = [.. example.Gradients.Select(gradient => gradient.data<float>().ToArray().Select(value => (double)value).ToArray())];
        for (int parameter = 0; parameter < values.Length; parameter++)
        {
            for (int i = 0; i < values[parameter].Length; i += 1 + values[parameter].Length / 60)
            {
                double before = values[parameter][i];
                values[parameter][i] = before + 1e-4;
                double more = Defined().All;
                values[parameter][i] = before - 1e-4;
                double less = Defined().All;
                values[parameter][i] = before;
                Assert.Equal(Share * (more - less) / 2e-4, gradients[parameter][i], 1e-5);
            }
        }

        (double Entropy, double All) Defined()
        {
            double sum = 0, squares = 0;
            int valid = 0;
            for (int pixel = 0; pixel < targets.Length; pixel++)
            {
                if (targets[pixel] < 0)
                    continue;
                valid++;
                var logits = new double[Levels];
                var wanted = new double[Levels];
                for (int level = 0; level < Levels; level++)
                {
                    logits[level] = values[2][level];
                    for (int channel = 0; channel < Channels; channel++)
                        logits[level] += values[0][pixel * Channels + channel] * values[1][level * Channels + channel];
                    double away = level - targets[pixel];
                    wanted[level] = spread == 0 ? (away == 0 ? 1 : 0) : Math.Exp(-away * away / (2 * spread * spread));
                }

                double total = logits.Sum(Math.Exp), all = wanted.Sum(), mean = 0;
                for (int level = 0; level < Levels; level++)
                {
                    double share = Math.Exp(logits[level]) / total;
                    sum -= wanted[level] / all * Math.Log(share);
                    mean += share * level / (Levels - 1);
                }

                squares += Math.Pow(mean - targets[pixel] / (Levels - 1.0), 2);
            }

            return (sum / valid, sum / valid + meanWeight * squares / valid);
        }
    }

    private static Tensor Targets(int pixels, double absent)
    {
        var random = new Random(5);
        long[] targets = [.. Enumerable.Range(0, pixels).Select(_ => random.NextDouble() < absent ? -1L : random.Next(Levels))];
        return tensor(targets);
    }

    // Measured: at most 1e-2.
    private static void Near(Example expected, Example actual)
    {
        foreach (var (name, plain, blocked) in ((string[])["features", "weight", "bias"]).Zip(expected.Gradients, actual.Gradients))
            Near(name, plain, blocked, 2e-2);
    }

    private static void Near(string what, Tensor expected, Tensor actual, double bar)
    {
        double norm = expected.to(ScalarType.Float64).norm().item<double>(), error = (actual.to(ScalarType.Float64) - expected.to(ScalarType.Float64)).norm().item<double>();
        Assert.True(norm > 0 && error <= bar * norm, $"{what}: the error's norm is {error:G3}, of {norm:G3}.");
    }

    // Values that bfloat16 has, in whatever type.
    private sealed class Example
    {
        public Example(int pixels, ScalarType type)
        {
            var random = new Random(pixels);
            Features = Noise(2, pixels, Channels).to(type).requires_grad_();
            Head = nn.Conv2d(Channels, Levels, 1L);
            using var gradients = no_grad();
            Head.weight!.copy_(Noise(0.5, Levels, Channels, 1, 1));
            Head.bias!.copy_(Noise(2, Levels));

            Tensor Noise(double size, params long[] shape) =>
                tensor([.. Enumerable.Range(0, (int)shape.Aggregate((a, b) => a * b)).Select(_ => (float)(size * (2 * random.NextDouble() - 1)))], shape).to(ScalarType.BFloat16).to(ScalarType.Float32);
        }

        public Tensor Features { get; }

        public Conv2d Head { get; }

        public Tensor[] Parameters => [Features, Head.weight!, Head.bias!];

        public Tensor[] Gradients => [.. Parameters.Select(parameter => parameter.grad!)];
    }
}

using static TorchSharp.torch;

namespace StainGrid.Model.Tests.Training;

public sealed class BlockedAttentionFunctionTests
{
    // Measured over these shapes: at most 0.8e-2, of bfloat16's roundings.
    private const double Bar = 2e-2;

    [Theory]
    [InlineData(1, 1, 1, 1)]
    [InlineData(2, 1, 5, 3)]
    [InlineData(1, 7, 1, 16)]
    [InlineData(1, 700, 333, 37)]
    [InlineData(2, 513, 2049, 8)]
    [InlineData(3, 1100, 4500, 20)]
    [InlineData(1, 33, 31, 130)]
    public void Output_and_gradients_are_those_of_the_plain_softmax(int tiles, int queries, int keys, int channels)
    {
        using var scope = NewDisposeScope();
        var random = new Random(queries);
        Tensor[] inputs = [Noise(random, tiles, queries, channels), Noise(random, tiles, keys, channels), Noise(random, tiles, keys, channels)];
        var slope = Noise(random, tiles, queries, channels);
        Tensor[] rounded = [.. inputs.Select(input => input.clone().requires_grad_())];
        Tensor[] exact = [.. inputs.Select(input => input.to(ScalarType.Float32).requires_grad_())];

        var output = BlockedAttentionFunction.Attend(rounded[0], rounded[1], rounded[2]);
        output.backward([slope]);
        var weights = (exact[0].matmul(exact[1].transpose(2, 3)) / Math.Sqrt(channels)).softmax(3);
        var expected = weights.matmul(exact[2]);
        expected.backward([slope.to(ScalarType.Float32)]);

        Assert.Equal(ScalarType.BFloat16, output.dtype);
        Near("output", expected, output);
        foreach (var (name, plain, blocked) in ((string[])["queries", "keys", "values"]).Zip(exact, rounded))
            Near(name, plain.grad!, blocked.grad!);
    }

    [Fact]
    public void It_takes_bfloat16_on_the_cpu_alone()
    {
        using var scope = NewDisposeScope();
        Assert.True(BlockedAttentionFunction.Takes(zeros([1, 1, 2, 2], ScalarType.BFloat16)));
        Assert.False(BlockedAttentionFunction.Takes(zeros([1, 1, 2, 2])));
    }

    [Fact]
    public void The_layer_has_the_gradients_of_float32_within_its_roundings()
    {
        using var scope = NewDisposeScope();
        var random = new Random(3);
        var layer = new GlobalPixelTransformerLayer(6, 5, Scaling.Down, NetworkVariant.Paper);
        RandomWeights.Fill(layer, random);
        var input = tensor([.. Enumerable.Range(0, 2 * 6 * 16 * 16).Select(_ => random.NextSingle() * 4 - 2)], [2, 6, 16, 16]);
        var slope = tensor([.. Enumerable.Range(0, 2 * 5 * 8 * 8).Select(_ => random.NextSingle() * 2 - 1)], [2, 5, 8, 8]);
        Tensor[][] gradients = [.. ((ScalarType[])[ScalarType.Float32, ScalarType.BFloat16]).Select(type =>
        {
            layer.zero_grad();
            layer.call(input.to(type)).backward([slope.to(type)]);
            return layer.parameters().Select(parameter => parameter.grad!.clone()).ToArray();
        })];
        foreach (var (plain, blocked) in gradients[0].Zip(gradients[1]))
            Near("a weight of the layer", plain, blocked);
    }

    private static Tensor Noise(Random random, int tiles, int rows, int channels) =>
        tensor([.. Enumerable.Range(0, tiles * rows * channels).Select(_ => (float)Gauss(random))], [tiles, 1, rows, channels]).to(ScalarType.BFloat16);

    private static double Gauss(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    // Of one key the gradients of queries and keys are 0: there the error itself must be small.
    private static void Near(string what, Tensor expected, Tensor actual)
    {
        double norm = expected.to(ScalarType.Float64).norm().item<double>();
        double error = (actual.to(ScalarType.Float64) - expected.to(ScalarType.Float64)).norm().item<double>();
        Assert.True(error <= Bar * Math.Max(norm, 1), $"{what}: the error's norm is {error:G3}, of {norm:G3}.");
    }
}

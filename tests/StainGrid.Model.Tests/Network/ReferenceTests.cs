using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests;

/// <summary>The layers and whole small networks against <see cref="Reference"/>, in float32 and in float64.</summary>
public sealed class ReferenceTests
{
    private static readonly bool[] Both = [false, true];
    private static readonly (int Input, int Output)[] Widths = [(3, 5), (8, 4), (7, 17)];

    public static TheoryData<NetworkVariant, Scaling, int, int, bool> Layers => new(
        from variant in Enum.GetValues<NetworkVariant>()
        from scaling in Enum.GetValues<Scaling>()
        from widths in Widths
        from exact in Both
        select (variant, scaling, widths.Input, widths.Output, exact));

    [Theory]
    [MemberData(nameof(Layers))]
    public void A_global_pixel_transformer_layer_equals_the_loops(NetworkVariant variant, Scaling scaling, int input, int output, bool exact)
    {
        using var layer = new GlobalPixelTransformerLayer(input, output, scaling, variant);
        Compare(layer, layer.call, (reference, x) => reference.Attention("layer", variant, scaling, x), input, 6, 10, exact);
    }

    [Theory]
    [InlineData(Scaling.Down, 3, 5)]
    [InlineData(Scaling.Same, 5, 3)]
    [InlineData(Scaling.Up, 3, 5)]
    public void The_convolution_in_a_transformers_place_equals_the_loops(Scaling scaling, int input, int output)
    {
        using var layer = new ResamplingConvolution(input, output, scaling);
        var options = new NetworkOptions { Resampling = Resampling.Convolution };
        foreach (bool exact in Both)
            Compare(layer, layer.call, (reference, x) => reference.Resample("layer", options, scaling, x), input, 6, 10, exact);
    }

    [Theory]
    [InlineData(BlockKind.Dense, 3, 4, 5)]
    [InlineData(BlockKind.Dense, 8, 1, 16)]
    [InlineData(BlockKind.Plain, 3, 4, 5)]
    public void A_block_equals_the_loops(BlockKind kind, int input, int layers, int growth)
    {
        using var block = new FeatureBlock(kind, input, layers, growth, dropout: 0.5);
        block.eval();
        foreach (bool exact in Both)
            Compare(block, block.call, (reference, x) => reference.Block("layer", kind, x), input, 5, 7, exact);
    }

    [Theory]
    [MemberData(nameof(GlobalPixelTransformerTests.Kinds), MemberType = typeof(GlobalPixelTransformerTests))]
    public void A_whole_small_network_equals_the_loops(NetworkVariant variant, Resampling resampling, BlockKind block)
    {
        var options = new NetworkOptions
        {
            Variant = variant,
            Resampling = resampling,
            Block = block,
            StemChannels = 5,
            Growth = 3,
            EncoderLayers = [1, 2, 1],
            BottomLayers = 2,
            DecoderLayers = [2, 1, 1],
            Levels = 6,
        };
        using var network = new GlobalPixelTransformer(options, ["A", "B"], seed: 2);
        foreach (bool exact in Both)
        {
            Compare(network, x => network.Logits(network.Features(x), 1), (reference, x) => reference.Head("B", reference.Network(options, x)), 3, 16, 24, exact, prefix: "");
        }
    }

    [Fact]
    public void A_network_of_one_scale_and_two_stages_equals_the_loops()
    {
        var options = new NetworkOptions { PatchScales = [128], EncoderLayers = [1, 1], DecoderLayers = [1, 1], BottomLayers = 1, StemChannels = 3, Growth = 2, Levels = 4 };
        using var network = new GlobalPixelTransformer(options, ["A"]);
        Compare(network, x => network.Logits(network.Features(x), 0), (reference, x) => reference.Head("A", reference.Network(options, x)), 1, 4, 12, exact: true, prefix: "");
    }

    [Fact]
    public void Large_scores_do_not_overflow_the_softmax()
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        using var layer = new GlobalPixelTransformerLayer(4, 4, Scaling.Down, NetworkVariant.Paper);
        foreach (var parameter in layer.parameters())
            parameter.mul_(1000);
        Assert.True(layer.call(randn(1, 4, 16, 16)).isfinite().all().item<bool>());
    }

    /// <summary>Gives the module random weights and statistics, runs both on two random images, and compares to a
    /// hundred-thousandth (float32) or a billionth (float64) of the largest value.</summary>
    private static void Compare(
        nn.Module module, Func<Tensor, Tensor> run, Func<Reference, Volume, Volume> reference, int channels, int height, int width, bool exact, string prefix = "layer.")
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        module.eval();
        var random = new Random(channels + (100 * width));
        RandomWeights.Fill(module, random);
        module.to(exact ? ScalarType.Float64 : ScalarType.Float32);
        var weights = RandomWeights.Doubles(module, prefix);

        var images = new[] { new Volume(channels, height, width), new Volume(channels, height, width) };
        foreach (var image in images)
        {
            for (int i = 0; i < image.Values.Length; i++)
                image.Values[i] = (float)((random.NextDouble() * 4) - 2);
        }

        var input = tensor(images.SelectMany(image => image.Values).ToArray(), [2, channels, height, width]);
        var actual = run(exact ? input : input.to(ScalarType.Float32)).to(ScalarType.Float64);
        for (int n = 0; n < images.Length; n++)
        {
            var expected = reference(new Reference(weights), images[n]);
            Assert.Equal([2, expected.Channels, expected.Height, expected.Width], actual.shape);
            double[] values = actual[n].contiguous().data<double>().ToArray();
            double largest = expected.Values.Max(Math.Abs), worst = values.Zip(expected.Values, (a, b) => Math.Abs(a - b)).Max();
            Assert.True(largest > 0.01, $"The reference is nearly zero ({largest}).");
            Assert.True(worst <= (exact ? 1e-9 : 2e-5) * largest, $"Off by {worst} of {largest}.");
        }
    }
}

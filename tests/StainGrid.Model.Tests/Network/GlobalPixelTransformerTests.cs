using static TorchSharp.torch;

namespace StainGrid.Model.Tests;

public sealed class GlobalPixelTransformerTests
{
    private static readonly string[] EightLabels = [.. FluorescenceLabels.All.Select(label => label.Name)];

    /// <summary>Every kind of network that the options can name.</summary>
    public static TheoryData<NetworkVariant, Resampling, BlockKind> Kinds => new(
        from variant in Enum.GetValues<NetworkVariant>()
        from resampling in Enum.GetValues<Resampling>()
        from block in Enum.GetValues<BlockKind>()
        select (variant, resampling, block));

    [Theory]
    [InlineData(NetworkVariant.Paper, 5_507_628)]
    [InlineData(NetworkVariant.Residual, 5_510_972)]
    public void The_default_network_has_the_widths_of_table_II_and_five_and_a_half_million_parameters(NetworkVariant variant, long parameters)
    {
        var options = new NetworkOptions { Variant = variant };
        using var network = new GlobalPixelTransformer(options, EightLabels);
        Assert.Equal(parameters, network.parameters().Sum(parameter => parameter.numel()));
        Assert.Equal(parameters, options.ParameterCount(8));
        Assert.Equal(5.5, parameters / 1e6, 1);

        var shapes = network.NamedTensors().ToDictionary(pair => pair.Key, pair => pair.Value.shape);
        Assert.Equal([32, 3, 1, 1], shapes["stem.weight"]);
        Assert.Equal([64, 64, 1, 1], shapes["encoder.0.dense.transition.weight"]);
        Assert.Equal([128, 128, 1, 1], shapes["encoder.1.dense.transition.weight"]);
        Assert.Equal([256, 256, 1, 1], shapes["encoder.2.dense.transition.weight"]);
        Assert.Equal([256, 256, 3, 3], shapes["encoder.2.down.query.weight"]);
        Assert.Equal([384, 384, 3, 3], shapes["bottom.same.query.weight"]);
        Assert.Equal([384, 192, 3, 3], shapes["decoder.0.up.query.weight"]);
        Assert.Equal([224, 448, 1, 1], shapes["decoder.0.fuse.weight"]);
        Assert.Equal([288, 288, 1, 1], shapes["decoder.0.dense.transition.weight"]);
        Assert.Equal([136, 272, 1, 1], shapes["decoder.1.fuse.weight"]);
        Assert.Equal([168, 168, 1, 1], shapes["decoder.1.dense.transition.weight"]);
        Assert.Equal([74, 148, 1, 1], shapes["decoder.2.fuse.weight"]);
        Assert.Equal([90, 90, 1, 1], shapes["decoder.2.dense.transition.weight"]);
        Assert.Equal([256, 90, 1, 1], shapes["heads.DAPI_CONFOCAL.weight"]);
    }

    [Fact]
    public void The_names_of_the_tensors_are_those_of_the_design()
    {
        string[] norm = ["norm.bias", "norm.running_mean", "norm.running_var", "norm.weight"];
        string[] gpt = [.. norm, "query.weight", "key.weight", "value.weight"];
        static IEnumerable<string> Under(string place, IEnumerable<string> names) => names.Select(name => $"{place}.{name}");
        IEnumerable<string> Dense(string place, int layers) =>
        [
            .. Enumerable.Range(0, layers).SelectMany(i => Under($"{place}.dense.layers.{i}", [.. norm, "conv.weight"])),
            $"{place}.dense.transition.weight",
        ];
        string[] expected =
        [
            "stem.weight",
            .. Dense("encoder.0", 2), .. Under("encoder.0.down", gpt),
            .. Dense("encoder.1", 4), .. Under("encoder.1.down", gpt),
            .. Dense("encoder.2", 8), .. Under("encoder.2.down", gpt),
            .. Dense("bottom", 8), .. Under("bottom.same", gpt),
            .. Dense("decoder.0", 4), .. Under("decoder.0.up", gpt), "decoder.0.fuse.weight",
            .. Dense("decoder.1", 2), .. Under("decoder.1.up", gpt), "decoder.1.fuse.weight",
            .. Dense("decoder.2", 1), .. Under("decoder.2.up", gpt), "decoder.2.fuse.weight",
            "heads.DEAD_CONFOCAL.weight", "heads.DEAD_CONFOCAL.bias",
        ];

        using var network = new GlobalPixelTransformer(new NetworkOptions { StemChannels = 4, Growth = 2 }, ["DEAD_CONFOCAL"]);
        Assert.Equal(expected.Order(StringComparer.Ordinal), network.NamedTensors().Keys);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_parameter_count_is_that_of_the_network_built(NetworkVariant variant, Resampling resampling, BlockKind block)
    {
        var options = new NetworkOptions
        {
            Variant = variant,
            Resampling = resampling,
            Block = block,
            StemChannels = 5,
            Growth = 3,
            EncoderLayers = [1, 2],
            BottomLayers = 3,
            DecoderLayers = [2, 1],
            PatchScales = [128],
            Levels = 7,
        };
        using var network = new GlobalPixelTransformer(options, ["A", "B"]);
        Assert.Equal(network.parameters().Sum(parameter => parameter.numel()), options.ParameterCount(2));
    }

    [Fact]
    public void Features_and_logits_keep_the_size_of_any_input_that_the_stages_divide()
    {
        using var scope = NewDisposeScope();
        using var network = new GlobalPixelTransformer(new NetworkOptions(), ["DAPI_CONFOCAL", "NFH_CONFOCAL"]);
        using var gradients = no_grad();
        var features = network.Features(zeros(2, 3, 16, 24));
        Assert.Equal([2, 90, 16, 24], features.shape);
        Assert.Equal([2, 256, 16, 24], network.Logits(features, 1).shape);
        Assert.Throws<ArgumentOutOfRangeException>(() => network.Logits(features, 2));
        Assert.Throws<ArgumentException>(() => network.Features(zeros(1, 3, 16, 20)));
        Assert.Throws<ArgumentException>(() => network.Features(zeros(1, 1, 16, 16)));
        Assert.Throws<ArgumentException>(() => network.Features(zeros(3, 16, 16)));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_training_step_reaches_every_parameter(NetworkVariant variant, Resampling resampling, BlockKind block)
    {
        // Without dropout, which can silence a layer of two channels, and with its own generator: the tests run in parallel.
        using var scope = NewDisposeScope();
        var generator = new Generator(3);
        var options = new NetworkOptions { Variant = variant, Resampling = resampling, Block = block, StemChannels = 4, Growth = 2, Levels = 5, Dropout = 0 };
        using var network = new GlobalPixelTransformer(options, ["A", "B"], seed: 3);
        network.train();
        var features = network.Features(randn([2, 3, 32, 32], generator: generator));
        var target = randint(0, 5, [2, 32, 32], dtype: ScalarType.Int64, generator: generator);
        var loss = nn.functional.cross_entropy(network.Logits(features, 0), target) + nn.functional.cross_entropy(network.Logits(features, 1), target);
        loss.backward();
        foreach (var (name, parameter) in network.named_parameters())
            Assert.True(parameter.grad is { } gradient && gradient.isfinite().all().item<bool>() && gradient.abs().sum().item<float>() > 0, name);
    }

    [Fact]
    public void Dropout_and_batch_statistics_act_in_training_only()
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        using var network = new GlobalPixelTransformer(new NetworkOptions { StemChannels = 4, Growth = 2 }, ["A"]);
        var input = randn(1, 3, 16, 16);
        var first = network.Features(input);
        Assert.True(first.equal(network.Features(input)).all().item<bool>());
        network.train();
        Assert.False(network.Features(input).equal(network.Features(input)).all().item<bool>());
        network.eval();
        Assert.False(first.equal(network.Features(input)).all().item<bool>());   // the running statistics moved
    }

    [Fact]
    public void A_network_made_inside_a_dispose_scope_outlives_it_and_leaves_no_tensor_there()
    {
        GlobalPixelTransformer network;
        using (var scope = NewDisposeScope())
            network = new GlobalPixelTransformer(new NetworkOptions { StemChannels = 4, Growth = 2 }, ["A"]);
        using (network)
        using (var scope = NewDisposeScope())
        using (no_grad())
        {
            var input = zeros(1, 3, 16, 16);
            var features = network.Features(input);
            var logits = network.Logits(features, 0);
            Assert.Equal(3, scope.DisposablesCount);
            Assert.Equal(0, logits.isnan().sum().item<long>());
        }
    }

    [Theory]
    [InlineData(0, 16, "stem")]
    [InlineData(32, 0, "growth")]
    [InlineData(513, 16, "stem")]
    [InlineData(512, 128, "parameters")]
    public void Options_out_of_bounds_are_refused(int stem, int growth, string word)
    {
        var options = new NetworkOptions { StemChannels = stem, Growth = growth, EncoderLayers = [64, 64, 64], BottomLayers = 64, DecoderLayers = [64, 64, 64] };
        Assert.Contains(word, Assert.Throws<ArgumentException>(options.Validate).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_that_make_no_network_are_refused()
    {
        NetworkOptions[] wrong =
        [
            new() { PatchScales = [] }, new() { PatchScales = [128, 128] }, new() { PatchScales = [127] }, new() { PatchScales = [8192] },
            new() { EncoderLayers = [] , DecoderLayers = [] }, new() { DecoderLayers = [1] }, new() { EncoderLayers = [2, 0, 2] },
            new() { BottomLayers = 65 }, new() { Dropout = 1 }, new() { Dropout = double.NaN }, new() { Levels = 1 },
            new() { Levels = int.MaxValue }, new() { Variant = (NetworkVariant)7 }, new() { PatchScales = null! },
        ];
        foreach (var options in wrong)
            Assert.Throws<ArgumentException>(() => new GlobalPixelTransformer(options, ["A"]));
        Assert.Throws<ArgumentException>(() => new GlobalPixelTransformer(new NetworkOptions(), []));
        Assert.Throws<ArgumentException>(() => new GlobalPixelTransformer(new NetworkOptions(), ["A", "A"]));
        Assert.Throws<ArgumentException>(() => new GlobalPixelTransformer(new NetworkOptions(), ["A.weight"]));
    }

    [Fact]
    public void Initial_weights_depend_on_the_seed_and_the_tensors_name_alone()
    {
        var small = new NetworkOptions { StemChannels = 4, Growth = 2 };
        using var one = new GlobalPixelTransformer(small, ["A", "B"], seed: 5);
        manual_seed(99);
        using var two = new GlobalPixelTransformer(small with { Variant = NetworkVariant.Paper }, ["B"], seed: 5);
        using var other = new GlobalPixelTransformer(small, ["A", "B"], seed: 6);
        var first = one.NamedTensors();
        foreach (var (name, tensor) in two.NamedTensors())
            Assert.Equal(first[name].bytes.ToArray(), tensor.bytes.ToArray());
        Assert.NotEqual(first["stem.weight"].bytes.ToArray(), other.NamedTensors()["stem.weight"].bytes.ToArray());

        // Known answers: the stream of SHA-256("5/stem.weight"), computed by hand in Python.
        Assert.Equal(StemOfSeed5, first["stem.weight"].data<float>().Take(4));
    }

    [Fact]
    public void Initial_activations_neither_vanish_nor_explode()
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        foreach (var variant in Enum.GetValues<NetworkVariant>())
        {
            using var network = new GlobalPixelTransformer(new NetworkOptions { Variant = variant }, ["A"], seed: 1);
            network.train();
            manual_seed(1);
            var features = network.Features(rand(2, 3, 32, 32) * 2 - 1);
            double deviation = features.std().item<float>();
            Assert.InRange(deviation, 0.05, 20);
        }
    }

    private static readonly float[] StemOfSeed5 = [0.9025959968566895f, 0.9943178296089172f, -0.18414725363254547f, 0.40080341696739197f];
}

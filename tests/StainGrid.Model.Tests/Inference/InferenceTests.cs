using System.Runtime.Intrinsics;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests;

/// <summary>The optimised path against the plain one, on random weights and inputs.</summary>
public sealed class InferenceTests
{
    private static readonly MapLayer[] AllLayers = Enum.GetValues<MapLayer>();

    [Fact]
    public void The_power_of_two_is_right_to_one_part_in_13_000()
    {
        var random = new Random(1);
        for (int i = 0; i < 10_000; i++)
        {
            float x = -(float)(random.NextDouble() * (i % 2 == 0 ? 1 : 100));
            Assert.Equal(1, BFloat16Vector.Exp2(Vector512.Create(x)).ToScalar() / Math.Pow(2, x), 1 / 13_000.0);
        }

        Assert.Equal(1, BFloat16Vector.Exp2(Vector512<float>.Zero)[7], 1 / 13_000.0);
        Assert.InRange(BFloat16Vector.Exp2(Vector512.Create(float.NegativeInfinity)).ToScalar(), 0, 1e-30f);
    }

    [Fact]
    public void The_power_of_two_of_bfloat16s_is_right_to_one_part_in_115()
    {
        var random = new Random(2);
        for (int i = 0; i < 10_000; i++)
        {
            float shift = (float)(random.NextDouble() * 200 - 100);
            ushort[] scores = [.. Enumerable.Range(0, 2 * BFloat16Vector.Lanes).Select(_ => BFloat16Vector.FromSingle(shift - 0.5f - (float)random.NextDouble() * (i % 2 == 0 ? 2 : 90)))];
            var powers = Powers(scores, shift);
            for (int lane = 0; lane < BFloat16Vector.Lanes; lane++)
            {
                Assert.Equal(1, BFloat16Vector.First(powers)[lane] / Math.Pow(2, BFloat16Vector.ToSingle(scores[2 * lane]) - (double)shift), 1 / 115.0);
                Assert.Equal(1, BFloat16Vector.Second(powers)[lane] / Math.Pow(2, BFloat16Vector.ToSingle(scores[2 * lane + 1]) - (double)shift), 1 / 115.0);
            }
        }

        Assert.Equal(1, BFloat16Vector.First(Powers(new ushort[32], 0))[3], 1e-4);
        Assert.InRange(BFloat16Vector.First(Powers(new ushort[32], 1e30f))[3], 0, 1e-30f);

        static Vector512<uint> Powers(ushort[] scores, float shift)
        {
            var pairs = Vector512.LoadUnsafe(ref System.Runtime.CompilerServices.Unsafe.As<ushort, uint>(ref scores[0]));
            var (units, offset) = (Vector512.Create((float)BFloat16Vector.ExponentUnits), Vector512.Create(BFloat16Vector.ExponentOffset(shift)));
            return BFloat16Vector.Exp2Pairs(Vector512.FusedMultiplyAdd(BFloat16Vector.First(pairs), units, offset), Vector512.FusedMultiplyAdd(BFloat16Vector.Second(pairs), units, offset));
        }
    }

    [Fact]
    public void Rounding_is_torch_s_but_for_ties()
    {
        float[] values = [.. Enumerable.Range(0, 4096).Select(_ => (float)Math.Tan(Random.Shared.NextDouble() * 3)), 0, -0f, 1e30f, -1e-30f];
        using var rounded = tensor(values).to(ScalarType.BFloat16).to(ScalarType.Float32);
        float[] expected = rounded.data<float>().ToArray();
        var buffer = new ushort[BFloat16Vector.Lanes];
        for (int i = 0; i < values.Length; i++)
        {
            if ((BitConverter.SingleToUInt32Bits(values[i]) & 0xFFFF) == 0x8000)
                continue;
            Assert.Equal(expected[i], BFloat16Vector.ToSingle(BFloat16Vector.FromSingle(values[i])));
            BFloat16Vector.Store(Vector512.Create(values[i]), ref buffer[0]);
            Assert.Equal(expected[i], BFloat16Vector.Load(ref buffer[0])[BFloat16Vector.Lanes - 1]);
        }
    }

    [Theory]
    [InlineData(1, 1, 1, 4096)]
    [InlineData(513, 37, 3, 4096)]
    [InlineData(40, 4097, 17, 4096)]
    [InlineData(700, 100, 84, 33)]
    [InlineData(16, 64, 144, 64)]
    [InlineData(5, 1000, 33, 1)]
    public void Attention_is_the_softmax_of_all_scores_whatever_the_blocks(int queries, int keys, int channels, int keyBlock)
    {
        using var scope = NewDisposeScope();
        using var scratch = new Scratch();
        var random = new Random(queries);
        Tensor Random(int rows, double size) => Noise(random, rows, channels, size).to(ScalarType.BFloat16);
        Tensor q = Random(queries, 2), k = Random(keys, 2), v = Random(keys, 1);

        // Scores rise along the keys, so that each block of them has a new maximum; all scores of the first query are negative, and far apart.
        k = k + linspace(-1, 1, keys).unsqueeze(1);
        k.select(1, 0).abs_().add_(0.5);
        k = k.to(ScalarType.BFloat16);
        q.select(0, 0).fill_(0);
        q.select(0, 0).select(0, 0).fill_(-100);
        var values = zeros([keys, BlockedAttention.PaddedColumns(channels)], ScalarType.BFloat16);
        values.narrow(1, 0, channels).copy_(v);
        foreach (bool residual in (bool[])[false, true])
        {
            // Some columns of a wider matrix, as a decoder's: the others must stay.
            var wide = new PixelMatrix(full([queries, channels + 5], 7, ScalarType.BFloat16));
            new BlockedAttention(keyBlock).Run(new PixelMatrix(q), new PixelMatrix(k), new PixelMatrix(values), residual, wide.ColumnsFrom(3, channels), scratch);
            var scores = q.to(ScalarType.Float64).matmul(k.to(ScalarType.Float64).t()) * Math.Log(2);
            var expected = scores.softmax(1).matmul(v.to(ScalarType.Float64));
            if (residual)
                expected += q.to(ScalarType.Float64);
            var actual = wide.Values.to(ScalarType.Float64);
            var errors = (actual.narrow(1, 3, channels) - expected).abs().mean([1]) / expected.abs().mean();   // of each query
            Assert.InRange(errors.median().item<double>(), 0, 0.04);
            Assert.InRange(errors.max().item<double>(), 0, 0.2);   // scores of some hundred are rounded to whole numbers
            Assert.Equal(7, actual.narrow(1, 0, 3).min().item<double>());
            Assert.Equal(7, actual.narrow(1, channels + 3, 2).max().item<double>());
        }
    }

    [Theory]
    [InlineData(1, 1, 3, 16)]
    [InlineData(5, 7, 74, 16)]
    [InlineData(3, 4, 33, 5)]
    [InlineData(16, 1, 20, 37)]
    public void A_block_s_layer_is_convolution_batch_norm_and_ReLU(int height, int width, int channels, int growth)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        using var network = new GlobalPixelTransformer(
            new NetworkOptions { StemChannels = channels, Growth = growth, EncoderLayers = [1], DecoderLayers = [1], BottomLayers = 1 }, ["A"]);
        var random = new Random(height);
        RandomWeights.Fill(network, random);
        using var layer = new DenseConvolution(new NetworkWeights(network), "encoder.0.dense.layers.0");
        var block = new PixelMatrix(Noise(random, height * width, channels + growth, 1).to(ScalarType.BFloat16));
        var input = block.Values.narrow(1, 0, channels).to(ScalarType.Float32);
        layer.Run(block.ColumnsFrom(0, channels), block.ColumnsFrom(channels, growth),
            new PixelMatrix(empty([height * width, layer.ProductColumns], ScalarType.BFloat16)), height, width);

        using var plain = new BlockLayer(channels, growth, 0);
        plain.eval();
        foreach (var (name, parameter) in plain.named_parameters().Select(pair => (pair.name, (Tensor)pair.parameter))
            .Concat(plain.named_buffers().Where(pair => pair.buffer.dim() == 1).Select(pair => (pair.name, pair.buffer))))
        {
            parameter.copy_(network.NamedTensors()["encoder.0.dense.layers.0." + name]);
        }

        var expected = plain.call(input.view(1, height, width, channels).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(-1, growth);
        AssertClose(expected, block.Values.narrow(1, channels, growth), 0.02);
        Assert.Equal(0, (block.Values.narrow(1, 0, channels).to(ScalarType.Float32) - input).abs().max().item<float>());
    }

    [Theory]
    [InlineData(2, 5)]
    [InlineData(31, 17)]
    [InlineData(33, 90)]
    [InlineData(256, 90)]
    public void A_head_s_layers_are_those_of_the_plain_softmax(int levels, int channels)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        using var network = new GlobalPixelTransformer(
            new NetworkOptions { StemChannels = 2 * channels, Growth = 1, EncoderLayers = [1], DecoderLayers = [1], BottomLayers = 1, Levels = levels }, ["A"]);
        var random = new Random(levels);
        RandomWeights.Fill(network, random);
        int features = network.Options.FeatureChannels, rows = 45;
        using var head = new DistributionHead(new NetworkWeights(network), "heads.A");
        var input = new PixelMatrix((Noise(random, rows, features, 2)).to(ScalarType.BFloat16));
        float[] images = [.. Enumerable.Repeat(-1f, AllLayers.Length * (rows + 2))];
        var computed = new PixelMatrix(empty([rows, head.Columns + 9], ScalarType.BFloat16)).ColumnsFrom(7, head.Columns);
        computed.SetProduct(input.Values, head.Weight);
        head.Run(computed, AllLayers, images, 1, rows + 2);

        var logits = network.Logits(input.Values.to(ScalarType.Float32).t().reshape(1, features, rows, 1), 0);
        float[] expected = DistributionStatistics.Of(logits, AllLayers).contiguous().data<float>().ToArray();
        var p = logits.softmax(1).squeeze();                                                    // [levels, rows]
        for (int row = 0; row < rows; row++)
        {
            double At(MapLayer layer) => images[Array.IndexOf(AllLayers, layer) * (rows + 2) + 1 + row];
            double Plain(MapLayer layer) => expected[Array.IndexOf(AllLayers, layer) * rows + row];
            foreach (var layer in (MapLayer[])[MapLayer.Mean, MapLayer.SecondMoment, MapLayer.Entropy])
                Assert.Equal(Plain(layer), At(layer), 0.01);

            // Levels that are about as likely, or about the half, may change places by the rounding.
            float[] weights = p.select(1, row).contiguous().data<float>().ToArray();
            Assert.InRange(weights[(int)Math.Round(At(MapLayer.Mode) * (levels - 1))], weights.Max() * 0.9f, 1);
            int median = (int)Math.Round(At(MapLayer.Median) * (levels - 1));
            Assert.InRange(weights.Take(median).Sum(), 0, 0.52f);
            Assert.InRange(weights.Take(median + 1).Sum(), 0.48f, 1.001f);
        }

        for (int layer = 0; layer < AllLayers.Length; layer++)
            Assert.Equal((-1f, -1f), (images[layer * (rows + 2)], images[layer * (rows + 2) + rows + 1]));
    }

    [Theory]
    [MemberData(nameof(GlobalPixelTransformerTests.Kinds), MemberType = typeof(GlobalPixelTransformerTests))]
    public void Every_kind_of_network_predicts_what_its_modules_do(NetworkVariant variant, Resampling resampling, BlockKind block)
    {
        var options = new NetworkOptions
        {
            Variant = variant,
            Resampling = resampling,
            Block = block,
            StemChannels = 7,
            Growth = 5,
            EncoderLayers = [2, 1],
            BottomLayers = 3,
            DecoderLayers = [1, 2],
            Levels = 40,
        };
        Compare(options, 24, 12);
    }

    [Theory]
    [InlineData(NetworkVariant.Paper)]
    [InlineData(NetworkVariant.Residual)]
    public void The_paper_s_network_predicts_what_its_modules_do(NetworkVariant variant) => Compare(new NetworkOptions { Variant = variant }, 64, 48);

    [Fact]
    public void Modules_of_rounded_weights_predict_what_they_did()
    {
        // The way of accelerators, on the cpu.
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        using var model = StainModel.Create(new NetworkOptions { StemChannels = 8, Growth = 4 }, [FluorescenceLabels.DapiConfocal, FluorescenceLabels.NfhConfocal], 5);
        var patches = Noise(new Random(1), 2 * 3, 16 * 16, 1).view(2, 3, 16, 16);
        var pass = new ModulePass(model);
        float[] exact = new float[2 * 2 * 2 * 256], rounded = new float[exact.Length];
        pass.Run(patches, [1, 0], [MapLayer.Mean, MapLayer.Entropy], exact);
        model.RoundWeights();
        pass.Run(patches, [1, 0], [MapLayer.Mean, MapLayer.Entropy], rounded);
        AssertClose(tensor(exact), tensor(rounded), 0.02);
        Assert.NotEqual(exact, rounded);
    }

    private static void Compare(NetworkOptions options, int height, int width)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        using var network = new GlobalPixelTransformer(options, ["A", "B", "C"], seed: 4);
        RandomWeights.Fill(network, new Random(3), name => name.Contains(".norm.", StringComparison.Ordinal) || name.EndsWith(".bias", StringComparison.Ordinal));
        using var inference = new InferenceNetwork(network);
        using var scratch = new Scratch();
        int pixels = height * width;
        float[] first = [];
        for (int repeat = 0; repeat < 2; repeat++)
        {
            using var one = NewDisposeScope();
            var patches = Noise(new Random(6), 3, height * width, 1).view(1, 3, height, width);   // torch's generator is all tests' together
            var features = network.Features(patches);
            AssertClose(features.flatten(2).squeeze(0).t(), inference.Features(patches, scratch).Values, 0.03);

            // The labels that were asked for, in their order.
            int[] labels = [2, 0];
            var images = new float[labels.Length * AllLayers.Length * pixels];
            inference.Predict(patches, labels, AllLayers, images, scratch);
            float[] expected = cat([.. labels.Select(label => DistributionStatistics.Of(network.Logits(features, label), AllLayers))], 1).contiguous().data<float>().ToArray();
            foreach (int image in (int[])[0, 1, 4, AllLayers.Length])
            {
                var errors = Enumerable.Range(image * pixels, pixels).Select(i => Math.Abs(images[i] - expected[i]));
                Assert.InRange(errors.Average(), 0, 0.004);
            }

            Assert.Equal(repeat == 0 ? images : first, images);   // what scratch holds of the tile before does not matter
            first = images;

            // Another tile between the two.
            inference.Features(rand([1, 3, height, width]) * 100, scratch);
        }
    }

    private static Tensor Noise(Random random, int rows, int columns, double size) =>
        tensor(Enumerable.Range(0, rows * columns).Select(_ => (float)((random.NextDouble() * 2 - 1) * size)).ToArray(), [rows, columns]);

    private static void AssertClose(Tensor expected, Tensor actual, double tolerance)
    {
        var want = expected.to(ScalarType.Float64);
        double error = (actual.to(ScalarType.Float64) - want).abs().mean().item<double>(), size = (want - want.mean()).abs().mean().item<double>();
        Assert.InRange(error, 0, tolerance * size);
        Assert.True(size > 1e-4, "There is nothing to compare.");
    }
}

using System.Globalization;
using StainGrid.TestSupport;
using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests;

public sealed class StainModelTests : IDisposable
{
    private static readonly NetworkOptions Small = new() { StemChannels = 4, Growth = 2, Levels = 8 };
    private static readonly LabelInfo[] Labels = [FluorescenceLabels.DapiConfocal with { Low = 100, High = 4000 }, FluorescenceLabels.NfhConfocal];

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void A_saved_model_predicts_the_same_when_it_is_loaded(ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        string path = folder.File("m.safetensors");
        using var model = StainModel.Create(Small, Labels, seed: 7);
        RandomWeights.Fill(model.Network, new Random(1));
        var metadata = model.Metadata with
        {
            Normalisation = new NormalisationRule { LowPercentile = 1, HighPercentile = 99, Clamp = false },
            Training = new TrainingSummary { Text = "Trained on \"x\".", Values = new Dictionary<string, string> { ["steps"] = "10" } },
            Licence = "CC-BY-4.0",
        };
        model.Describe(metadata);
        model.Save(path, type);

        using var loaded = StainModel.Load(path, CPU);
        Assert.Equal(metadata, loaded.Metadata);
        Assert.Equal(model.Sha256, loaded.Sha256);
        Assert.False(loaded.Network.training);
        foreach (var kernel in model.Network.NamedTensors().Values.Where(tensor => tensor.dim() > 1))
            kernel.copy_(kernel.to(type));   // what bfloat16 rounds away is all that may differ
        var input = rand(1, 3, 16, 16);
        var expected = model.Network.Logits(model.Network.Features(input), 1);
        var actual = loaded.Network.Logits(loaded.Network.Features(input), 1);
        Assert.Equal(expected.bytes.ToArray(), actual.bytes.ToArray());
    }

    [Fact]
    public void Bfloat16_halves_the_file_and_keeps_the_vectors_exact()
    {
        using var model = StainModel.Create(new NetworkOptions(), [FluorescenceLabels.DeadConfocal], seed: 1);
        model.Save(folder.File("32"));
        model.Save(folder.File("16"), ScalarType.BFloat16);
        Assert.InRange((double)new FileInfo(folder.File("16")).Length / new FileInfo(folder.File("32")).Length, 0.49, 0.52);
        using var file = SafetensorsFile.Read(folder.File("16"));
        Assert.Equal(ScalarType.Float32, file.Tensors["bottom.same.norm.running_var"].dtype);
        Assert.Equal(ScalarType.BFloat16, file.Tensors["bottom.same.key.weight"].dtype);
        Assert.Throws<ArgumentException>(() => model.Save(folder.File("64"), ScalarType.Float64));
    }

    [Fact]
    public void The_same_seed_gives_the_same_file_and_another_seed_another()
    {
        using var a = StainModel.Create(Small, Labels, seed: 1);
        string hash = a.Sha256;
        random.manual_seed(5);
        using var b = StainModel.Create(Small, Labels, seed: 1);
        using var c = StainModel.Create(Small, Labels, seed: 2);
        a.Save(folder.File("a"));
        b.Save(folder.File("b"));
        c.Save(folder.File("c"));
        Assert.Equal(File.ReadAllBytes(folder.File("a")), File.ReadAllBytes(folder.File("b")));
        Assert.NotEqual(File.ReadAllBytes(folder.File("a")), File.ReadAllBytes(folder.File("c")));
        Assert.Equal(hash, a.Sha256);
        Assert.Equal(hash, b.Sha256);
    }

    [Fact]
    public void The_bytes_of_a_new_model_do_not_change_from_version_to_version()
    {
        // If this changes on purpose, every "model init --seed" in the world changes with it: say so in the release notes.
        using var model = StainModel.Create(Small, Labels, seed: 1);
        Assert.StartsWith("3bb0689bc20df065555ed9fce551e6b4c07c91f9f753051b97", model.Sha256, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("encoder.0.down.query.weight", "is missing")]
    [InlineData("heads.NFH_CONFOCAL.bias", "is missing")]
    [InlineData("bottom.dense.layers.3.norm.running_mean", "is missing")]
    public void A_missing_tensor_is_named(string name, string words) => AssertRefused(tensors => tensors.Remove(name), name, words);

    [Fact]
    public void An_extra_tensor_is_named() => AssertRefused(tensors => tensors["stem.bias"] = zeros(4), "stem.bias", "not one of the network");

    [Fact]
    public void A_tensor_of_another_shape_or_type_is_named()
    {
        AssertRefused(tensors => tensors["stem.weight"] = zeros(4, 3), "stem.weight", "[4, 3, 1, 1]");
        AssertRefused(tensors => tensors["stem.weight"] = zeros(3, 4, 1, 1), "stem.weight", "[4, 3, 1, 1]");
        AssertRefused(tensors => tensors["stem.weight"] = zeros(4, 3, 1, 1, dtype: ScalarType.Int64), "stem.weight", "Int64");
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Weights_that_are_not_numbers_are_refused(float value) =>
        AssertRefused(tensors => tensors["bottom.same.key.weight"] = tensors["bottom.same.key.weight"].clone().index_put_(tensor(value), [tensor(0L), tensor(1L)]), "bottom.same.key.weight", "NaN");

    [Fact]
    public void A_negative_variance_is_refused() =>
        AssertRefused(tensors => tensors["bottom.same.norm.running_var"] = tensors["bottom.same.norm.running_var"] - 2, "running_var", "negative");

    [Fact]
    public void PyTorchs_batch_counters_are_ignored()
    {
        using var model = Load(tensors => tensors["bottom.same.norm.num_batches_tracked"] = tensor(5L), strings => strings);
        Assert.Equal(Labels, model.Metadata.Labels);
    }

    [Fact]
    public void A_file_of_the_other_variant_is_refused()
    {
        string other = new ModelMetadata { Network = Small with { Variant = NetworkVariant.Paper }, Labels = Labels }.ToStrings()["staingrid.network"];
        AssertMetadataRefused("staingrid.network", _ => other, "norm");
        other = new ModelMetadata { Network = Small with { Resampling = Resampling.Convolution }, Labels = Labels }.ToStrings()["staingrid.network"];
        AssertMetadataRefused("staingrid.network", _ => other, "bottom.same.key.weight");
    }

    [Fact]
    public void Metadata_that_claims_a_huge_network_is_refused_before_it_is_built()
    {
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"stem_channels\":4", "\"stem_channels\":512"), "describes a network of");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"stem_channels\":4", "\"stem_channels\":2147483647"), "1 to 512");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"levels\":8", "\"levels\":100000"), "2 to 4096");
    }

    [Fact]
    public void Metadata_that_is_wrong_is_refused()
    {
        AssertMetadataRefused("staingrid.format", _ => "2", "format '2'");
        AssertMetadataRefused("staingrid.format", _ => "one", "format 'one'");
        AssertMetadataRefused("staingrid.network", _ => "", "cannot be read");
        AssertMetadataRefused("staingrid.network", _ => "null", "null");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"Residual\"", "\"Other\""), "cannot be read");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"Residual\"", "17"), "variant|cannot be read");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"growth\":2,", ""), "growth");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"growth\":2,", "\"growth\":2,\"growth\":3,"), "cannot be read");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "\"growth\":2,", "\"growth\":2,\"newer\":3,"), "newer");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "[128,256,64]", "null"), "patch scales");
        AssertMetadataRefused("staingrid.network", json => Replace(json, "[128,256,64]", new string('[', 1000)), "cannot be read");
        AssertMetadataRefused("staingrid.labels", _ => "[]", "labels");
        AssertMetadataRefused("staingrid.labels", _ => "[null]", "labels");
        AssertMetadataRefused("staingrid.labels", json => Replace(json, "DAPI_CONFOCAL", "DAPI.weight"), "name");
        AssertMetadataRefused("staingrid.labels", json => Replace(json, "DAPI_CONFOCAL", "NFH_CONFOCAL"), "twice");
        AssertMetadataRefused("staingrid.labels", json => Replace(json, "\"low\":100", "\"low\":4000"), "range");
        AssertMetadataRefused("staingrid.labels", json => Replace(json, "\"3D6BFF\"", "\"blue\""), "colour");
        AssertMetadataRefused("staingrid.normalisation", json => Replace(json, "99.9", "0.1"), "percentiles");
        AssertMetadataRefused("staingrid.training", json => Replace(json, "\"values\":{}", "\"values\":{\"a\":null}"), "null");
        AssertMetadataRefused("staingrid.training", json => Replace(json, "\"values\":{}", "\"values\":null"), "null");
    }

    [Fact]
    public void A_safetensors_file_of_something_else_is_refused()
    {
        using var scope = NewDisposeScope();
        SafetensorsFile.Write(folder.File("x"), new Dictionary<string, Tensor> { ["a"] = zeros(2) }, new Dictionary<string, string>());
        Assert.Contains("not a StainGrid model", Assert.Throws<ModelFileException>(() => StainModel.Load(folder.File("x"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Describing_another_network_is_refused()
    {
        using var model = StainModel.Create(Small, Labels, seed: 1);
        Assert.Throws<ArgumentException>(() => model.Describe(model.Metadata with { Network = Small with { Growth = 3 } }));
        Assert.Throws<ArgumentException>(() => model.Describe(model.Metadata with { Labels = [Labels[1], Labels[0]] }));
        Assert.Throws<ArgumentException>(() => model.Describe(model.Metadata with { Normalisation = new NormalisationRule { LowPercentile = 100 } }));
        model.Describe(model.Metadata with { Labels = [Labels[0] with { High = 500 }, Labels[1]] });
        Assert.Equal(500, model.Metadata.Labels[0].High);
    }

    [Fact]
    public void Moving_a_model_moves_every_tensor()
    {
        using var model = StainModel.Create(Small, Labels, seed: 1);
        model.To(META);   // the one device besides the CPU that is everywhere
        Assert.All(model.Network.NamedTensors(), pair => Assert.Equal(DeviceType.META, pair.Value.device_type));
    }

    [Theory]
    [InlineData(true, 50, -1)]
    [InlineData(true, 300, 1)]
    [InlineData(true, 150, 0)]
    [InlineData(false, 250, 2)]
    [InlineData(false, 100, -1)]
    public void Normalisation_maps_low_and_high_to_minus_one_and_one(bool clamp, double intensity, double expected) =>
        Assert.Equal(expected, new NormalisationRule { Clamp = clamp }.Map(intensity, 100, 200), 12);

    [Fact]
    public void A_flat_plane_is_zero() => Assert.Equal(0, new NormalisationRule().Map(7, 7, 7));

    [Fact]
    public void The_eight_labels_are_the_designs()
    {
        string[] names = ["DAPI_CONFOCAL", "DAPI_WIDEFIELD", "CELLMASK_CONFOCAL", "TUJ1_WIDEFIELD", "NFH_CONFOCAL", "MAP2_CONFOCAL", "ISLET_WIDEFIELD", "DEAD_CONFOCAL"];
        Assert.Equal(names, FluorescenceLabels.All.Select(label => label.Name));
        Assert.Equal(8, FluorescenceLabels.All.Select(label => label.Colour).Distinct().Count());
        Assert.All(FluorescenceLabels.All, label => label.Validate());
        Assert.Same(FluorescenceLabels.NfhConfocal, FluorescenceLabels.Find("nfh_confocal"));
        Assert.Null(FluorescenceLabels.Find("GFP"));
    }

    private StainModel Load(Action<Dictionary<string, Tensor>> change, Func<Dictionary<string, string>, Dictionary<string, string>> describe)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        using var model = StainModel.Create(Small, Labels, seed: 1);
        var tensors = model.Network.NamedTensors().ToDictionary();
        change(tensors);
        string path = folder.File("changed.safetensors");
        SafetensorsFile.Write(path, tensors, describe(model.Metadata.ToStrings().ToDictionary()));
        return StainModel.Load(path);
    }

    private void AssertRefused(Action<Dictionary<string, Tensor>> change, params string[] words) => AssertRefused(change, strings => strings, words);

    private void AssertMetadataRefused(string name, Func<string, string> change, string words)
    {
        AssertRefused(_ => { }, strings => { strings[name] = change(strings[name]); return strings; }, words);
        AssertRefused(_ => { }, strings => { strings.Remove(name); return strings; }, name);
    }

    private void AssertRefused(Action<Dictionary<string, Tensor>> change, Func<Dictionary<string, string>, Dictionary<string, string>> describe, params string[] words)
    {
        var error = Assert.Throws<ModelFileException>(() => Load(change, describe));
        Assert.StartsWith(folder.File("changed.safetensors") + ": ", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        foreach (string word in words)
            Assert.True(word.Split('|').Any(alternative => error.Message.Contains(alternative, StringComparison.OrdinalIgnoreCase)), error.Message);
    }

    private static string Replace(string json, string from, string to)
    {
        Assert.Contains(from, json, StringComparison.Ordinal);
        return json.Replace(from, to, false, CultureInfo.InvariantCulture);
    }
}

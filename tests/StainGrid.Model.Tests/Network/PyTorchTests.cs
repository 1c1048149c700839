using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using StainGrid.TestSupport;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests;

/// <summary>The network against tests/pytorch/forward.py, an independent program that reads the same model file.</summary>
public sealed class PyTorchTests : IDisposable
{
    private const string Python = "/usr/bin/python3";
    private const double Tolerance = 1e-4;

    private static readonly Lazy<bool> HasTorch = new(ImportsTorch);

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(NetworkVariant.Residual, false, ScalarType.Float32, 128)]
    [InlineData(NetworkVariant.Residual, true, ScalarType.BFloat16, 64)]
    [InlineData(NetworkVariant.Paper, true, ScalarType.Float32, 64)]
    public void The_full_network_agrees_with_PyTorch(NetworkVariant variant, bool randomStatistics, ScalarType type, int side)
    {
        using var model = StainModel.Create(new NetworkOptions { Variant = variant }, FluorescenceLabels.All, seed: 1);
        if (randomStatistics)
            RandomWeights.Fill(model.Network, new Random(1), name => name.Contains(".norm.", StringComparison.Ordinal));
        Compare(model, [1, 3, side, side], type);
    }

    [Theory]
    [MemberData(nameof(GlobalPixelTransformerTests.Kinds), MemberType = typeof(GlobalPixelTransformerTests))]
    public void Small_networks_of_every_kind_agree_with_PyTorch(NetworkVariant variant, Resampling resampling, BlockKind block)
    {
        var options = new NetworkOptions { Variant = variant, Resampling = resampling, Block = block, PatchScales = [128, 64], StemChannels = 5, Growth = 3, Levels = 9 };
        using var model = StainModel.Create(options, [FluorescenceLabels.DeadConfocal, FluorescenceLabels.NfhConfocal], seed: 4);
        RandomWeights.Fill(model.Network, new Random(2), name => name.Contains(".norm.", StringComparison.Ordinal));
        Compare(model, [2, 2, 24, 16], ScalarType.Float32);
    }

    private void Compare(StainModel model, long[] shape, ScalarType type)
    {
        Assert.SkipUnless(HasTorch.Value, "/usr/bin/python3 has no torch: apt-get install -y --no-install-recommends python3-torch python3-numpy");
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        model.Save(folder.File("model.safetensors"), type);
        using var loaded = StainModel.Load(folder.File("model.safetensors"));
        var patches = rand(shape, generator: new Generator(3)) * 2 - 1;
        File.WriteAllBytes(folder.File("patches.f32"), patches.bytes.ToArray());
        string[] sides = [.. shape.Select(side => side.ToString(CultureInfo.InvariantCulture))];
        Run([Script(), folder.File("model.safetensors"), folder.File("patches.f32"), .. sides, folder.Path]);

        var features = loaded.Network.Features(patches);
        AssertClose("features", features, Expected("features", features));
        for (int label = 0; label < loaded.Network.Labels.Count; label++)
        {
            using var labelScope = NewDisposeScope();
            string name = loaded.Network.Labels[label];
            var logits = loaded.Network.Logits(features, label);
            var expected = Expected(name, logits);
            AssertClose(name, logits, expected);

            Tensor ours = logits.softmax(1), theirs = expected.softmax(1);
            double worst = (ours - theirs).abs().max().item<float>();
            Assert.True(worst < Tolerance, $"{name}: a probability is off by {worst}.");
            var levels = linspace(0, 1, ours.shape[1]).reshape(1, -1, 1, 1);
            double mean = ((ours * levels).sum(1) - (theirs * levels).sum(1)).abs().max().item<float>();
            Assert.True(mean < Tolerance, $"{name}: a mean is off by {mean}.");
        }
    }

    private Tensor Expected(string name, Tensor like)
    {
        var expected = empty(like.shape);
        byte[] bytes = File.ReadAllBytes(folder.File(name + ".f32"));
        Assert.Equal(expected.bytes.Length, bytes.Length);
        expected.bytes = bytes;
        return expected;
    }

    private static void AssertClose(string name, Tensor actual, Tensor expected)
    {
        double largest = expected.abs().max().item<float>(), worst = (actual - expected).abs().max().item<float>();
        Assert.True(largest > 0.01 && expected.std().item<float>() > 0.001, $"{name}: PyTorch's are nearly constant.");
        Assert.True(worst <= Tolerance * largest, $"{name}: off by {worst} of {largest}.");
        TestContext.Current.SendDiagnosticMessage("{0}: off by {1:g2} of {2:g3}", name, worst, largest);
    }

    private static bool ImportsTorch()
    {
        if (!File.Exists(Python))
            return false;
        using var process = Process.Start(new ProcessStartInfo(Python, ["-c", "import torch, numpy"]) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    private static void Run(IEnumerable<string> arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(Python, arguments) { RedirectStandardError = true })!;
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, errors);
    }

    // tests/pytorch/forward.py, from this file's own place.
    private static string Script([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "pytorch", "forward.py"));
}

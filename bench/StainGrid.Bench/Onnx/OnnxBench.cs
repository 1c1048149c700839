using System.Globalization;
using StainGrid.Model;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Bench;

/// <summary>How ONNX Runtime is asked to predict.</summary>
/// <param name="Batch">Tiles in a prediction.</param>
/// <param name="Threads">Threads that share a prediction.</param>
/// <param name="Callers">Predictions side by side, in one session.</param>
internal sealed record OnnxSettings(int Batch, int Threads, int Callers);

/// <summary>What a setting reached.</summary>
/// <param name="Settings">The setting.</param>
/// <param name="TilesPerSecond">In the best of the timings.</param>
/// <param name="OtherCores">Cores that other processes kept busy in that timing: it counts only where cores were left.</param>
internal sealed record OnnxFigure(OnnxSettings Settings, double TilesPerSecond, double OtherCores);

/// <summary>How fast a network is in ONNX Runtime on this machine's cpu.</summary>
internal static class OnnxBench
{
    private const int Timings = 3;
    private const int TilesPerTiming = 16;

    // Means are 0 to 1, but those of a new network all lie within some 0.05 around 0.5; float32 in another order moves them by less than 1e-6.
    private const float Tolerance = 1e-4f;

    /// <summary>Prints the settings' figures for the paper's network with eight labels.</summary>
    public static void Run()
    {
        using var network = new GlobalPixelTransformer(new NetworkOptions(), [.. FluorescenceLabels.All.Select(label => label.Name)], 1);
        Console.WriteLine($"ONNX Runtime, float32, 8 labels, {Environment.ProcessorCount} cores");
        var best = Measure(network, Print);
        Console.Write("best: ");
        Print(best);
    }

    /// <summary>Measures every setting.</summary>
    /// <param name="network">A network on the cpu, in evaluation mode.</param>
    /// <param name="measured">Told each setting's figure.</param>
    /// <returns>The best setting's.</returns>
    /// <exception cref="InvalidOperationException">ONNX Runtime does not compute what the network does.</exception>
    public static OnnxFigure Measure(GlobalPixelTransformer network, Action<OnnxFigure>? measured = null)
    {
        var figures = new List<OnnxFigure>();
        int cores = Environment.ProcessorCount;
        foreach (var (threads, callers) in new[] { (cores, 1), (1, cores) }.Distinct())
        {
            using var peer = new OnnxPeer(network, threads);
            Check(network, peer);
            foreach (int batch in (int[])[1, 4])
            {
                var figure = Measure(peer, new OnnxSettings(batch, threads, callers), RandomPatches(network, batch));
                figures.Add(figure);
                measured?.Invoke(figure);
            }
        }

        return figures.MaxBy(figure => figure.TilesPerSecond)!;
    }

    /// <summary>Refuses a peer whose means are not those of the network.</summary>
    private static void Check(GlobalPixelTransformer network, OnnxPeer peer)
    {
        const int Tiles = 2;
        float[] patches = RandomPatches(network, Tiles);
        float[] actual = peer.Predict(patches, Tiles);
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var features = network.Features(tensor(patches, [Tiles, network.Options.PatchScales.Count, Tile.Size, Tile.Size]));
        var expected = cat([.. Enumerable.Range(0, network.Labels.Count).Select(label =>
            DistributionStatistics.Of(network.Logits(features, label), [MapLayer.Mean]))], 1);
        float difference = (tensor(actual, expected.shape) - expected).abs().max().item<float>();
        if (!(difference < Tolerance))
        {
            throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture,
                $"ONNX Runtime's means differ from the network's by up to {difference:G3}, more than {Tolerance:G1}: it computes something else and is not measured."));
        }
    }

    /// <summary>Measures one setting.</summary>
    public static OnnxFigure Measure(OnnxPeer peer, OnnxSettings settings, float[] patches)
    {
        int repeats = Math.Max(1, TilesPerTiming / (settings.Batch * settings.Callers));
        Predict(1);   // warm-up
        return Enumerable.Range(0, Timings).Select(_ => Time()).MaxBy(figure => figure.TilesPerSecond)!;

        OnnxFigure Time()
        {
            var meter = new Meter();
            Predict(repeats);
            return new OnnxFigure(settings, repeats * settings.Callers * settings.Batch / meter.Seconds, meter.OtherCores);
        }

        void Predict(int times)
        {
            Task[] callers = [.. Enumerable.Range(0, settings.Callers).Select(_ => Task.Factory.StartNew(() =>
            {
                for (int i = 0; i < times; i++)
                    peer.Predict(patches, settings.Batch);
            }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))];
            Task.WaitAll(callers);
        }
    }

    /// <summary>Patches of noise.</summary>
    public static float[] RandomPatches(GlobalPixelTransformer network, int tiles)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, tiles * network.Options.PatchScales.Count * Tile.Size * Tile.Size).Select(_ => 2 * random.NextSingle() - 1)];
    }

    /// <summary>Prints a figure.</summary>
    public static void Print(OnnxFigure figure) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"batch {figure.Settings.Batch}, intra-op threads {figure.Settings.Threads}, calls side by side {figure.Settings.Callers}: {figure.TilesPerSecond:F2} tiles/s (others' {figure.OtherCores:F1} cores)"));
}

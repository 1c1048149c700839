using System.Diagnostics;
using System.Globalization;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Bench;

/// <summary>A training step of four whole tiles and three labels, every pixel in the loss: ours in bfloat16 (blocked attention and heads) against the same
/// network in plain float32 TorchSharp (libtorch's own attention, cross-entropy by its operations), and the parts of it; in turns, as ratios.</summary>
internal static class TrainingBench
{
    private static readonly TrainingOptions Whole = new() { BatchSize = 4, SmallTileShare = 0, LossStride = 1, Steps = 1_000_000 };

    /// <summary>Prints the medians of the rounds, and the least and most ratio.</summary>
    public static void Run(int rounds)
    {
        LabelInfo[] labels = [FluorescenceLabels.DapiConfocal, FluorescenceLabels.Map2Confocal, FluorescenceLabels.NfhConfocal];
        using var model = StainModel.Create(new NetworkOptions { Dropout = 0 }, labels, 1);
        var field = TrainingField.OfSpecimen(1, labels, model.Metadata.Normalisation);
        (string Name, Trainer Trainer)[] ways =
        [
            ("float32, TorchSharp's own", new Trainer(model, [field], Whole with { Precision = Precision.Float32 })),
            ("bfloat16, ours", new Trainer(model, [field], Whole with { Precision = Precision.BFloat16 })),
            ("bfloat16, 16 tiles of 64x64, every fourth pixel", new Trainer(model, [field], Whole with { Precision = Precision.BFloat16, SmallTileShare = 1, LossStride = 2 })),
        ];
        var seconds = ways.Select(_ => new List<double>()).ToArray();
        for (int round = -1; round < rounds; round++)
        {
            for (int way = 0; way < ways.Length; way++)
            {
                long started = Stopwatch.GetTimestamp();
                ways[way].Trainer.Step();
                if (round >= 0)   // the first fills caches and makes buffers
                    seconds[way].Add(Stopwatch.GetElapsedTime(started).TotalSeconds);
            }
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Training step, {rounds} rounds in turns; over the first, by round: median (least to most)"));
        for (int way = 0; way < ways.Length; way++)
        {
            double[] ratios = [.. seconds[0].Zip(seconds[way], (plain, ours) => plain / ours).Order()];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{ways[way].Name,-50} {seconds[way].Order().ElementAt(rounds / 2):F2} s  {ratios[rounds / 2]:F2} ({ratios[0]:F2} to {ratios[^1]:F2})"));
            ways[way].Trainer.Dispose();
        }
    }
}

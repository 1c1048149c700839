using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Bench;

/// <summary>What the faster settings lose: mean images against those of float32 at stride 64, and against the truth.</summary>
internal static class QualityBench
{
    private static readonly TilingOptions[] Tilings = [new(), new(64, Blend.Uniform), new(96), new(128)];

    /// <summary>A setting's loss.</summary>
    /// <param name="Name">The setting.</param>
    /// <param name="Tiles">Tiles of the image.</param>
    /// <param name="Difference">Mean absolute difference from the reference over all labels, in levels of 255.</param>
    /// <param name="Correlations">Pearson correlation of each label with the reference.</param>
    /// <param name="Images">Each label's mean image.</param>
    public sealed record Loss(string Name, long Tiles, double Difference, IReadOnlyList<double> Correlations, IReadOnlyList<float[]> Images);

    /// <summary>Prints the losses of an image, and where a label's truth is given (LABEL=FILE) the correlations with it.</summary>
    public static void Run(string modelFile, string imageFile, int plane, IReadOnlyList<string> truths)
    {
        using var model = StainModel.Load(modelFile);
        using var image = ImageReader.Open(imageFile);
        Console.WriteLine($"{Path.GetFileName(modelFile)}, {image.Info.Width}x{image.Info.Height}, plane {plane}: mean images against float32 at stride 64");
        var labels = model.Network.Labels;
        foreach (var loss in Compare(model, image, Tilings, plane, withReference: true))
        {
            Console.WriteLine(FormattableString.Invariant($"{loss.Name,-30}{loss.Tiles,6} tiles  mean difference {loss.Difference:F3} of 255  Pearson ")
                + string.Join(' ', loss.Correlations.Select((r, i) => FormattableString.Invariant($"{labels[i]} {r:F5}"))));
            foreach (string truth in truths)
            {
                string[] parts = truth.Split('=', 2);
                using var file = ImageReader.Open(parts[1]);
                var pixels = new float[image.Info.Width * image.Info.Height];
                file.Read(0, new Region(0, 0, image.Info.Width, image.Info.Height), pixels);
                Console.WriteLine(FormattableString.Invariant($"{"",-30}with the truth: {parts[0]} {Correlation.Pearson(pixels, loss.Images[Array.IndexOf([.. labels], parts[0])]):F4}"));
            }
        }
    }

    /// <summary>Compares bfloat16 at some tilings with float32 at stride 64.</summary>
    public static IReadOnlyList<Loss> Compare(StainModel model, IPlaneImage image, IReadOnlyList<TilingOptions> tilings, int plane = 0, bool withReference = false)
    {
        int[] labels = [.. Enumerable.Range(0, model.Network.Labels.Count)];
        var reference = Predict(new TilingOptions(), Precision.Float32);
        var losses = new List<Loss>();
        if (withReference)
            losses.Add(Against("float32 stride 64", new TilingOptions(), reference));
        foreach (var tiling in tilings)
            losses.Add(Against($"bfloat16 stride {tiling.Stride} {tiling.Blend.ToString().ToLowerInvariant()}", tiling, Predict(tiling, Precision.BFloat16)));
        return losses;

        IReadOnlyList<float[]> Predict(TilingOptions tiling, Precision precision) =>
            SlidePredictor.Predict(model, image, [plane], labels, [Statistic.Mean], tiling, precision).Values;

        Loss Against(string name, TilingOptions tiling, IReadOnlyList<float[]> images) => new(
            name,
            new TilingPlan(image.Info.Width, image.Info.Height, tiling).TileCount,
            labels.Average(label => images[label].Zip(reference[label], (a, b) => 255.0 * Math.Abs(a - b)).Average()),
            [.. labels.Select(label => Correlation.Pearson(images[label], reference[label]))],
            images);
    }
}

using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>Predicts a whole slide in one process, without grains, in memory: the bare predictor that the cluster's output
/// must equal, and what training evaluates with.</summary>
public static class SlidePredictor
{
    /// <summary>Predicts a slide.</summary>
    /// <param name="model">The model.</param>
    /// <param name="image">The slide.</param>
    /// <param name="planes">The planes whose distributions are averaged.</param>
    /// <param name="labels">The labels, by their index in the model.</param>
    /// <param name="statistics">What is wanted of each label's distribution.</param>
    /// <param name="tiling">Stride and blend.</param>
    /// <param name="precision">Float32 or bfloat16.</param>
    /// <param name="progress">Told the number of tiles after each batch.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <returns>The slide as one chunk: for each label and statistic (label after label) its pixels, 0 to 1.</returns>
    /// <exception cref="ImageException">The image is damaged.</exception>
    public static StitchedChunk Predict(StainModel model, IPlaneImage image, IReadOnlyList<int> planes, IReadOnlyList<int> labels,
        IReadOnlyList<Statistic> statistics, TilingOptions tiling, Precision precision = Precision.Float32, Action<int>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(planes);
        var rule = model.Metadata.Normalisation;
        var plan = new TilingPlan(image.Info.Width, image.Info.Height, tiling);
        var ranges = planes.Select(plane => PlaneRange.Measure(image, plane, rule, cancellationToken)).ToArray();
        using var threads = new ComputeThreads(model.Device);
        using var predictor = new TilePredictor(model, threads, precision);
        var options = new PredictionOptions(labels, Statistics.Layers(statistics), plan.FixedPointBits(planes.Count));
        var stitcher = new ChunkStitcher(plan, planes.Count, Math.Max(plan.Slide.Width, plan.Slide.Height), statistics);
        StitchedChunk? slide = null;
        for (int index = 0; index < plan.BlockCount; index++)
        {
            var block = plan.Block(index);
            var windows = planes.Select((plane, i) => PlaneWindow.Read(image, plane, block.Input, ranges[i], rule)).ToArray();
            var map = predictor.PredictAsync(plan, block, windows, options, (tiles, _) => progress?.Invoke(tiles), cancellationToken).GetAwaiter().GetResult();
            slide = stitcher.Add(map, plan.Slide).SingleOrDefault() ?? slide;
        }

        return slide!;
    }
}

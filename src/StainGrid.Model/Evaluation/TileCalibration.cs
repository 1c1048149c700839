using StainGrid.Imaging;
using StainGrid.Tiling;
using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// The calibration of the network's distributions. It needs their 256 levels, which the maps do not keep, so tiles are predicted here once more, and the
/// levels of one tile and label at a time are looked at (one a thread) and dropped. It is therefore that of single tiles and planes, not of the averages
/// that a slide shows, which are wider. Tiles do not overlap, but for the last of an axis, so that each pixel counts once for each plane.
/// The network's modules compute it: in float32 on a cpu, whatever the precision of the images.
/// </summary>
internal static class TileCalibration
{
    private static readonly TilingOptions OnceEach = new(Tile.Size, Blend.CentreCrop, BlockSide: 1);

    /// <summary>The tiles of a slide, all planes together.</summary>
    public static long TileCount(int width, int height, int planes) => new TilingPlan(width, height, OnceEach).TileCount * planes;

    /// <summary>Measures a slide.</summary>
    /// <param name="model">The model.</param>
    /// <param name="image">The slide.</param>
    /// <param name="planes">The planes.</param>
    /// <param name="labels">The labels, by their index in the model.</param>
    /// <param name="truths">For each of these the true levels of the slide.</param>
    /// <param name="progress">Told the number of tiles as they are done, one at a time.</param>
    /// <param name="cancellationToken">Stops between tiles.</param>
    /// <returns>For each label its calibration; the same bits for any number of threads.</returns>
    /// <exception cref="ImageException">The image is damaged.</exception>
    public static Calibration[] Measure(StainModel model, IPlaneImage image, IReadOnlyList<int> planes, IReadOnlyList<int> labels, IReadOnlyList<byte[]> truths,
        Action<int>? progress, CancellationToken cancellationToken)
    {
        var rule = model.Metadata.Normalisation;
        var plan = new TilingPlan(image.Info.Width, image.Info.Height, OnceEach);
        var ranges = planes.Select(plane => PlaneRange.Measure(image, plane, rule, cancellationToken)).ToArray();
        var parts = new Calibration[plan.BlockCount * planes.Count][];
        using var threads = new ComputeThreads(model.Device);
        threads.RunAsync(parts.Length, (_, item) =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            var tile = plan.Tiles(plan.Block(item / planes.Count)).Single();
            int plane = item % planes.Count;
            var window = PlaneWindow.Read(image, planes[plane], new Region(tile.X, tile.Y, Tile.Size, Tile.Size).Inflate(Tile.Margin), ranges[plane], rule);
            parts[item] = Measure(model, window, labels, [.. truths.Select(truth => Truth(plan, tile, truth))]);
            lock (parts)
                progress?.Invoke(1);
        }).GetAwaiter().GetResult();

        Calibration[] all = [.. labels.Select(_ => new Calibration())];
        foreach (var part in parts)   // in their order, whichever thread was first
        {
            for (int label = 0; label < all.Length; label++)
                all[label].Add(part[label]);
        }

        return all;
    }

    /// <summary>Adds the pixels of a tile's distributions.</summary>
    /// <param name="calibration">What is added to.</param>
    /// <param name="logits">[1, C, H, W], C levels.</param>
    /// <param name="truth">[1, H, W] true levels, int64; -1 for pixels that do not count.</param>
    public static void Add(Calibration calibration, Tensor logits, Tensor truth)
    {
        using var scope = NewDisposeScope();
        using Scalar zero = 0, one = 1, last = logits.shape[1] - 1;                            // see HeldScalars
        var cumulative = logits.to(ScalarType.Float32).softmax(1).cumsum(1);                   // [1, C, H, W]
        var counts = truth.ge(zero);                                                           // [1, H, W]
        int intervals = Calibration.Intervals.Count;
        var (held, covered) = (new double[intervals], new long[intervals]);
        for (int i = 0; i < intervals; i++)
        {
            using var interval = NewDisposeScope();
            double tail = (1 - Calibration.Intervals[i]) / 2;
            var low = Quantile(tail);                                                          // [1, H, W]
            var high = Quantile(1 - tail);
            var below = CumulativeAt((low - one).clamp_min(zero)) * low.gt(zero);
            held[i] = ((CumulativeAt(high) - below) * counts).sum(type: ScalarType.Float64).item<double>();
            covered[i] = (truth.ge(low) & truth.le(high) & counts).sum().item<long>();
        }

        calibration.Add(counts.sum().item<long>(), held, covered);

        // The first level up to which the probability is at least the share; the last where rounding keeps the sum below it.
        Tensor Quantile(double share)
        {
            using Scalar held = share;
            return cumulative.lt(held).sum(1).clamp_max(last);
        }

        Tensor CumulativeAt(Tensor level) => cumulative.gather(1, level.unsqueeze(1)).squeeze(1);
    }

    private static Calibration[] Measure(StainModel model, PlaneWindow window, IReadOnlyList<int> labels, IReadOnlyList<long[]> truths)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var contexts = tensor(window.Pixels, [1, 1, Tile.ContextSize, Tile.ContextSize]).to(model.Device);
        var features = model.Network.Features(MultiScalePatches.Cut(contexts, model.Network.Options.PatchScales).to(model.ActivationType));   // [1, 90, 128, 128]
        return [.. labels.Select((label, i) =>
        {
            using var one = NewDisposeScope();
            var calibration = new Calibration();
            Add(calibration, model.Network.Logits(features, label), tensor(truths[i], [1, Tile.Size, Tile.Size]).to(model.Device));
            return calibration;
        })];
    }

    // A tile's true levels; -1 beyond the slide and where another tile counts.
    private static long[] Truth(TilingPlan plan, Tile tile, byte[] levels)
    {
        int[] weightsX = new int[Tile.Size], weightsY = new int[Tile.Size];
        plan.X.CopyWeights(tile.Column, weightsX);
        plan.Y.CopyWeights(tile.Row, weightsY);
        long[] truth = new long[Tile.Size * Tile.Size];
        for (int i = 0; i < truth.Length; i++)
        {
            var (row, column) = Math.DivRem(i, Tile.Size);
            int x = tile.X + column, y = tile.Y + row;
            bool counts = x < plan.Slide.Right && y < plan.Slide.Bottom && weightsX[column] * weightsY[row] > 0;
            truth[i] = counts ? levels[y * plan.Slide.Width + x] : -1;
        }

        return truth;
    }
}

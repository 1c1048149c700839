using StainGrid.Tiling;
using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>What the map keeps of a predicted distribution (definitions: <see cref="Statistic"/> and <see cref="MapLayer"/>).</summary>
public static class DistributionStatistics
{
    /// <summary>The layers of each pixel's distribution.</summary>
    /// <param name="logits">[N, C, H, W], C levels.</param>
    /// <param name="layers">Which layers.</param>
    /// <returns>[N, layers, H, W], each 0 to 1.</returns>
    public static Tensor Of(Tensor logits, IReadOnlyList<MapLayer> layers)
    {
        ArgumentNullException.ThrowIfNull(logits);
        ArgumentNullException.ThrowIfNull(layers);
        using var scope = NewDisposeScope();
        long levels = logits.shape[1];
        logits = logits.to(ScalarType.Float32);
        using Scalar zero = 0, half = 0.5, one = 1, last = levels - 1, most = Math.Log(levels);   // see HeldScalars
        var p = logits.softmax(1);                                                             // [N, C, H, W]
        var x = linspace(0, 1, levels, dtype: ScalarType.Float32, device: logits.device);      // level i is i / (C-1)
        var images = layers.Select(layer => layer switch
        {
            MapLayer.Mean => Expectation(p, x),
            MapLayer.SecondMoment => Expectation(p, x * x),
            MapLayer.Median => p.cumsum(1).lt(half).sum(1, type: ScalarType.Float32) / last,
            MapLayer.Mode => p.argmax(1).to(ScalarType.Float32) / last,
            MapLayer.Entropy => -(p * logits.log_softmax(1)).sum(1) / most,
            _ => throw new ArgumentOutOfRangeException(nameof(layers), layer, "No such layer."),
        });                                                                                    // [N, H, W] each
        return stack(images, 1).clamp_(zero, one).MoveToOuterDisposeScope();

        static Tensor Expectation(Tensor p, Tensor values) =>
            values.unsqueeze(0).matmul(p.flatten(2)).view(p.shape[0], p.shape[2], p.shape[3]); // [1, C] [N, C, HW]
    }
}

using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The three patches of different scale around one place (the paper's section III, figure 2).</summary>
public static class MultiScalePatches
{
    /// <summary>Cuts the patches from the middle of each context and rescales them to 128: by area where they shrink,
    /// bilinearly (half-pixel centres) where they grow.</summary>
    /// <param name="contexts">[N, 1, 256, 256].</param>
    /// <param name="scales">Sides of the patches, even, at most 256, in the order of the network's channels.</param>
    /// <returns>[N, S, 128, 128].</returns>
    /// <exception cref="ArgumentOutOfRangeException">A scale is larger than the context.</exception>
    public static Tensor Cut(Tensor contexts, IReadOnlyList<int> scales)
    {
        ArgumentNullException.ThrowIfNull(contexts);
        ArgumentNullException.ThrowIfNull(scales);
        using var scope = NewDisposeScope();
        var patches = new List<Tensor>(scales.Count);
        foreach (int scale in scales)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(scale, Tile.ContextSize, nameof(scales));
            int margin = (Tile.ContextSize - scale) / 2;
            var crop = contexts.narrow(2, margin, scale).narrow(3, margin, scale);            // [N, 1, scale, scale]
            patches.Add(scale switch
            {
                Tile.Size => crop,
                > Tile.Size => nn.functional.adaptive_avg_pool2d(crop, [Tile.Size, Tile.Size]),
                _ => nn.functional.interpolate(crop, size: [Tile.Size, Tile.Size], mode: InterpolationMode.Bilinear, align_corners: false),
            });                                                                               // [N, 1, 128, 128]
        }

        return cat(patches, 1).MoveToOuterDisposeScope();                                     // [N, S, 128, 128]
    }
}

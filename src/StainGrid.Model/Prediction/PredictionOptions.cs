using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>What is predicted of each tile.</summary>
/// <param name="Labels">The labels, by their index in the model, in the order of the map's channels.</param>
/// <param name="Layers">What is kept of each label's distribution.</param>
/// <param name="FixedPointBits">Fractional bits of the values (<see cref="TilingPlan.FixedPointBits"/>).</param>
public sealed record PredictionOptions(IReadOnlyList<int> Labels, IReadOnlyList<MapLayer> Layers, int FixedPointBits)
{
    /// <summary>Tiles that the network sees at once. Every batch has this size, the last one filled up with zeros, so that a
    /// tile's result does not depend on its neighbours.</summary>
    public int BatchSize { get; init; } = 4;

    /// <summary>Channels of a map: labels times layers.</summary>
    public int Channels => Labels.Count * Layers.Count;
}

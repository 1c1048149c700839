namespace StainGrid.Tiling;

/// <summary>How overlapping tiles are weighted where they are merged.</summary>
public enum Blend
{
    /// <summary>Every tile counts the same: the plain average, as GVTNets does. Where tiles end, the image has steps (docs/speed.md).</summary>
    Uniform,

    /// <summary>A Gaussian around the tile's centre, standard deviation a sixth of the tile.</summary>
    Gaussian,

    /// <summary>Each pixel is taken from the one tile whose centre is nearest along each axis.</summary>
    CentreCrop,
}

/// <summary>How a slide is cut into tiles and blocks.</summary>
/// <param name="Stride">Distance of neighbouring tiles, pixels, 8 to 128.</param>
/// <param name="Blend">How overlapping tiles are weighted.</param>
/// <param name="BlockSide">Tiles along each side of a block, 1 to 64.</param>
public sealed record TilingOptions(int Stride = TilingOptions.DefaultStride, Blend Blend = TilingOptions.DefaultBlend, int BlockSide = TilingOptions.DefaultBlockSide)
{
    /// <summary>The stride where none is given: each pixel is of four tiles.</summary>
    public const int DefaultStride = 64;

    /// <summary>The blend where none is given.</summary>
    public const Blend DefaultBlend = Blend.Gaussian;

    /// <summary>The side of a block where none is given.</summary>
    public const int DefaultBlockSide = 8;

    /// <summary>The smallest stride: below it the weights of the overlapping tiles would cost the sums their precision.</summary>
    public const int MinStride = 8;

    /// <summary>The largest side of a block, tiles.</summary>
    public const int MaxBlockSide = 64;

    /// <summary>Returns the options, or throws where one is out of its range.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range; the message says which range.</exception>
    public TilingOptions Validated()
    {
        if (Stride is < MinStride or > Tile.Size)
            throw new ArgumentOutOfRangeException(nameof(Stride), Stride, $"The stride must be {MinStride} to {Tile.Size} pixels.");
        if (BlockSide is < 1 or > MaxBlockSide)
            throw new ArgumentOutOfRangeException(nameof(BlockSide), BlockSide, $"A block must have 1 to {MaxBlockSide} tiles a side.");
        if (!Enum.IsDefined(Blend))
            throw new ArgumentOutOfRangeException(nameof(Blend), Blend, "The blend is not one of uniform, gaussian, centre crop.");
        return this;
    }
}

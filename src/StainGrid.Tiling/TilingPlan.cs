using System.Numerics;

namespace StainGrid.Tiling;

/// <summary>Where the tiles and blocks of a slide lie. A function of the slide's size and the options alone, so that every
/// grain that knows both has the same plan.</summary>
public sealed class TilingPlan
{
    /// <summary>The largest side of a slide, pixels.</summary>
    public const int MaxSide = 100_000;

    private const int MaxFixedPointBits = 24;

    /// <summary>Plans a slide.</summary>
    /// <param name="width">Width of the slide, pixels, 1 to 100,000.</param>
    /// <param name="height">Height of the slide, pixels, 1 to 100,000.</param>
    /// <param name="options">Stride, blend and block size.</param>
    /// <exception cref="ArgumentOutOfRangeException">The size or an option is out of its range.</exception>
    public TilingPlan(int width, int height, TilingOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (width is < 1 or > MaxSide || height is < 1 or > MaxSide)
            throw new ArgumentOutOfRangeException(nameof(width), $"{width}x{height}", $"A slide must be 1x1 to {MaxSide:N0}x{MaxSide:N0} pixels.");
        Options = options.Validated();
        Slide = new Region(0, 0, width, height);
        X = new AxisTiling(width, options.Stride, options.Blend);
        Y = new AxisTiling(height, options.Stride, options.Blend);
        BlockColumns = (X.Count + options.BlockSide - 1) / options.BlockSide;
        BlockRows = (Y.Count + options.BlockSide - 1) / options.BlockSide;
    }

    /// <summary>Stride, blend and block size.</summary>
    public TilingOptions Options { get; }

    /// <summary>The whole slide.</summary>
    public Region Slide { get; }

    /// <summary>The tiles along x.</summary>
    public AxisTiling X { get; }

    /// <summary>The tiles along y.</summary>
    public AxisTiling Y { get; }

    /// <summary>Blocks along x.</summary>
    public int BlockColumns { get; }

    /// <summary>Blocks along y.</summary>
    public int BlockRows { get; }

    /// <summary>The number of blocks.</summary>
    public int BlockCount => BlockColumns * BlockRows;

    /// <summary>The number of tiles.</summary>
    public long TileCount => (long)X.Count * Y.Count;

    /// <summary>The block of number <paramref name="index"/>, counted row by row.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such block.</exception>
    public Block Block(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, BlockCount);
        var (row, column) = Math.DivRem(index, BlockColumns);
        int side = Options.BlockSide;
        int firstColumn = column * side, firstRow = row * side;
        int columns = Math.Min(side, X.Count - firstColumn), rows = Math.Min(side, Y.Count - firstRow);
        int x = X.Origin(firstColumn), y = Y.Origin(firstRow);
        var tiles = new Region(x, y,
            X.Origin(firstColumn + columns - 1) + Tile.Size - x, Y.Origin(firstRow + rows - 1) + Tile.Size - y);
        return new Block(index, firstColumn, firstRow, columns, rows, tiles.Intersect(Slide), tiles.Inflate(Tile.Margin));
    }

    /// <summary>The tiles of a block, row by row.</summary>
    public IEnumerable<Tile> Tiles(Block block)
    {
        ArgumentNullException.ThrowIfNull(block);
        for (int row = block.FirstRow; row < block.FirstRow + block.Rows; row++)
        {
            for (int column = block.FirstColumn; column < block.FirstColumn + block.Columns; column++)
                yield return new Tile(column, row, X.Origin(column), Y.Origin(row));
        }
    }

    /// <summary>The numbers of the blocks that contribute to a region, in rising order.</summary>
    public IEnumerable<int> BlocksOver(Region region)
    {
        int side = Options.BlockSide;
        var (firstColumn, endColumn) = X.TilesOver(region.X, region.Right);
        var (firstRow, endRow) = Y.TilesOver(region.Y, region.Bottom);
        for (int row = firstRow / side; row * side < endRow; row++)
        {
            for (int column = firstColumn / side; column * side < endColumn; column++)
                yield return row * BlockColumns + column;
        }
    }

    /// <summary>Fractional bits of the fixed-point sums: as many as leave room for all weights of a pixel in 31 bits.</summary>
    /// <param name="planes">How many planes of the stack are averaged into one map.</param>
    /// <exception cref="ArgumentOutOfRangeException">So many tiles and planes overlap that the sums would lose their precision.</exception>
    public int FixedPointBits(int planes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(planes, 1);
        long heaviest = Max(X.TotalWeights) * Max(Y.TotalWeights) * planes;
        int bits = Math.Min(MaxFixedPointBits, 30 - BitOperations.Log2((ulong)heaviest));
        return bits >= 12 ? bits : throw new ArgumentOutOfRangeException(nameof(planes), planes,
            $"Stride {Options.Stride} with {planes} planes overlaps too many tiles for exact sums; take a larger stride.");

        static long Max(ReadOnlySpan<int> values)
        {
            int max = 0;
            foreach (int value in values)
                max = Math.Max(max, value);
            return max;
        }
    }
}

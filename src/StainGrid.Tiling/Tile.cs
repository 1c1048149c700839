namespace StainGrid.Tiling;

/// <summary>A 128x128 place on a slide.</summary>
/// <param name="Column">Its number along x in the slide's plan.</param>
/// <param name="Row">Its number along y in the slide's plan.</param>
/// <param name="X">Left edge on the slide, pixels.</param>
/// <param name="Y">Top edge on the slide, pixels.</param>
public readonly record struct Tile(int Column, int Row, int X, int Y)
{
    /// <summary>Side of a tile, pixels.</summary>
    public const int Size = 128;

    /// <summary>Side of the largest patch around a tile's centre, pixels.</summary>
    public const int ContextSize = 256;

    /// <summary>How far the largest patch reaches beyond the tile on each side, pixels.</summary>
    public const int Margin = (ContextSize - Size) / 2;
}

/// <summary>A group of neighbouring tiles, leased to a device as one unit of work.</summary>
/// <param name="Index">Its number in the plan, row by row.</param>
/// <param name="FirstColumn">Number of its first tile along x.</param>
/// <param name="FirstRow">Number of its first tile along y.</param>
/// <param name="Columns">Tiles along x.</param>
/// <param name="Rows">Tiles along y.</param>
/// <param name="Extent">The pixels of the slide that its tiles predict.</param>
/// <param name="Input">The pixels that its patches see; reaches beyond the slide at its borders.</param>
public sealed record Block(int Index, int FirstColumn, int FirstRow, int Columns, int Rows, Region Extent, Region Input)
{
    /// <summary>The number of tiles.</summary>
    public int TileCount => Columns * Rows;
}

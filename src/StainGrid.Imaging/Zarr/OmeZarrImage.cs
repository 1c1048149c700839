using System.Text.Json.Nodes;

namespace StainGrid.Imaging;

/// <summary>What an OME-Zarr 0.4 image is: axes t, c, z, y, x, shape (1, C, 1, Y, X), 16-bit unsigned.</summary>
/// <param name="Name">The image's name in viewers.</param>
/// <param name="Width">Width of level 0, pixels, 1 to 1,000,000.</param>
/// <param name="Height">Height of level 0, pixels, 1 to 1,000,000.</param>
/// <param name="Channels">The channels, at least one.</param>
public sealed record OmeZarrImage(string Name, int Width, int Height, IReadOnlyList<OmeZarrChannel> Channels)
{
    /// <summary>The largest side.</summary>
    public const int MaxSide = 1_000_000;

    /// <summary>Side of the square chunks, pixels, 1 to 4,096; 512 by default.</summary>
    public int ChunkSize { get; init; } = 512;

    /// <summary>Levels of the pyramid, each half as large as the one before (odd sides rounded up); by default until one
    /// chunk holds the last.</summary>
    public int Levels { get; init; } = LevelsFor(Width, Height, 512);

    /// <summary>A pixel's width in micrometres; null where unknown, which is written as scale 1 without a unit.</summary>
    public double? PhysicalSizeX { get; init; }

    /// <summary>A pixel's height in micrometres; null where unknown.</summary>
    public double? PhysicalSizeY { get; init; }

    /// <summary>What else is known of the image, written under "staingrid" in the group's attributes; JSON that is the
    /// same for the same image, so that the bytes are.</summary>
    public JsonObject? Attributes { get; init; }

    /// <summary>The levels until one chunk holds the last.</summary>
    /// <param name="width">Width of level 0, pixels.</param>
    /// <param name="height">Height of level 0, pixels.</param>
    /// <param name="chunkSize">Side of a chunk, pixels.</param>
    public static int LevelsFor(int width, int height, int chunkSize)
    {
        int levels = 1;
        for (int side = Math.Max(width, height); side > Math.Max(chunkSize, 1); side = (side - 1) / 2 + 1)
            levels++;
        return levels;
    }

    /// <summary>A level's size in pixels: half of the level before, rounded up.</summary>
    /// <param name="level">0 for the full size.</param>
    public (int Width, int Height) LevelSize(int level)
    {
        CheckLevel(level);
        int width = Width, height = Height;
        for (int i = 0; i < level; i++)
            (width, height) = ((width - 1) / 2 + 1, (height - 1) / 2 + 1);
        return (width, height);
    }

    /// <summary>A level's chunks: rows and columns of them.</summary>
    /// <param name="level">0 for the full size.</param>
    public (int Rows, int Columns) ChunkGrid(int level)
    {
        var (width, height) = LevelSize(level);
        return ((height - 1) / ChunkSize + 1, (width - 1) / ChunkSize + 1);
    }

    /// <summary>The key of a chunk: level/t/c/z/y/x.</summary>
    /// <param name="level">0 for the full size.</param>
    /// <param name="channel">The channel's number.</param>
    /// <param name="row">The chunk's row.</param>
    /// <param name="column">The chunk's column.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such chunk.</exception>
    public string ChunkKey(int level, int channel, int row, int column)
    {
        var (rows, columns) = ChunkGrid(level);
        ArgumentOutOfRangeException.ThrowIfNegative(channel);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(channel, Channels.Count);
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, rows);
        ArgumentOutOfRangeException.ThrowIfNegative(column);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(column, columns);
        return string.Create(CultureInfo.InvariantCulture, $"{level}/0/{channel}/0/{row}/{column}");
    }

    /// <summary>Throws for an image that cannot be.</summary>
    /// <exception cref="ArgumentException">A size, a colour, a window or a count is not valid; the message says which.</exception>
    public void Check()
    {
        Require(Width is >= 1 and <= MaxSide && Height is >= 1 and <= MaxSide, $"its size is {Width}x{Height}");
        Require(ChunkSize is >= 1 and <= 4096, $"its chunks have a side of {ChunkSize}");
        Require(Levels is >= 1 and <= 32, $"it has {Levels} levels");
        Require(Channels.Count is >= 1 and <= 1024, $"it has {Channels.Count} channels");
        Require(PhysicalSizeX is null or (> 0 and < double.PositiveInfinity), $"its pixels are {PhysicalSizeX} micrometres wide");
        Require(PhysicalSizeY is null or (> 0 and < double.PositiveInfinity), $"its pixels are {PhysicalSizeY} micrometres high");
        foreach (var channel in Channels)
        {
            Require(channel.Color.Length == 6 && channel.Color.All(char.IsAsciiHexDigit), $"{channel.Label} has the colour {channel.Color}, not RRGGBB");
            Require(double.IsFinite(channel.Min) && double.IsFinite(channel.Max) && double.IsFinite(channel.Start) && double.IsFinite(channel.End),
                $"{channel.Label} has a window that is not finite");
        }

        static void Require(bool condition, string otherwise)
        {
            if (!condition)
                throw new ArgumentException($"An OME-Zarr image cannot be written: {otherwise}.");
        }
    }

    internal void CheckLevel(int level)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(level);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(level, Levels);
    }
}

/// <summary>A channel as viewers show it (OME-NGFF 0.4, "omero").</summary>
/// <param name="Label">The channel's name.</param>
/// <param name="Color">RRGGBB in hex.</param>
/// <param name="Min">The least value that can occur.</param>
/// <param name="Max">The greatest value that can occur.</param>
/// <param name="Start">The value that is shown black.</param>
/// <param name="End">The value that is shown in full colour.</param>
/// <param name="Active">Whether it is shown at first.</param>
public sealed record OmeZarrChannel(
    string Label, string Color = "FFFFFF", double Min = 0, double Max = 65_535, double Start = 0, double End = 65_535, bool Active = true);

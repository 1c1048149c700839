using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>All that a tile grain and a stitcher need to know of a slide, fixed when it starts.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.slide-job")]
public sealed record SlideJob
{
    /// <summary>Side of an output chunk, pixels.</summary>
    public const int ChunkSize = 512;

    /// <summary>The slide's id.</summary>
    [Id(0)] public required string SlideId { get; init; }

    /// <summary>The image's files: paths that the silos see, or addresses of blobs.</summary>
    [Id(1)] public required IReadOnlyList<string> Files { get; init; }

    /// <summary>For each file the version of its blob when the slide started; empty where the store keeps none.</summary>
    [Id(23)] public IReadOnlyList<string> FileVersions { get; init; } = [];

    /// <summary>The model file, or the address of its blob.</summary>
    [Id(2)] public required string Model { get; init; }

    /// <summary>SHA-256 of the model file when the slide started, lower-case hexadecimal.</summary>
    [Id(3)] public required string ModelSha256 { get; init; }

    /// <summary>The blob store of the output.</summary>
    [Id(4)] public required string Output { get; init; }

    /// <summary>The image's name in viewers.</summary>
    [Id(5)] public required string Name { get; init; }

    /// <summary>Width of the slide, pixels.</summary>
    [Id(6)] public required int Width { get; init; }

    /// <summary>Height of the slide, pixels.</summary>
    [Id(7)] public required int Height { get; init; }

    /// <summary>The planes to predict from, with the range of each.</summary>
    [Id(8)] public required IReadOnlyList<SlidePlane> Planes { get; init; }

    /// <summary>The labels, by their index in the model.</summary>
    [Id(9)] public required IReadOnlyList<int> Labels { get; init; }

    /// <summary>What is stored of each label.</summary>
    [Id(10)] public required IReadOnlyList<Statistic> Statistics { get; init; }

    /// <summary>The output's channels: for each label its statistics.</summary>
    [Id(11)] public required IReadOnlyList<OutputChannel> Channels { get; init; }

    /// <summary>Distance of neighbouring tiles, pixels.</summary>
    [Id(12)] public required int Stride { get; init; }

    /// <summary>How overlapping tiles are weighted.</summary>
    [Id(13)] public required Blend Blend { get; init; }

    /// <summary>Tiles along each side of a block.</summary>
    [Id(14)] public required int BlockSide { get; init; }

    /// <summary>A pixel's width in micrometres, or null.</summary>
    [Id(15)] public double? PhysicalSizeX { get; init; }

    /// <summary>A pixel's height in micrometres, or null.</summary>
    [Id(16)] public double? PhysicalSizeY { get; init; }

    /// <summary>Whether intensities beyond a plane's range become -1 and 1.</summary>
    [Id(17)] public required bool Clamp { get; init; }

    /// <summary>Tiles that a device computes at once.</summary>
    [Id(18)] public required int BatchSize { get; init; }

    /// <summary>In which numbers the network is computed: float32 or bfloat16.</summary>
    [Id(24)] public required Precision Precision { get; init; }

    /// <summary>The plate that the slide is a field of; the slide's own id where it is alone.</summary>
    [Id(19)] public required string PlateId { get; init; }

    /// <summary>The plate's share of the devices against others'.</summary>
    [Id(20)] public required int Weight { get; init; }

    /// <summary>A hash of all that the pixels of the result depend on. What was committed under another is not reused.</summary>
    [Id(21)] public required string PlanHash { get; init; }

    /// <summary>Rises with every start of the work on this output; the work of an older one is refused.</summary>
    [Id(22)] public long Epoch { get; init; }

    /// <summary>The span that the work on the slide's blocks belongs to, as a W3C traceparent; null where nobody traces it.</summary>
    [Id(25)] public string? TraceParent { get; init; }

    /// <summary>Without the signatures that URLs may have: Orleans writes the arguments of a call into its messages.</summary>
    public override string ToString() => $"{nameof(SlideJob)} of {SlideId}, epoch {Epoch}";

    /// <summary>The slide's plan.</summary>
    public TilingPlan Plan() => new(Width, Height, new TilingOptions(Stride, Blend, BlockSide));

    /// <summary>Rows of output chunks; a stitcher owns one.</summary>
    public int Bands => (Height + ChunkSize - 1) / ChunkSize;

    /// <summary>Columns of output chunks.</summary>
    public int ChunkColumns => (Width + ChunkSize - 1) / ChunkSize;

    /// <summary>The pixels of a band.</summary>
    public Region Band(int band) =>
        new Region(0, band * ChunkSize, Width, ChunkSize).Intersect(new Region(0, 0, Width, Height));
}

/// <summary>A plane and the intensities that map to the network's -1 and 1.</summary>
/// <param name="Index">The plane, counted from 0.</param>
/// <param name="Low">Maps to -1.</param>
/// <param name="High">Maps to 1.</param>
[GenerateSerializer, Immutable, Alias("staingrid.slide-plane")]
public sealed record SlidePlane([property: Id(0)] int Index, [property: Id(1)] float Low, [property: Id(2)] float High);

/// <summary>A channel of the output image.</summary>
/// <param name="Name">The label, and the statistic where it is not the mean.</param>
/// <param name="Colour">RRGGBB.</param>
/// <param name="Low">The 16-bit value of 0.</param>
/// <param name="High">The 16-bit value of 1.</param>
/// <param name="Shown">Whether viewers show it at first.</param>
[GenerateSerializer, Immutable, Alias("staingrid.output-channel")]
public sealed record OutputChannel(
    [property: Id(0)] string Name, [property: Id(1)] string Colour, [property: Id(2)] int Low, [property: Id(3)] int High, [property: Id(4)] bool Shown);

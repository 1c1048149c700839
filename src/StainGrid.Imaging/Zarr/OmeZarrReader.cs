using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using StainGrid.Imaging.Zarr;
using StainGrid.Tiling;

namespace StainGrid.Imaging;

/// <summary>Reads OME-Zarr 0.4 images as <see cref="OmeZarrWriter"/> writes them: axes t, c, z, y, x, 16-bit unsigned,
/// blosc with zstd. Others are refused.</summary>
public sealed class OmeZarrReader
{
    private const int MaxMetadataBytes = 16 << 20;

    private readonly IBlobStore _store;

    private OmeZarrReader(IBlobStore store, OmeZarrImage image, JsonObject attributes)
    {
        _store = store;
        Image = image;
        Attributes = attributes;
    }

    /// <summary>Size, levels, channels and pixel size; <see cref="OmeZarrImage.Attributes"/> holds what stands under
    /// "staingrid".</summary>
    public OmeZarrImage Image { get; }

    /// <summary>All of the group's attributes.</summary>
    public JsonObject Attributes { get; }

    /// <summary>The shape of a level: 1, channels, 1, height, width.</summary>
    /// <param name="level">0 for the full size.</param>
    public IReadOnlyList<int> Shape(int level)
    {
        var (width, height) = Image.LevelSize(level);
        return [1, Image.Channels.Count, 1, height, width];
    }

    /// <summary>Opens an image and checks its description.</summary>
    /// <param name="store">The store whose root is the image's group.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="ImageException">There is no image, it is incomplete, damaged, or of a kind that is not read here.</exception>
    public static async Task<OmeZarrReader> OpenAsync(IBlobStore store, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        if (await JsonAsync(store, OmeZarrMetadata.GroupKey, cancellationToken) is not { } group)
        {
            string other = await store.ExistsAsync("zarr.json", cancellationToken) ? " (it is a Zarr v3 group; 0.4 with Zarr v2 is read)" : "";
            throw new ImageException($"{store.Name} is not an OME-Zarr 0.4 image: it has no {OmeZarrMetadata.GroupKey}{other}. Check the path.");
        }

        if (await JsonAsync(store, OmeZarrMetadata.AttributesKey, cancellationToken) is not { } attributes)
        {
            throw new ImageException($"{store.Name} is incomplete: its {OmeZarrMetadata.AttributesKey}, which is written last, is absent. "
                + "The run that made it was stopped; run it again.");
        }

        try
        {
            if ((int?)group["zarr_format"] != 2)
                throw Unsupported(store, $"has zarr_format {group["zarr_format"]}");
            var image = Parse(store, attributes);
            for (int level = 0; level < image.Levels; level++)
            {
                var array = await JsonAsync(store, OmeZarrMetadata.ArrayKey(level), cancellationToken)
                    ?? throw new ImageException($"{store.Name} is damaged: {OmeZarrMetadata.ArrayKey(level)} is absent. Make it again.");
                if (level == 0)
                    image = image with { Height = Extent(store, array, "shape", 3), Width = Extent(store, array, "shape", 4), ChunkSize = Extent(store, array, "chunks", 4) };
                CheckArray(store, image, level, array);
            }

            return new OmeZarrReader(store, image, attributes);
        }
        catch (Exception exception) when (exception is InvalidOperationException or FormatException or ArgumentException or OverflowException)
        {
            throw new ImageException($"{store.Name} has metadata that are not OME-Zarr 0.4: {exception.Message} Make it again.", exception);
        }
    }

    /// <summary>Reads a region of a channel.</summary>
    /// <param name="level">0 for the full size.</param>
    /// <param name="channel">The channel's number.</param>
    /// <param name="region">Pixels of that level, fully inside.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <returns>The region's values, row by row.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such level or channel, or the region is not inside.</exception>
    /// <exception cref="ImageException">A chunk is missing or damaged; the message names it.</exception>
    public async Task<ushort[]> ReadAsync(int level, int channel, Region region, CancellationToken cancellationToken = default)
    {
        var (width, height) = Image.LevelSize(level);
        ArgumentOutOfRangeException.ThrowIfNegative(channel);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(channel, Image.Channels.Count);
        if (region.X < 0 || region.Y < 0 || region.Width < 0 || region.Height < 0
            || region.Width > width - region.X || region.Height > height - region.Y || region.Area > Array.MaxLength)
        {
            throw new ArgumentOutOfRangeException(nameof(region), region, $"The region is not inside level {level} of {width}x{height} pixels.");
        }

        ushort[] pixels = new ushort[region.Area];
        if (region.IsEmpty)
            return pixels;
        int side = Image.ChunkSize;
        for (int row = region.Y / side; row <= (region.Bottom - 1) / side; row++)
        {
            for (int column = region.X / side; column <= (region.Right - 1) / side; column++)
            {
                ushort[] chunk = await ReadChunkAsync(_store, Image, level, channel, row, column, cancellationToken);
                var part = region.Intersect(new Region(column * side, row * side, side, side));
                for (int y = part.Y; y < part.Bottom; y++)
                {
                    chunk.AsSpan((y - row * side) * side + (part.X - column * side), part.Width)
                        .CopyTo(pixels.AsSpan((y - region.Y) * region.Width + (part.X - region.X)));
                }
            }
        }

        return pixels;
    }

    internal static async Task<ushort[]> ReadChunkAsync(
        IBlobStore store, OmeZarrImage image, int level, int channel, int row, int column, CancellationToken cancellationToken)
    {
        string key = image.ChunkKey(level, channel, row, column);
        ushort[] pixels = new ushort[image.ChunkSize * image.ChunkSize];
        var blob = await store.ReadBlobAsync(key, 2L * sizeof(ushort) * pixels.Length + 4096, cancellationToken)
            ?? throw Missing(store, image, level, channel, row, column);
        try
        {
            BloscFrame.Decompress(blob.Data.Span, MemoryMarshal.AsBytes(pixels.AsSpan()), sizeof(ushort));
        }
        catch (InvalidDataException exception)
        {
            throw new ImageException($"{store.Name}: the chunk {key} is damaged: {exception.Message}. Make the image again.", exception);
        }

        if (!BitConverter.IsLittleEndian)
            System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(pixels, pixels);
        return pixels;
    }

    internal static ImageException Missing(IBlobStore store, OmeZarrImage image, int level, int channel, int row, int column) =>
        new($"{store.Name}: the chunk {image.ChunkKey(level, channel, row, column)} ({image.Channels[channel].Label}, level {level}, "
            + $"row {row}, column {column}) is missing. Run it again; chunks that are there are kept.");

    private static OmeZarrImage Parse(IBlobStore store, JsonObject attributes)
    {
        var multiscale = attributes["multiscales"]?.AsArray() is [JsonObject first, ..]
            ? first
            : throw Unsupported(store, "has no multiscales");
        if ((string?)multiscale["version"] != "0.4")
            throw Unsupported(store, $"is OME-Zarr version {multiscale["version"]}");
        string axes = string.Concat((multiscale["axes"]?.AsArray() ?? []).Select(axis => (string?)axis?["name"]));
        if (axes != "tczyx")
            throw Unsupported(store, $"has the axes {axes}");
        var datasets = multiscale["datasets"]?.AsArray() ?? [];
        if (datasets.Count is 0 or > 32)
            throw Unsupported(store, $"has {datasets.Count} levels");
        for (int level = 0; level < datasets.Count; level++)
        {
            if ((string?)datasets[level]?["path"] != level.ToString(CultureInfo.InvariantCulture))
                throw Unsupported(store, $"has level {level} at {datasets[level]?["path"]}");
        }

        var channels = (attributes["omero"]?["channels"]?.AsArray() ?? []).Select(channel => new OmeZarrChannel(
            (string?)channel?["label"] ?? "", (string?)channel?["color"] ?? "FFFFFF",
            (double?)channel?["window"]?["min"] ?? 0, (double?)channel?["window"]?["max"] ?? 65_535,
            (double?)channel?["window"]?["start"] ?? 0, (double?)channel?["window"]?["end"] ?? 65_535,
            (bool?)channel?["active"] ?? true)).ToArray();
        return new OmeZarrImage((string?)multiscale["name"] ?? "", 1, 1, channels)
        {
            Levels = datasets.Count,
            PhysicalSizeX = Micrometres(4),
            PhysicalSizeY = Micrometres(3),
            Attributes = attributes["staingrid"]?.DeepClone() as JsonObject,
        };

        double? Micrometres(int axis) =>
            (string?)multiscale["axes"]?[axis]?["unit"] == "micrometer"
                ? (double?)datasets[0]?["coordinateTransformations"]?[0]?["scale"]?[axis]
                : null;
    }

    private static int Extent(IBlobStore store, JsonObject array, string member, int axis) =>
        array[member] is JsonArray { Count: 5 } extents ? (int)extents[axis]! : throw Unsupported(store, $"has no five-dimensional {member}");

    private static void CheckArray(IBlobStore store, OmeZarrImage image, int level, JsonObject array)
    {
        image.Check();
        var expected = JsonNode.Parse(OmeZarrMetadata.Array(image, level))!.AsObject();
        foreach (var (name, value) in expected)
        {
            // The effort of compression does not matter to a reader; how it is compressed does.
            bool same = name == "compressor"
                ? (string?)array[name]?["id"] == "blosc" && (string?)array[name]?["cname"] == "zstd"
                : JsonNode.DeepEquals(value, array[name]);
            if (!same)
            {
                throw Unsupported(store, $"has at level {level} the {name} {array[name]?.ToJsonString() ?? "null"} where "
                    + $"{value?.ToJsonString() ?? "null"} is due");
            }
        }
    }

    private static ImageException Unsupported(IBlobStore store, string what) =>
        new($"{store.Name} {what}. Images that StainGrid wrote (OME-Zarr 0.4, axes t c z y x, 16-bit, blosc with zstd) are read.");

    private static async Task<JsonObject?> JsonAsync(IBlobStore store, string key, CancellationToken cancellationToken)
    {
        var blob = await store.ReadBlobAsync(key, MaxMetadataBytes, cancellationToken);
        if (blob is null)
            return null;
        try
        {
            return JsonNode.Parse(blob.Data.Span) as JsonObject ?? throw new ImageException($"{store.Name}: {key} is not a JSON object. Make the image again.");
        }
        catch (JsonException exception)
        {
            throw new ImageException($"{store.Name}: {key} is not valid JSON ({exception.Message}) Make the image again.", exception);
        }
    }
}

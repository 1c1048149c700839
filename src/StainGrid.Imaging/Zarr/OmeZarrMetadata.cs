using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace StainGrid.Imaging.Zarr;

/// <summary>The JSON of Zarr v2 (zarr-specs, v2) and of OME-NGFF 0.4.</summary>
internal static class OmeZarrMetadata
{
    public const string GroupKey = ".zgroup", AttributesKey = ".zattrs";

    private static readonly JsonSerializerOptions s_readable = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static string ArrayKey(int level) => string.Create(CultureInfo.InvariantCulture, $"{level}/.zarray");

    public static byte[] Group() => Bytes(new JsonObject { ["zarr_format"] = 2 });

    public static byte[] Array(OmeZarrImage image, int level)
    {
        var (width, height) = image.LevelSize(level);
        return Bytes(new JsonObject
        {
            ["zarr_format"] = 2,
            ["shape"] = new JsonArray(1, image.Channels.Count, 1, height, width),
            ["chunks"] = new JsonArray(1, 1, 1, image.ChunkSize, image.ChunkSize),
            ["dtype"] = "<u2",
            ["compressor"] = new JsonObject
            {
                ["id"] = "blosc",
                ["cname"] = "zstd",
                ["clevel"] = BloscFrame.Level,
                ["shuffle"] = 1,
                ["blocksize"] = 0,
            },
            ["fill_value"] = 0,
            ["order"] = "C",
            ["filters"] = null,
            ["dimension_separator"] = "/",
        });
    }

    public static byte[] Attributes(OmeZarrImage image)
    {
        var datasets = new JsonArray();
        for (int level = 0; level < image.Levels; level++)
        {
            // Each level's pixel is 2^level of level 0's, also where an odd side was rounded up.
            double factor = Math.Pow(2, level);
            datasets.Add(new JsonObject
            {
                ["path"] = level.ToString(CultureInfo.InvariantCulture),
                ["coordinateTransformations"] = new JsonArray(new JsonObject
                {
                    ["type"] = "scale",
                    ["scale"] = new JsonArray(1.0, 1.0, 1.0, (image.PhysicalSizeY ?? 1) * factor, (image.PhysicalSizeX ?? 1) * factor),
                }),
            });
        }

        var attributes = new JsonObject
        {
            ["multiscales"] = new JsonArray(new JsonObject
            {
                ["version"] = "0.4",
                ["name"] = image.Name,
                ["type"] = "mean",
                ["axes"] = new JsonArray(
                    new JsonObject { ["name"] = "t", ["type"] = "time" },
                    new JsonObject { ["name"] = "c", ["type"] = "channel" },
                    new JsonObject { ["name"] = "z", ["type"] = "space" },
                    Space("y", image.PhysicalSizeY),
                    Space("x", image.PhysicalSizeX)),
                ["datasets"] = datasets,
            }),
            ["omero"] = new JsonObject
            {
                ["name"] = image.Name,
                ["version"] = "0.4",
                ["channels"] = new JsonArray([.. image.Channels.Select(channel => new JsonObject
                {
                    ["label"] = channel.Label,
                    ["color"] = channel.Color.ToUpperInvariant(),
                    ["window"] = new JsonObject
                    {
                        ["min"] = channel.Min,
                        ["max"] = channel.Max,
                        ["start"] = channel.Start,
                        ["end"] = channel.End,
                    },
                    ["active"] = channel.Active,
                    ["coefficient"] = 1,
                    ["family"] = "linear",
                    ["inverted"] = false,
                })]),
                ["rdefs"] = new JsonObject { ["defaultT"] = 0, ["defaultZ"] = 0, ["model"] = image.Channels.Count == 1 ? "greyscale" : "color" },
            },
        };
        if (image.Attributes is not null)
            attributes["staingrid"] = image.Attributes.DeepClone();
        return Bytes(attributes);

        static JsonObject Space(string axis, double? size)
        {
            var space = new JsonObject { ["name"] = axis, ["type"] = "space" };
            if (size is not null)
                space["unit"] = "micrometer";
            return space;
        }
    }

    internal static byte[] Bytes(JsonObject json) => JsonSerializer.SerializeToUtf8Bytes(json, s_readable);
}

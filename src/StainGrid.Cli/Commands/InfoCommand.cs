using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using StainGrid.Grains;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>`staingrid info`.</summary>
internal static class InfoCommand
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "An image (PNG, TIFF), an OME-Zarr image of StainGrid's, or a model file." };
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var command = new Command("info",
            """
            Say what a file is: size, type, planes and pixel size of an image; channels, state and origin of an output; variant
            and labels of a model. Reads headers only, so it is quick on large files.
            """)
        {
            file,
            json,
        };
        command.Runs(async (parsed, cancellationToken) =>
        {
            string path = parsed.GetValue(file)!;
            var facts = Directory.Exists(path) ? await OutputAsync(path, cancellationToken)
                : path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase) ? ModelCommand.Facts(path)
                : ImageFacts(path);
            Print(facts, parsed.GetValue(json));
            return ExitCodes.Done;
        });
        return command;
    }

    public static void Print(JsonObject facts, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(facts.ToJsonString());
            return;
        }

        int width = facts.Max(fact => fact.Key.Length) + 2;
        foreach (var (key, value) in facts)
        {
            string text = value switch
            {
                null => "unknown",
                JsonArray array when array.All(item => item is JsonValue) => string.Join(", ", array.Select(item => item!.ToString())),
                JsonObject or JsonArray => value.ToJsonString(Indented).ReplaceLineEndings($"\n{new string(' ', width)}"),
                _ => value.ToString(),
            };
            Console.Out.WriteLine($"{key.Replace('_', ' ').PadRight(width)}{text}");
        }
    }

    private static JsonObject ImageFacts(string path)
    {
        using var image = ImageReader.Open(path);
        var info = image.Info;
        return new JsonObject
        {
            ["file"] = path,
            ["format"] = info.Format,
            ["width"] = info.Width,
            ["height"] = info.Height,
            ["planes"] = info.Planes,
            ["pixel_type"] = info.PixelType.ToString().ToLowerInvariant(),
            ["pixel_size_micrometres"] = info.PhysicalSizeX is { } x ? string.Create(CultureInfo.InvariantCulture, $"{x} x {info.PhysicalSizeY}") : null,
            ["channel"] = info.ChannelName,
        };
    }

    private static async Task<JsonObject> OutputAsync(string path, CancellationToken cancellationToken)
    {
        var store = BlobStores.Open(path);
        string? state = await SlideOutput.StateAsync(store, cancellationToken);
        if (state is "incomplete")
            return new JsonObject { ["folder"] = path, ["format"] = "OME-Zarr 0.4", ["state"] = "incomplete: stain the slide again" };
        var image = (await OmeZarrReader.OpenAsync(store, cancellationToken)).Image;
        return new JsonObject
        {
            ["folder"] = path,
            ["format"] = "OME-Zarr 0.4",
            ["state"] = state,
            ["width"] = image.Width,
            ["height"] = image.Height,
            ["levels"] = image.Levels,
            ["channels"] = new JsonArray([.. image.Channels.Select(channel => JsonValue.Create(channel.Label))]),
            ["pixel_size_micrometres"] = image.PhysicalSizeX is { } x ? string.Create(CultureInfo.InvariantCulture, $"{x} x {image.PhysicalSizeY}") : null,
            ["made_by"] = image.Attributes?.DeepClone(),
        };
    }
}

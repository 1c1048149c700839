using System.CommandLine;
using System.Text.Json.Nodes;
using StainGrid.Model;
using TorchSharp;

namespace StainGrid.Cli;

/// <summary>`staingrid model`.</summary>
internal static class ModelCommand
{
    public static Command Create()
    {
        var command = new Command("model", "Make and look at model files (safetensors), and keep them in a registry.") { Init(), Info() };
        foreach (var one in RegistryCommands.Create())
            command.Subcommands.Add(one);
        return command;
    }

    /// <summary>What a model file says of itself.</summary>
    /// <exception cref="ModelFileException">The file is refused.</exception>
    public static JsonObject Facts(string path)
    {
        using var model = StainModel.Load(path);
        var (network, metadata) = (model.Network.Options, model.Metadata);
        return new JsonObject
        {
            ["file"] = path,
            ["sha256"] = model.Sha256,
            ["variant"] = network.Variant.ToString().ToLowerInvariant(),
            ["resampling"] = network.Resampling.ToString().ToLowerInvariant(),
            ["blocks"] = network.Block.ToString().ToLowerInvariant(),
            ["patch_scales"] = new JsonArray([.. network.PatchScales.Select(scale => JsonValue.Create(scale))]),
            ["parameters"] = network.ParameterCount(metadata.Labels.Count),
            ["labels"] = new JsonArray([.. metadata.Labels.Select(label => JsonValue.Create(label.Name))]),
            ["label_ranges"] = new JsonArray([.. metadata.Labels.Select(label => JsonValue.Create($"{label.Low}-{label.High}"))]),
            ["normalisation"] = $"percentiles {metadata.Normalisation.LowPercentile} and {metadata.Normalisation.HighPercentile} of each plane to -1 and 1",
            ["training"] = metadata.Training.Text,
            ["training_facts"] = new JsonObject([.. metadata.Training.Values.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))]),
            ["licence"] = metadata.Licence,
        };
    }

    private static Command Info()
    {
        var file = new Argument<string>("FILE") { Description = "A model file.", DefaultValueFactory = _ => StainOptions.DefaultModel };
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var command = new Command("info", "Say what a model file holds; without FILE, the one that comes with the command.") { file, json };
        command.Computes((parsed, _) =>
        {
            string path = parsed.GetValue(file)!;
            InfoCommand.Print(Facts(path), parsed.GetValue(json));
            return ExitCodes.Done;
        });
        return command;
    }

    private static Command Init()
    {
        var output = new Option<string>("--output", "-o") { Description = "The file to write.", Required = true, HelpName = "FILE" };
        var seed = new Option<ulong>("--seed") { Description = "The seed of the weights: the same seed gives the same file.", DefaultValueFactory = _ => 1 };
        var labels = new Option<string[]>("--labels", "-l")
        {
            Description = "The labels, by commas. Default: the data set's eight.",
            HelpName = "A,B",
            AllowMultipleArgumentsPerToken = true,
        };
        var defaults = new NetworkOptions();
        var variant = new Option<NetworkVariant>("--variant") { Description = "paper, or residual (as the authors' later GVTNets).", DefaultValueFactory = _ => defaults.Variant };
        var resampling = new Option<Resampling>("--resampling") { Description = "attention, or convolution (table IV's ablation).", DefaultValueFactory = _ => defaults.Resampling };
        var blocks = new Option<BlockKind>("--blocks") { Description = "dense, or plain (table IV's ablation).", DefaultValueFactory = _ => defaults.Block };
        var scales = new Option<int[]>("--scales")
        {
            Description = "Sides of the patches, pixels; 128 alone for the single-scale ablation.",
            DefaultValueFactory = _ => [.. defaults.PatchScales],
            AllowMultipleArgumentsPerToken = true,
        };
        var stem = new Option<int>("--stem") { Description = "Channels after the first convolution; fewer make a faster, weaker network.", DefaultValueFactory = _ => defaults.StemChannels };
        var growth = new Option<int>("--growth") { Description = "Channels that each layer adds.", DefaultValueFactory = _ => defaults.Growth };
        var command = new Command("init", "Write a model file with initial weights, to train from or to test with: it predicts noise.")
        {
            output, seed, labels, variant, resampling, blocks, scales, stem, growth,
        };
        command.Computes((parsed, _) =>
        {
            string path = parsed.GetValue(output)!;
            var names = (parsed.GetValue(labels) ?? []).SelectMany(name => name.Split(',', StringSplitOptions.RemoveEmptyEntries)).ToArray();
            using var model = StainModel.Create(
                new NetworkOptions
                {
                    Variant = parsed.GetValue(variant),
                    Resampling = parsed.GetValue(resampling),
                    Block = parsed.GetValue(blocks),
                    PatchScales = parsed.GetValue(scales)!,
                    StemChannels = parsed.GetValue(stem),
                    Growth = parsed.GetValue(growth),
                },
                names.Length == 0 ? FluorescenceLabels.All : [.. names.Select(LabelOf)],
                parsed.GetValue(seed));
            model.Save(path, torch.ScalarType.Float32);
            Console.Out.WriteLine($"{path}: {model.Metadata.Labels.Count} labels, {model.Network.Options.ParameterCount(model.Metadata.Labels.Count):N0} parameters, sha256 {model.Sha256}");
            return ExitCodes.Done;
        });
        return command;
    }

    private static LabelInfo LabelOf(string name) =>
        FluorescenceLabels.Find(name) ?? new LabelInfo(name, 0, ushort.MaxValue, "FFFFFF");
}

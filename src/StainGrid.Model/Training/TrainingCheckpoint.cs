using System.Text.Json;
using System.Text.Json.Serialization;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>All that a training needs to go on as if it had not stopped: weights and running statistics, Adam's two averages of each weight, and the
/// step, which with the seed is the state of all random numbers. A safetensors file, written whole or not at all.</summary>
internal static class TrainingCheckpoint
{
    private const int Version = 1;
    private const string Key = "staingrid.checkpoint";
    private const string Weights = "weights.", Averages = "adam.average.", Squares = "adam.square.";

    private static readonly JsonSerializerOptions s_json = new() { UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, Converters = { new JsonStringEnumConverter() } };

    /// <summary>Writes a checkpoint.</summary>
    /// <exception cref="ModelFileException">The file cannot be written; one that was there stays.</exception>
    public static void Write(string path, StainModel model, Adam optimiser, int step, TrainingOptions options)
    {
        var tensors = model.Network.NamedTensors().ToDictionary(pair => Weights + pair.Key, pair => pair.Value);
        foreach (var (name, state) in States(model, optimiser))
        {
            tensors.Add(Averages + name, state.exp_avg);
            tensors.Add(Squares + name, state.exp_avg_sq);
        }

        var fewer = States(model, optimiser).Where(parameter => parameter.State.step != step).ToDictionary(parameter => parameter.Name, parameter => parameter.State.step, StringComparer.Ordinal);
        string text = JsonSerializer.Serialize(new Document(Version, step, options, model.Metadata.Network, [.. model.Network.Labels], fewer), s_json);
        SafetensorsFile.Write(path, tensors, new Dictionary<string, string> { [Key] = text });
    }

    /// <summary>Takes up a checkpoint.</summary>
    /// <returns>The steps that were taken.</returns>
    /// <exception cref="ModelFileException">The file is damaged, of another network, or of other options.</exception>
    public static int Read(string path, StainModel model, Adam optimiser, TrainingOptions options)
    {
        using var file = SafetensorsFile.Read(path);
        var document = Parse(path, file);
        if (document.Network != model.Metadata.Network || !document.Labels.SequenceEqual(model.Network.Labels))
            throw new ModelFileException(path, $"it is of another network (labels {string.Join(", ", document.Labels)}). Give another folder for this training, or its own settings.");
        if (document.Options != options)
            throw new ModelFileException(path, "it is of a training with other settings. Give another folder for this training, or the settings that training.json beside it has.");

        using var gradients = no_grad();
        var targets = model.Network.NamedTensors().ToDictionary(pair => Weights + pair.Key, pair => pair.Value);
        foreach (var (name, state) in States(model, optimiser))
        {
            targets.Add(Averages + name, state.exp_avg);
            targets.Add(Squares + name, state.exp_avg_sq);
        }

        // First all is looked at, then copied: a damaged file changes nothing.
        foreach (var (name, target) in targets)
        {
            if (!file.Tensors.TryGetValue(name, out var source) || !source.shape.SequenceEqual(target.shape) || source.dtype != target.dtype)
                throw new ModelFileException(path, $"the tensor '{name}' is missing or of another shape. The file is damaged; delete it to begin anew.");
        }

        foreach (var (name, target) in targets)
            target.copy_(file.Tensors[name]);
        foreach (var (name, state) in States(model, optimiser))
            state.step = document.Updates?.GetValueOrDefault(name, document.Step) ?? document.Step;
        return document.Step;
    }

    private static Document Parse(string path, SafetensorsFile file)
    {
        try
        {
            var document = file.Metadata.TryGetValue(Key, out string? text) ? JsonSerializer.Deserialize<Document>(text, s_json) : null;
            if (document is { Version: Version, Step: >= 0, Options: not null, Network: not null, Labels: not null })
                return document;
        }
        catch (JsonException)
        {
            // As if it were not there.
        }

        throw new ModelFileException(path, "it is no checkpoint of a training, or of another version. Give the folder of a training, or delete the file to begin anew.");
    }

    private static IEnumerable<(string Name, Adam.State State)> States(StainModel model, Adam optimiser) =>
        model.Network.named_parameters().Zip(optimiser.state_dict().State.Cast<Adam.State>(), (parameter, state) => (parameter.name, state));

    // Updates: of each parameter that had fewer than the steps, how many. A head has none in a step whose tiles lack its label, and Adam's averages begin by their own number.
    private sealed record Document(
        int Version, int Step, TrainingOptions Options, NetworkOptions Network, IReadOnlyList<string> Labels, IReadOnlyDictionary<string, long>? Updates = null);
}

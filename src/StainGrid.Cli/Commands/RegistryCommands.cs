using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Grains;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>`staingrid model push`, `list` and `pin`.</summary>
internal static class RegistryCommands
{
    private static string Who => $"{Environment.UserName}@{Environment.MachineName}";

    public static IEnumerable<Command> Create() => [Push(), List(), Pin()];

    private static Command Push()
    {
        var file = new Argument<string>("FILE") { Description = "A model file." };
        var name = new Option<string?>("--name") { Description = "The model's name: lower-case letters, digits, '.', '_', '-'. Default: the file's.", HelpName = "NAME" };
        return OnRegistry("push",
            """
            Put a model file into the registry, as a version of a name. It is checked first, kept by its content's hash, and never
            written over; the same file again changes nothing. The first version of a name is pinned, later ones are when you say so:

              staingrid model push run/model.safetensors --name neuron --registry azure://models
              staingrid plate submit PLATE -m model:neuron@3f9a2c41 ..      try that version
              staingrid model pin neuron 3f9a2c41                          plates that name it get that version from now on
            """,
            [file], [name], async (registry, parsed, json, cancellationToken) =>
            {
                string path = parsed.GetValue(file)!, called = parsed.GetValue(name) ?? Path.GetFileNameWithoutExtension(path);
                var pushed = await registry.PushAsync(path, called, Who, cancellationToken);
                var version = pushed.Version;
                Console.Out.WriteLine(json ? Facts(called, version, pushed.IsPinned).ToJsonString()
                    : $"{called}@{version.Sha256}: {(pushed.IsNew ? pushed.IsCopied ? "pushed" : "named; the file was there" : "there already")}{(pushed.IsPinned ? ", pinned" : $"; 'staingrid model pin {called} {version.Sha256[..12]}' makes plates use it")}");
                return ExitCodes.Done;
            });
    }

    private static Command List()
    {
        var name = new Argument<string?>("NAME") { Description = "Only this model.", Arity = ArgumentArity.ZeroOrOne };
        return OnRegistry("list", "List the models of the registry and their versions, the newest first. The one that a name means is marked *.", [name], [], async (registry, parsed, json, cancellationToken) =>
        {
            int exit = ExitCodes.Done;
            string[] names = parsed.GetValue(name) is { } one ? [one] : await registry.NamesAsync(cancellationToken).ToArrayAsync(cancellationToken);
            foreach (string model in names)
            {
                try
                {
                    var record = await registry.GetAsync(model, cancellationToken) ?? throw new ModelNotFoundException($"There is no model '{model}' in {registry.Place}.");
                    foreach (var version in record.Versions.Reverse())
                        Console.Out.WriteLine(json ? Facts(model, version, version.Sha256 == record.Pinned).ToJsonString() : Line(model, version, version.Sha256 == record.Pinned));
                }
                catch (Exception e) when (e is BlobStoreException or ModelNotFoundException)
                {
                    ResultReport.Failure(model, e.Message, json);
                    exit = ExitCodes.Failed;
                }
            }

            return exit;
        });
    }

    private static Command Pin()
    {
        var name = new Argument<string>("NAME") { Description = "The model's name." };
        var hash = new Argument<string>("HASH") { Description = $"The version's hash, or at least its first {ModelRegistry.ShortestHash} digits." };
        return OnRegistry("pin",
            """
            Say which of its versions a model's name means. Plates that are submitted from now on get it, at once and without a restart of silos; those that were
            submitted keep theirs, also when their fields are retried. To roll back, pin the version before.
            """,
            [name, hash], [], async (registry, parsed, json, cancellationToken) =>
            {
                string model = parsed.GetValue(name)!;
                var (version, before) = await registry.PinAsync(model, parsed.GetValue(hash)!, Who, cancellationToken);
                Console.Out.WriteLine(json ? Facts(model, version, pinned: true).ToJsonString()
                    : $"{model} is {version.Sha256}{(before == version.Sha256 ? ", as before" : $"; it was {before}")}");
                return ExitCodes.Done;
            });
    }

    private static JsonObject Facts(string model, ModelVersion version, bool pinned) => new()
    {
        ["name"] = model,
        ["sha256"] = version.Sha256,
        ["pinned"] = pinned,
        ["bytes"] = version.Bytes,
        ["labels"] = new JsonArray([.. version.Labels.Select(label => JsonValue.Create(label))]),
        ["variant"] = version.Variant,
        ["licence"] = version.Licence,
        ["pushed"] = version.Pushed,
        ["by"] = version.By,
    };

    private static string Line(string model, ModelVersion version, bool pinned) => string.Create(CultureInfo.InvariantCulture,
        $"{(pinned ? '*' : ' ')} {model,-24} {version.Sha256[..12]}  {version.Pushed:yyyy-MM-dd HH:mm}  {version.Bytes / 1e6,8:F1} MB  {version.By,-20} {string.Join(',', version.Labels)}");

    private static Command OnRegistry(string name, string description, Argument[] arguments, Option[] options, Func<ModelRegistry, ParseResult, bool, CancellationToken, Task<int>> act)
    {
        var registry = RegistryChoice.Option("The model registry.");
        var json = new Option<bool>("--json") { Description = "Print one JSON object a version." };
        var command = new Command(name, description) { registry, json };
        foreach (var argument in arguments)
            command.Arguments.Add(argument);
        foreach (var option in options)
            command.Options.Add(option);
        command.Runs(async (parsed, cancellationToken) =>
        {
            return await act(RegistryChoice.Open(parsed, registry), parsed, parsed.GetValue(json), cancellationToken);
        });
        return command;
    }
}

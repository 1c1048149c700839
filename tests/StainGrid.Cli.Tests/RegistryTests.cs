using System.Text.Json.Nodes;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Cli.Tests;

/// <summary>The model registry from the command line, as docs/models.md tells it.</summary>
public sealed class RegistryTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string Registry => folder.File("registry");

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_model_is_pushed_tried_pinned_and_pinned_back()
    {
        string old = await PushAsync(1), next = await PushAsync(2);
        var versions = StainGridCommand.Lines(await SuccessAsync("model", "list", "--registry", Registry, "--json"));
        Assert.Equal([(next, false), (old, true)], versions.Select(version => (version.GetProperty("sha256").GetString()!, version.GetProperty("pinned").GetBoolean())));
        string listed = await SuccessAsync("model", "list", "neuron", "--registry", Registry);
        Assert.StartsWith($"  neuron                   {next[..12]}", listed, StringComparison.Ordinal);
        Assert.Contains($"\n* neuron                   {old[..12]}", listed, StringComparison.Ordinal);
        Assert.Contains("DAPI_CONFOCAL", listed, StringComparison.Ordinal);

        Directory.CreateDirectory(folder.File("plate"));
        PngWriter.WriteGrey16(folder.File("plate", "r02c02f01p01-ch1sk1fk1fl1.tiff"), [.. Enumerable.Range(0, 150 * 130).Select(i => (ushort)(i * 3))], 150, 130);
        string image = folder.File("plate", "r02c02f01p01-ch1sk1fk1fl1.tiff");
        string[] plate = ["plate", "submit", folder.File("plate"), "-o", folder.File("kept.zarr"), "-m", "model:neuron", "--registry", Registry, "--stride", "128", "--json"];
        await SuccessAsync(plate);
        Assert.Equal(old, await StainAsync("model:neuron", "a"));
        Assert.Equal(next, await StainAsync($"model:neuron@{next[..8]}", "b"));
        Assert.Equal($"neuron is {next}; it was {old}\n", await SuccessAsync("model", "pin", "neuron", next[..8], "--registry", Registry));
        Assert.Equal(next, await StainAsync("model:neuron", "c"));

        // The same plate again is the same plate, with the model that it began with.
        await SuccessAsync(plate);
        Assert.Equal(old, await ModelOfAsync(folder.File("kept.zarr", "B", "2", "0")));
        await SuccessAsync("model", "pin", "neuron", old, "--registry", Registry);
        Assert.Equal(old, await StainAsync("model:neuron", "d"));

        async Task<string> StainAsync(string model, string output)
        {
            await SuccessAsync("stain", image, "-m", model, "--registry", Registry, "-o", folder.File(output), "--stride", "128");
            return await ModelOfAsync(folder.File(output, "r02c02f01p01-ch1sk1fk1fl1.ome.zarr"));
        }
    }

    [Fact]
    public async Task What_is_wrong_is_told_in_one_line()
    {
        string hash = await PushAsync(1);
        await File.WriteAllTextAsync(folder.File("notes.safetensors"), "no model", Stop);
        await FailureAsync(1, "notes.safetensors", "model", "push", folder.File("notes.safetensors"), "--registry", Registry);
        await FailureAsync(2, "is no name of a model", "model", "push", folder.File("1.safetensors"), "--name", "../x", "--registry", Registry);
        await FailureAsync(2, "--registry is missing", "model", "list");
        await FailureAsync(1, "has no version", "model", "pin", "neuron", hash[..8] == "00000000" ? "11111111" : "00000000", "--registry", Registry);
        await FailureAsync(2, "at least the first 8", "model", "pin", "neuron", hash[..7], "--registry", Registry);
        await FailureAsync(1, "no model 'absent'", "stain", folder.File("x.png"), "-m", "model:absent", "--registry", Registry, "-o", folder.File("out"));
        await FailureAsync(2, "--registry is missing", "plate", "submit", folder.Path, "-m", "model:neuron", "-o", folder.File("out"));
        await FailureAsync(2, "which is not given", "serve", "--models", "model:neuron", "--data", folder.File("service"));

        // A damaged record spoils no other.
        await SuccessAsync("model", "push", folder.File("1.safetensors"), "--name", "damaged", "--registry", Registry);
        await File.WriteAllTextAsync(Path.Combine(Registry, "models", "names", "damaged.json"), "{", Stop);
        string listed = await FailureAsync(1, "damaged.json is damaged", "model", "list", "--registry", Registry);
        Assert.Contains($"* neuron                   {hash[..12]}", listed, StringComparison.Ordinal);
    }

    private async Task<string> PushAsync(int seed)
    {
        string file = folder.File($"{seed}.safetensors");
        await SuccessAsync("model", "init", "--seed", $"{seed}", "--labels", "DAPI_CONFOCAL", "--stem", "2", "--growth", "2", "--resampling", "convolution", "-o", file);
        return StainGridCommand.Lines(await SuccessAsync("model", "push", file, "--name", "neuron", "--registry", Registry, "--json"))[0].GetProperty("sha256").GetString()!;
    }

    private static async Task<string> ModelOfAsync(string image) =>
        (string)JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(image, ".zattrs"), Stop))!["staingrid"]!["model"]!["sha256"]!;

    private static async Task<string> SuccessAsync(params string[] arguments)
    {
        var (exit, output, error) = await StainGridCommand.RunAsync(arguments);
        Assert.True(exit == 0, $"{exit}: {output}{error}");
        return output;
    }

    private static async Task<string> FailureAsync(int code, string said, params string[] arguments)
    {
        var (exit, output, error) = await StainGridCommand.RunAsync(arguments);
        Assert.Equal(code, exit);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(said, line, StringComparison.Ordinal);
        return output;
    }
}

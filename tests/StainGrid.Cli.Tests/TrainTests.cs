using StainGrid.TestSupport;

namespace StainGrid.Cli.Tests;

/// <summary>Learning at small scale: a small network, on the real field where it is and on specimens.</summary>
public sealed class TrainTests : IDisposable
{
    private const string Network = """
        { "variant": "residual", "resampling": "convolution", "block": "dense", "patch_scales": [128, 256, 64], "stem_channels": 8, "growth": 8,
          "encoder_layers": [1, 1], "bottom_layers": 1, "decoder_layers": [1, 1], "dropout": 0.1, "levels": 256 }
        """;

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task The_real_field_is_learned_and_a_stopped_training_gives_the_same_weights()
    {
        string data = SharedData.File("isl-condition-b", "train");
        string config = Config("real", $$"""{ "data": "{{data}}", "network": {{Network}}, "training": { "steps": 160, "batch_size": 1, "warm_up": 10, "learning_rate": 0.006, "norm_batches": 8 }, "evaluate_every": 80, "checkpoint_every": 40 }""");
        string[] split = ["--test-columns", "640:768", "--validation-columns", "512:640"];
        var (exit, output, error) = await StainGridCommand.RunAsync(["train", config, .. split, "-o", folder.File("whole"), "--json"]);
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        var result = Assert.Single(StainGridCommand.Lines(output));
        Assert.Equal(160, result.GetProperty("steps").GetInt32());
        string[] curve = await File.ReadAllLinesAsync(folder.File("whole", "curve.csv"), TestContext.Current.CancellationToken);
        Assert.Equal("step,learning_rate,loss_DAPI_CONFOCAL,loss_NFH_CONFOCAL,loss_MAP2_CONFOCAL,pearson_DAPI_CONFOCAL,pearson_NFH_CONFOCAL,pearson_MAP2_CONFOCAL", curve[0]);
        Assert.Equal(161, curve.Length);
        double first = Loss(curve[1..11]), last = Loss(curve[^20..]);
        Assert.True(last < first - 1.5, $"From {first:F2} to {last:F2} nats.");
        Assert.True(File.Exists(folder.File("whole", "curve.png")));

        // Stopped by Ctrl-C between two checkpoints, and again killed without a word: then the same command.
        await StopAsync(["train", config, .. split, "-o", folder.File("parts")], kill: false);
        await StopAsync(["train", config, .. split, "-o", folder.File("parts")], kill: true);
        (exit, output, error) = await StainGridCommand.RunAsync(["train", config, .. split, "-o", folder.File("parts")]);
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        Assert.Contains("goes on after step", error);
        foreach (string name in (string[])["model.safetensors", "checkpoint.safetensors", "curve.csv", "split.json"])
            Assert.True(File.ReadAllBytes(folder.File("whole", name)).SequenceEqual(File.ReadAllBytes(folder.File("parts", name))), $"{name} differs.");

        (exit, output, error) = await StainGridCommand.RunAsync(
            "evaluate", folder.File("whole", "model.safetensors"), data, "--split", folder.File("whole", "split.json"), "-o", folder.File("evaluation"), "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        double[] pearson = [.. Assert.Single(StainGridCommand.Lines(output)).GetProperty("report").GetProperty("labels").EnumerateArray().Select(label => label.GetProperty("all").GetProperty("pearson").GetDouble())];
        Assert.True(pearson.All(value => value > 0.2) && pearson.Max() > 0.5, string.Join(' ', pearson));

        // Another setting in the same folder is refused, and what is there stays.
        (exit, _, error) = await StainGridCommand.RunAsync(["train", config, .. split, "--rate", "0.001", "-o", folder.File("whole")]);
        Assert.Equal(1, exit);
        Assert.Contains("holds a training with other settings", error);
    }

    [Fact]
    public async Task Specimens_are_learned_and_their_model_goes_on_to_other_labels()
    {
        string config = Config("specimens", $$"""{ "specimens": 2, "network": {{Network}}, "training": { "steps": 60, "batch_size": 1, "warm_up": 5, "learning_rate": 0.006, "norm_batches": 5 } }""");
        var (exit, output, error) = await StainGridCommand.RunAsync("train", config, "-o", folder.File("first"), "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        string[] curve = await File.ReadAllLinesAsync(folder.File("first", "curve.csv"), TestContext.Current.CancellationToken);
        Assert.True(Loss(curve[^10..]) < Loss(curve[1..6]) - 1, $"From {Loss(curve[1..6]):F2} to {Loss(curve[^10..]):F2} nats.");

        string manifest = folder.File("pairs.csv");
        WriteNoise("light", "membranes", "nuclei", "light2", "membranes2", "nuclei2");
        await File.WriteAllTextAsync(manifest, "field,well,image,CELLMASK_CONFOCAL,DAPI_CONFOCAL\n1,A1,light.png,membranes.png,nuclei.png\n2,A2,light2.png,membranes2.png,nuclei2.png\n", TestContext.Current.CancellationToken);
        (exit, output, error) = await StainGridCommand.RunAsync("train", manifest, "--test-wells", "A2", "--from", folder.File("first", "model.safetensors"), "--steps", "2", "--batch", "1", "-o", folder.File("tuned"));
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        (exit, output, error) = await StainGridCommand.RunAsync("model", "info", folder.File("tuned", "model.safetensors"));
        Assert.True(exit == 0 && output.Contains("CELLMASK_CONFOCAL", StringComparison.Ordinal) && !output.Contains("NFH_CONFOCAL", StringComparison.Ordinal), output + error);
    }

    [Fact]
    public async Task The_rows_of_the_ablation_are_trained_and_told_in_a_table()
    {
        string data = SharedData.File("isl-condition-b", "train");
        string config = Config("ablation", $$"""{ "data": "{{data}}", "network": {{Network}}, "training": { "steps": 3, "batch_size": 1, "norm_batches": 1 } }""");
        var (exit, output, error) = await StainGridCommand.RunAsync("ablate", config, "--test-columns", "640:768", "--same-time", "-o", folder.File("ablation"), "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        var results = Assert.Single(StainGridCommand.Lines(output)).GetProperty("results").EnumerateArray().ToArray();
        string[] rows = ["U-Net, one scale", "U-Net, multi-scale", "with dense blocks", "with GPT layers"];
        Assert.Equal(rows, results.Where(result => !result.GetProperty("same_time").GetBoolean()).Select(result => result.GetProperty("row").GetString()!));
        Assert.Equal(3, results.Count(result => result.GetProperty("same_time").GetBoolean()));
        Assert.All(results, result => Assert.Equal(3, result.GetProperty("pearson").EnumerateObject().Count()));
        foreach (string name in (string[])["report.html", "report.md", "table.csv", "pearson.png", "loss.png"])
            Assert.True(new FileInfo(folder.File("ablation", name)).Length > 100, name);

        // A second time there is nothing to train.
        (exit, string second, error) = await StainGridCommand.RunAsync("ablate", config, "--test-columns", "640:768", "--same-time", "-o", folder.File("ablation"), "--json");
        Assert.Equal((0, output), (exit, second));
    }

    [Fact]
    public async Task What_cannot_be_trained_is_told_before_anything_is_written()
    {
        WriteNoise("light", "cells", "light2", "cells2");
        string pairs = Manifest("pairs", "1,A1,light.png,cells.png\n");
        await Fails(2, "There is nothing to train on");
        await Fails(1, "does not exist", folder.File("nowhere"));
        await Fails(1, "fewer than three wells", pairs);
        await Fails(1, "has 200 columns", pairs, "--test-columns", "0:128");
        await Fails(1, "has no well B7", pairs, "--test-wells", "B7");
        await Fails(1, "nothing to train on", pairs, "--test-wells", "A1");
        await Fails(2, "is no range of columns", pairs, "--test-columns", "128");
        await Fails(2, "Give one of --split", pairs, "--test-columns", "0:128", "--test-wells", "A1");
        await Fails(2, "Steps must be between", "--specimens", "1", "--steps", "0");
        await Fails(1, "could not be mapped", Config("odd", """{ "specimens": 1, "stepps": 3 }"""));
        await Fails(1, "0.0 GB are allowed", "--specimens", "1", "--memory", "0.001");
        File.WriteAllBytes(folder.File("cut.png"), File.ReadAllBytes(folder.File("light.png"))[..2000]);
        await Fails(1, "cut.png", Manifest("cut", "1,A1,cut.png,cells.png\n2,A2,light2.png,cells2.png\n"), "--test-wells", "A2");

        async Task Fails(int expected, string message, params string[] arguments)
        {
            var (exit, _, error) = await StainGridCommand.RunAsync(["train", .. arguments, "-o", folder.File("none")]);
            Assert.True(expected == exit && error.Contains(message, StringComparison.Ordinal), $"{exit}: {error}");
            Assert.False(File.Exists(folder.File("none", "model.safetensors")) || File.Exists(folder.File("none", "checkpoint.safetensors")));
        }
    }

    private string Config(string name, string json)
    {
        string path = folder.File(name + ".json");
        File.WriteAllText(path, json);
        return path;
    }

    private string Manifest(string name, string rows)
    {
        string path = folder.File(name + ".csv");
        File.WriteAllText(path, "field,well,image,DAPI_CONFOCAL\n" + rows);
        return path;
    }

    private void WriteNoise(params string[] names)
    {
        var random = new Random(1);
        foreach (string name in names)
            Imaging.PngWriter.WriteGrey16(folder.File(name + ".png"), [.. Enumerable.Range(0, 200 * 150).Select(_ => (ushort)random.Next(60_000))], 200, 150);
    }

    // Starts a training, waits for a checkpoint and some steps more, and ends it.
    private static async Task StopAsync(string[] arguments, bool kill)
    {
        string checkpoint = Path.Combine(arguments[^1], "checkpoint.safetensors");
        var before = File.Exists(checkpoint) ? File.GetLastWriteTimeUtc(checkpoint) : default;
        using var process = StainGridCommand.Start(arguments);
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        while (!process.HasExited && (!File.Exists(checkpoint) || File.GetLastWriteTimeUtc(checkpoint) == before))
            await Task.Delay(20, TestContext.Current.CancellationToken);
        await Task.Delay(100, TestContext.Current.CancellationToken);
        if (kill)
            process.Kill();
        else
            System.Diagnostics.Process.Start("kill", ["-INT", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]).WaitForExit();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == (kill ? 137 : 130), $"{process.ExitCode}: {await output}{await error}");
    }

    // The mean of the losses of some rows.
    private static double Loss(string[] rows) => rows.SelectMany(row => row.Split(',')[2..5]).Average(cell => double.Parse(cell, System.Globalization.CultureInfo.InvariantCulture));
}

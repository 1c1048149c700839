using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Cli.Tests;

public sealed class EvaluateTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task The_held_out_part_is_evaluated_and_the_report_written()
    {
        string model = await ModelAsync("DAPI_CONFOCAL,MAP2_CONFOCAL"), manifest = Manifest("DAPI_CONFOCAL"), split = Split();
        var (exit, output, error) = await StainGridCommand.RunAsync(
            "evaluate", model, manifest, "--split", split, "-o", folder.File("out"), "--precision", "float32", "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        var result = Assert.Single(StainGridCommand.Lines(output));
        Assert.Equal("complete", result.GetProperty("state").GetString());
        var report = result.GetProperty("report");
        var field = Assert.Single(report.GetProperty("fields").EnumerateArray());
        Assert.Equal(("B/A2/two", 130, 131), (field.GetProperty("name").GetString(), field.GetProperty("width").GetInt32(), field.GetProperty("height").GetInt32()));
        var label = Assert.Single(report.GetProperty("labels").EnumerateArray());
        Assert.Equal(130 * 131, label.GetProperty("all").GetProperty("pixels").GetInt32());
        Assert.True(label.GetProperty("all").GetProperty("pearson_of_random_pixels").GetProperty("standard_deviation").GetDouble() > 0);
        Assert.Contains($"the test part of {manifest} by {split}", await File.ReadAllTextAsync(folder.File("out", "report.html"), TestContext.Current.CancellationToken));
        Assert.Contains("stride 64, gaussian", await File.ReadAllTextAsync(folder.File("out", "report.md"), TestContext.Current.CancellationToken));
        Assert.True(File.Exists(folder.File("out", "sides_B-A2-two_DAPI_CONFOCAL.png")));

        (exit, output, error) = await StainGridCommand.RunAsync("evaluate", model, manifest, "--split", split, "--part", "train", "--blend", "uniform", "-o", folder.File("train"));
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        Assert.Contains("stride 64, uniform", await File.ReadAllTextAsync(folder.File("train", "report.md"), TestContext.Current.CancellationToken));
        Assert.Contains("DAPI_CONFOCAL", output);
        Assert.Contains(folder.File("train", "report.html"), output);
        Assert.Contains("tiles", error);
    }

    [Fact]
    public async Task What_cannot_be_evaluated_is_told_in_a_line()
    {
        string model = await ModelAsync("MAP2_CONFOCAL"), manifest = Manifest("DAPI_CONFOCAL"), split = Split();
        await Fails(1, "The data has the labels DAPI_CONFOCAL; the model predicts MAP2_CONFOCAL.", model, manifest);
        await Fails(1, "has no validation part", model, manifest, "--split", split, "--part", "validation");
        await Fails(1, "does not exist", model, folder.File("nowhere"));
        await Fails(1, "missing.safetensors", folder.File("missing.safetensors"), manifest);
        await Fails(2, "--part is a part of a split", model, manifest, "--part", "test");
        await Fails(2, "--stride must be", model, manifest, "--stride", "3");
        await Fails(2, "is not a device", model, manifest, "--device", "tpu");

        async Task Fails(int expected, string message, params string[] arguments)
        {
            var (exit, _, error) = await StainGridCommand.RunAsync(["evaluate", .. arguments, "-o", folder.File("none")]);
            Assert.True(expected == exit && error.Contains(message, StringComparison.Ordinal), $"{exit}: {error}");
        }
    }

    private async Task<string> ModelAsync(string labels)
    {
        string path = folder.File("model.safetensors");
        var (exit, _, error) = await StainGridCommand.RunAsync("model", "init", "-o", path, "--labels", labels, "--stem", "4", "--growth", "2", "--resampling", "convolution");
        Assert.True(exit == 0, $"{exit}: {error}");
        return path;
    }

    private string Manifest(string label)
    {
        foreach (var (name, width, height) in ((string, int, int)[])[("one", 140, 128), ("two", 160, 150)])
        {
            Write($"{name}_phase.png", (x, y) => 20_000 + 100 * x + 37 * y);
            Write($"{name}_truth.png", (x, y) => 20_000 + 19_000 * Math.Sin(x * 0.1) * Math.Cos(y * 0.07));

            void Write(string file, Func<int, int, double> pixel) => PngWriter.WriteGrey16(
                folder.File(file), [.. Enumerable.Range(0, width * height).Select(i => (ushort)pixel(i % width, i / width))], width, height);
        }

        string path = folder.File("pairs.csv");
        File.WriteAllText(path, $"field,condition,well,image,{label}\none,B,A1,one_phase.png,one_truth.png\ntwo,B,A2,two_phase.png,two_truth.png\n");
        return path;
    }

    private string Split()
    {
        string path = folder.File("split.json");
        File.WriteAllText(path, """{"version":1,"train":[{"field":"B/A1/one"}],"validation":[],"test":[{"field":"B/A2/two","region":{"x":30,"y":19,"width":130,"height":131}}]}""");
        return path;
    }
}

using System.Text.Json;
using StainGrid.Imaging;
using StainGrid.TestSupport;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests.Evaluation;

public sealed class EvaluatorTests : IDisposable
{
    private static readonly EvaluationOptions Quick = new() { Draws = 3, DrawPixels = 2000, Tiling = new TilingOptions(96) };

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(Precision.Float32)]
    [InlineData(Precision.BFloat16)]
    public void The_figures_are_those_of_the_predicted_slide(Precision precision)
    {
        using var model = Model();
        var (first, second) = (Field("one", "B", 151, 133, 3), Field("two", "A", 130, 140, 3, "FIRST"));
        var options = Quick with { Precision = precision, Plane = 1 };
        var images = new List<EvaluatedImage>();
        var told = new List<EvaluationProgress>();
        var report = new Evaluator(model, options).Run([new FieldPart(first, null), new FieldPart(second, null)], images.Add, told.Add, Stop);

        Assert.Equal(["FIRST", "SECOND"], report.Labels.Select(label => label.Label));
        Assert.Equal(["A", "B"], report.Labels[0].Conditions.Select(condition => condition.Condition));
        Assert.Equal(["B"], report.Labels[1].Conditions.Select(condition => condition.Condition));
        Assert.Equal((first.Name, "FIRST", second.Name, "FIRST"), (images[0].Field.Name, images[0].Label.Name, images[2].Field.Name, images[2].Label.Name));
        Assert.Equal((0, told[^1].TilesTotal), (told[0].TilesDone, told[^1].TilesDone));
        Assert.Equal(told.Select(at => at.TilesDone).Order(), told.Select(at => at.TilesDone));
        Assert.Equal(model.Sha256, report.ModelSha256);

        // The plain way, for the first field's second label.
        using var light = ImageReader.OpenStack(first.Planes);
        var predicted = SlidePredictor.Predict(model, light, [1], [1], [Statistic.Mean, Statistic.StandardDeviation], options.Tiling, precision, cancellationToken: Stop);
        using var truth = ImageReader.Open(first.Labels["SECOND"]);
        float[] raw = new float[151 * 133];
        truth.Read(0, new Region(0, 0, 151, 133), raw);
        double[] a = [.. predicted.Values[0].Select(value => Math.Round(value * 255))];
        double[] b = [.. raw.Select(value => Math.Round(Math.Clamp((value - 1000) / 50_000, 0, 1) * 255))];
        var metrics = report.Labels[1].All;
        Assert.Same(metrics, report.Labels[1].Conditions[0].Metrics);
        Assert.Equal(a.Zip(b, (x, y) => Math.Abs(x - y)).Average(), metrics.MeanAbsoluteError!.Value, 1e-9);
        Assert.Equal(Correlation.Pearson<double>(a, b), metrics.Pearson!.Value, 1e-9);
        Assert.Equal(a.Zip(b).Count(pair => (int)pair.First * 10 / 256 == (int)pair.Second * 10 / 256) / (151.0 * 133), metrics.Confusion.Accuracy!.Value, 1e-12);
        Assert.Equal(b.Select(level => (byte)level), images[1].Truth.ToArray());
        Assert.Equal(a.Select(level => (byte)level), images[1].Predicted.ToArray());
        Assert.Equal(predicted.Values[1].Select(value => value * 255), images[1].Deviation.ToArray());
        float[] input = new float[151 * 133];
        light.Read(1, new Region(0, 0, 151, 133), input);
        Assert.Equal(input, images[1].Input.ToArray());
        Assert.All(metrics.Coverage, coverage => Assert.InRange(coverage.Held!.Value, coverage.Interval, 1));

        // All conditions together are both fields.
        var all = report.Labels[0].All;
        Assert.Equal((2, 151 * 133 + 130 * 140), (all.Fields, all.Pixels));
        var parts = report.Labels[0].Conditions.Select(condition => condition.Metrics).ToArray();
        Assert.Equal(parts.Sum(part => part.MeanAbsoluteError * part.Pixels)!.Value / all.Pixels, all.MeanAbsoluteError!.Value, 1e-9);
    }

    [Fact]
    public void Nothing_outside_a_part_changes_a_figure()
    {
        using var model = Model();
        var part = new Region(9, 20, 140, 131);
        string[] reports = [.. ((int[])[0, 20_000]).Select(outside =>
        {
            var field = Field($"guarded{outside}", "B", 170, 160, 1, outside: (part, outside));
            return new Evaluator(model, Quick).Run([new FieldPart(field with { Name = "guarded" }, part)], cancellationToken: Stop).ToJson();
        })];
        Assert.Equal(reports[0], reports[1]);
        var all = new Evaluator(model, Quick).Run([new FieldPart(Field("whole", "B", 170, 160, 1) with { Name = "guarded" }, null)], cancellationToken: Stop);
        Assert.NotEqual(reports[0], all.ToJson());
    }

    [Fact]
    public void The_planes_are_the_middle_one_a_given_one_or_all()
    {
        using var model = Model();
        var parts = (FieldPart[])[new FieldPart(Field("stack", "B", 128, 128, 3), null)];
        var middle = new Evaluator(model, Quick).Run(parts, cancellationToken: Stop);
        var given = new Evaluator(model, Quick with { Plane = 1 }).Run(parts, cancellationToken: Stop);
        var other = new Evaluator(model, Quick with { Plane = 2 }).Run(parts, cancellationToken: Stop);
        var all = new Evaluator(model, Quick with { AllPlanes = true }).Run(parts, cancellationToken: Stop);
        Assert.Equal(middle.ToJson(), (given with { Planes = middle.Planes }).ToJson());
        Assert.Equal(3, new[] { middle, other, all }.Select(report => report.Labels[0].All.MeanAbsoluteError).Distinct().Count());
        Assert.Equal(("the middle one", "1", "all, averaged"), (middle.Planes, given.Planes, all.Planes));
    }

    [Fact]
    public void What_does_not_fit_is_named_before_anything_is_predicted()
    {
        using var model = Model();
        var good = Field("good", "B", 140, 130, 2);
        Refused("the labels OTHER; the model predicts FIRST, SECOND", Field("other", "B", 140, 130, 2, "OTHER"));
        Refused("140x131 UInt16", good with { Name = "tall", Labels = new Dictionary<string, string> { ["FIRST"] = Png("tall.png", 140, 131, 1) } });
        Refused("planes 0 to 1, not 2", good, plane: 2);
        Refused("not in the field of 140x130", good, new Region(13, 0, 128, 130));
        Refused("missing.png", good with { Planes = [folder.File("missing.png")] });
        Assert.Contains("no field", Assert.Throws<ImageException>(() => new Evaluator(model, Quick).Run([], cancellationToken: Stop)).Message);

        void Refused(string message, PairedField field, Region? region = null, int? plane = null)
        {
            var parts = message.Contains("OTHER", StringComparison.Ordinal) ? (FieldPart[])[new FieldPart(field, null)] : [new FieldPart(good, null), new FieldPart(field, region)];
            var error = Assert.Throws<ImageException>(() => new Evaluator(model, Quick with { Plane = plane }).Run(parts, progress: _ => Assert.Fail("A tile was predicted."), cancellationToken: Stop));
            Assert.Contains(message, error.Message);
        }
    }

    [Fact]
    public void A_label_that_the_model_lacks_is_told_and_the_others_are_evaluated()
    {
        using var model = Model();
        var field = Field("both", "B", 128, 128, 1);
        var parts = (FieldPart[])[
            new FieldPart(field with { Labels = new Dictionary<string, string>(field.Labels) { ["OTHER"] = folder.File("never-opened.png") } }, null),
            new FieldPart(field with { Name = "none", Labels = new Dictionary<string, string> { ["OTHER"] = folder.File("never-opened.png") } }, null)];
        var told = new List<EvaluationProgress>();
        var report = new Evaluator(model, Quick).Run(parts, progress: told.Add, cancellationToken: Stop);
        Assert.Equal(["OTHER"], report.LabelsWithoutHead);
        Assert.Equal(["FIRST", "SECOND"], report.Labels.Select(label => label.Label));
        Assert.Equal(1, report.Labels[0].All.Fields);
        Assert.Equal(told[^1].TilesTotal, told[^1].TilesDone);
    }

    [Fact]
    public void An_evaluation_can_be_stopped()
    {
        using var model = Model();
        using var stop = new CancellationTokenSource();
        var field = Field("stopped", "B", 300, 300, 1);
        var last = default(EvaluationProgress);
        Assert.ThrowsAny<OperationCanceledException>(() => new Evaluator(model, Quick).Run([new FieldPart(field, null)], progress: at =>
        {
            last = at;
            if (at.TilesDone > 0)
                stop.Cancel();
        }, cancellationToken: stop.Token));
        Assert.InRange(last.TilesDone, 1, last.TilesTotal - 1);
    }

    [Fact]
    public void A_flat_image_has_no_correlation_and_the_report_says_so()
    {
        using var model = Model();
        var field = Field("flat", "B", 131, 129, 1);
        field = field with { Labels = new Dictionary<string, string> { ["FIRST"] = Png("flat.png", 131, 129, 1, (_, _) => 9000) } };
        var report = new Evaluator(model, Quick).Run([new FieldPart(field, null)], cancellationToken: Stop);
        string json = report.ToJson();
        Assert.DoesNotContain("NaN", json);
        var all = JsonDocument.Parse(json).RootElement.GetProperty("labels")[0].GetProperty("all");
        Assert.Equal(JsonValueKind.Null, all.GetProperty("pearson").ValueKind);
        Assert.Equal(JsonValueKind.Null, all.GetProperty("pearson_of_random_pixels").ValueKind);
        Assert.Equal(report.Labels[0].All.MeanAbsoluteError, all.GetProperty("mean_absolute_error").GetDouble());
        Assert.Equal(131 * 129, all.GetProperty("confusion").GetProperty("counts").EnumerateArray().Sum(row => row.EnumerateArray().Sum(count => count.GetInt64())));

        new EvaluationFolder(folder.File("out")).Write(report, "model", "data");
        string text = File.ReadAllText(folder.File("out", "report.md"));
        Assert.DoesNotContain("NaN", text);
        Assert.Contains("| FIRST | B | 1 | 16,899 | - | - |", text);
        Assert.StartsWith("FIRST,B,1,16899,,,,", File.ReadAllLines(folder.File("out", "metrics.csv"))[1]);
    }

    [Fact]
    public void A_report_of_an_earlier_evaluation_does_not_stay_beside_the_pictures_of_the_next()
    {
        foreach (string name in (string[])["report.md", "report.html", "metrics.csv", "notes.txt"])
            File.WriteAllText(folder.File(name), "old");
        _ = new EvaluationFolder(folder.Path);
        Assert.Equal([folder.File("notes.txt")], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Eight_and_sixteen_bit_truth_of_the_same_brightness_are_the_same_levels()
    {
        var label = new LabelInfo("FIRST", 13_000, 60_000, "FFFFFF");
        using var eight = new FunctionImage(16, 16, 1, PixelType.UInt8, (_, x, y) => y * 16 + x);
        using var sixteen = new FunctionImage(16, 16, 1, PixelType.UInt16, (_, x, y) => (y * 16 + x) * 257);
        var whole = new Region(0, 0, 16, 16);
        byte[] levels = TrueLevels.Read(eight, whole, label);
        Assert.Equal(TrueLevels.Read(sixteen, whole, label), levels);
        Assert.Equal((0, 0, (byte)Math.Round((100 * 257 - 13_000) / 47_000.0 * 255), 255), (levels[0], levels[50], levels[100], levels[255]));
        TrueLevels.Check("field", eight.Info, 16, 16);
        Assert.Throws<ImageException>(() => TrueLevels.Check("field", eight.Info with { PixelType = PixelType.Float32 }, 16, 16));
    }

    [Fact]
    public void The_folder_has_the_report_the_tables_and_the_pictures()
    {
        using var model = Model();
        var output = new EvaluationFolder(folder.File("a", "out"));
        var first = Field("lab/B/A4/one_1", "B", 151, 133, 1) with { Condition = "B <sharp> | \"1\"" };
        var second = Field("lab/B/A4/one 1", "C", 130, 140, 1);
        var report = new Evaluator(model, Quick).Run([new FieldPart(first, null), new FieldPart(second, null)], image => output.AddImage(image), cancellationToken: Stop);
        output.Write(report, "small.safetensors", "the test part of <data>");

        Assert.Equal(
            [
                "confusion_FIRST.csv", "confusion_FIRST.png", "confusion_SECOND.csv", "confusion_SECOND.png", "metrics.csv", "report.html", "report.md",
                "sides_lab-B-A4-one-1_FIRST-2.png", "sides_lab-B-A4-one-1_FIRST.png", "sides_lab-B-A4-one-1_SECOND-2.png", "sides_lab-B-A4-one-1_SECOND.png",
            ],
            Directory.GetFiles(folder.File("a", "out")).Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal));

        string[] metrics = File.ReadAllLines(folder.File("a", "out", "metrics.csv"));
        Assert.Equal(1 + 2 * 3, metrics.Length);
        Assert.StartsWith("FIRST,\"B <sharp> | \"\"1\"\"\",1,20083,", metrics[1]);
        Assert.StartsWith("FIRST,(all),2,38283,", metrics[3]);
        string[] header = metrics[0].Split(','), all = metrics[3].Split(',');
        Assert.Equal(header.Length, all.Length);
        Assert.Equal(report.Labels[0].All.RootMeanSquareError, double.Parse(all[Array.IndexOf(header, "rmse")]));
        Assert.Equal(report.Labels[0].All.Coverage[2].Covered, double.Parse(all[Array.IndexOf(header, "covered_90")]));

        string[][] confusion = [.. File.ReadAllLines(folder.File("a", "out", "confusion_SECOND.csv")).Select(line => line.Split(','))];
        Assert.Equal(11, confusion.Length);
        Assert.Equal(report.Labels[1].All.Confusion.Counts[3].Select(count => $"{count}"), confusion[4][1..11]);
        Assert.Equal("77-102", confusion[4][0]);

        string html = File.ReadAllText(folder.File("a", "out", "report.html")), text = File.ReadAllText(folder.File("a", "out", "report.md"));
        Assert.Contains("B &lt;sharp&gt; | &quot;1&quot;", html);
        Assert.Contains("B \\<sharp\\> \\| \"1\"", text);
        Assert.Contains("Data: the test part of &lt;data&gt;; fields or parts of fields: 2.", html);
        Assert.DoesNotContain("src=\"sides", html);
        Assert.Contains(": input, ", html);
        Assert.Contains("lab/B/A4/one 1 (C): input, ", text);
        foreach (string picture in (string[])["confusion_FIRST.png", "sides_lab-B-A4-one-1_FIRST.png", "sides_lab-B-A4-one-1_SECOND-2.png"])
        {
            Assert.Contains(Convert.ToBase64String(File.ReadAllBytes(folder.File("a", "out", picture))), html);
            Assert.Contains($"]({picture})", text);
        }

        using var sides = ImageReaderRgb(folder.File("a", "out", "sides_lab-B-A4-one-1_FIRST.png"));
        Assert.Equal((4 * (151 + 8) + 8, 133 + 14 + 16 + 8), (sides.Width, sides.Height));
    }

    private static NetVips.Image ImageReaderRgb(string path) => NetVips.Image.Pngload(path);

    private static StainModel Model() => StainModel.Create(
        new NetworkOptions { StemChannels = 4, Growth = 2, EncoderLayers = [1], DecoderLayers = [1], BottomLayers = 1, Resampling = Resampling.Convolution },
        [new("FIRST", 0, 65_535, "FFFFFF"), new("SECOND", 1000, 51_000, "FFFFFF")], 5);

    private PairedField Field(string name, string condition, int width, int height, int planes, string? label = null, (Region Part, int Value)? outside = null)
    {
        string file = name.Replace('/', '-');
        string[] labels = label is null ? ["FIRST", "SECOND"] : [label];
        return new PairedField(name, condition, "A4", [.. Enumerable.Range(0, planes).Select(z => Png($"{file}-{z}.png", width, height, z + 1, outside: outside))],
            labels.ToDictionary(l => l, l => Png($"{file}-{l}.png", width, height, l.Length, (x, y) => 30_000 + 20_000 * Math.Sin(x * 0.1 * l.Length) * Math.Cos(y * 0.08), outside)));
    }

    private string Png(string name, int width, int height, int seed, Func<int, int, double>? pixel = null, (Region Part, int Value)? outside = null)
    {
        var random = new Random(seed);
        ushort[] pixels = new ushort[width * height];
        for (int i = 0; i < pixels.Length; i++)
        {
            int x = i % width, y = i / width, noise = random.Next(9000);
            bool seen = outside is not { } o || !new Region(x, y, 1, 1).Intersect(o.Part).IsEmpty;
            pixels[i] = !seen ? (ushort)outside!.Value.Value : (ushort)(pixel is null ? noise + 100 * x : pixel(x, y));
        }

        string path = folder.File(name);
        PngWriter.WriteGrey16(path, pixels, width, height);
        return path;
    }
}

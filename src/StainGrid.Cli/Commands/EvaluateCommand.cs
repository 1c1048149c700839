using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Cli;

/// <summary>`staingrid evaluate`.</summary>
internal static class EvaluateCommand
{
    public static Command Create()
    {
        var modelFile = new Argument<string>("MODEL") { Description = "The model file (safetensors)." };
        var data = new Argument<string>("DATA") { Description = "The paired data, as for 'staingrid data': a folder of In Silico Labeling's PNG files, or a manifest (.csv)." };
        var output = new Option<string>("--output", "-o") { Description = "The folder for the report, tables and pictures.", Required = true, HelpName = "FOLDER" };
        var split = new Option<string?>("--split") { Description = "The split.json that the training wrote: only a part of the data is looked at. Default: all of the data.", HelpName = "FILE" };
        var part = new Option<SplitPart?>("--part") { Description = "Which part of the split. Default: test.", HelpName = "test|validation|train" };
        var seed = new Option<int>("--seed") { Description = "Seed of the random pixels of Pearson's coefficient.", DefaultValueFactory = _ => 1, HelpName = "N" };
        var options = new StainOptions();
        var run = new RunOptions();
        var command = new Command("evaluate",
            """
            Say how well a model predicts fields that it was not trained on.

            Predicts the held-out part of the data and compares it with the true fluorescence, a label and condition at a time:
              Pearson's correlation coefficient over a million random pixels, 30 times (mean and standard deviation), and over all;
              mean absolute and root mean square error, in levels of 256; structural similarity (SSIM, Wang et al. 2004);
              which of ten bins of intensity is predicted for which (confusion matrix, accuracy of each bin);
              calibration: how often the truth lies in the central 50, 80, 90 and 95 % of the predicted distribution.

            FOLDER gets report.html (one file, with its pictures), report.md, metrics.csv, confusion_LABEL.csv and .png, and
            sides_FIELD_LABEL.png: input, truth, prediction and standard deviation side by side.

            Nothing outside of a part is seen, not even as context. Figures of data that the model was trained on say nothing:
            give the split of its training, or data that it never saw.

            Examples:
              staingrid evaluate model.safetensors data --split run/split.json -o evaluation
              staingrid evaluate model.safetensors pairs.csv --plane all --stride 32 -o evaluation
              staingrid evaluate model.safetensors data --split run/split.json --part validation -o validation --json
            """)
        {
            modelFile, data, output, split, part, options.Plane, options.Stride, options.Blend, options.Precision, seed, run.Device, run.Json,
        };
        command.Validators.Add(result =>
        {
            if (result.GetValue(part) is not null && result.GetValue(split) is null)
                result.AddError("--part is a part of a split: give --split too.");
        });
        command.Computes((parsed, cancellationToken) =>
        {
            bool json = parsed.GetValue(run.Json);
            string path = parsed.GetValue(modelFile)!, source = parsed.GetValue(data)!, folder = Path.GetFullPath(parsed.GetValue(output)!), device = parsed.GetValue(run.Device)!;
            string? splitFile = parsed.GetValue(split);
            var side = parsed.GetValue(part) ?? SplitPart.Test;
            var parts = Parts(source, splitFile, side, json);
            using var model = StainModel.Load(path, DeviceExecutor.Parse(device));
            var (plane, allPlanes) = options.Planes(parsed);
            var evaluator = new Evaluator(model, new EvaluationOptions
            {
                Plane = plane,
                AllPlanes = allPlanes,
                Tiling = new TilingOptions(parsed.GetValue(options.Stride) ?? TilingOptions.DefaultStride, parsed.GetValue(options.Blend) ?? TilingOptions.DefaultBlend),
                Precision = parsed.GetValue(options.Precision) is var wanted && wanted != Precision.Auto ? wanted : ProductRate.PrefersBFloat16(device) ? Precision.BFloat16 : Precision.Float32,
                Seed = parsed.GetValue(seed),
            });
            var results = new EvaluationFolder(folder);
            EvaluationReport report;
            using (var display = json ? null : new ProgressDisplay("evaluate"))
                report = evaluator.Run(parts, image => results.AddImage(image), at => display?.Show(Status(at)), cancellationToken);
            results.Write(report, Path.GetFileName(path), splitFile is null ? $"all of {source}" : $"the {Name(side)} part of {source} by {splitFile}");
            Print(report, folder, json);
            return ExitCodes.Done;
        }, parsed => $"Stopped; {parsed.GetValue(output)} has no report.");
        return command;
    }

    /// <summary>What is to be predicted: all fields, or the part of a split.</summary>
    private static IReadOnlyList<FieldPart> Parts(string source, string? splitFile, SplitPart part, bool json)
    {
        var fields = DataCommand.Found(source, json);
        if (splitFile is null)
            return [.. fields.Select(field => new FieldPart(field, null))];
        var split = SplitFile.Read(splitFile, fields);
        var parts = part switch
        {
            SplitPart.Train => split.Train,
            SplitPart.Validation => split.Validation,
            _ => split.Test,
        };
        return parts.Count > 0 ? parts : throw new ImageException($"{splitFile} has no {Name(part)} part. Give another --part, or a split that holds out something.");
    }

    private static string Name(SplitPart part) => part.ToString().ToLowerInvariant();

    // The command shows an evaluation as it shows a slide.
    private static SlideStatus Status(EvaluationProgress at) => new(SlideState.Running, 0, at.TilesDone, at.TilesTotal, 0, 0, null, null);

    private static void Print(EvaluationReport report, string folder, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(new JsonObject { ["state"] = "complete", ["output"] = folder, ["report"] = JsonNode.Parse(report.ToJson()) }.ToJsonString());
            return;
        }

        if (report.LabelsWithoutHead.Count > 0)
            Console.Error.WriteLine($"Not evaluated, since the model does not predict it: {string.Join(", ", report.LabelsWithoutHead)}.");
        var rows = report.Labels.SelectMany(label => label.Conditions.Select(condition => (label.Label, condition.Condition, condition.Metrics))).ToArray();
        int labels = rows.Max(row => row.Label.Length), conditions = Math.Max("condition".Length, rows.Max(row => row.Condition.Length));
        Console.Out.WriteLine($"{"label".PadRight(labels)}  {"condition".PadRight(conditions)}  Pearson    MAE   RMSE   SSIM  accuracy");
        foreach (var (label, condition, metrics) in rows)
        {
            Console.Out.WriteLine($"{label.PadRight(labels)}  {condition.PadRight(conditions)}  {Cell(metrics.PearsonOfRandomPixels?.Mean, "F3", 7)} {Cell(metrics.MeanAbsoluteError, "F2", 6)} "
                + $"{Cell(metrics.RootMeanSquareError, "F2", 6)} {Cell(metrics.StructuralSimilarity, "F3", 6)}  {Cell(metrics.Confusion.Accuracy, "P1", 8)}");
        }

        Console.Out.WriteLine($"  report   {Path.Combine(folder, "report.html")}");

        static string Cell(double? value, string format, int width) => (value?.ToString(format, CultureInfo.InvariantCulture) ?? "-").PadLeft(width);
    }

    private enum SplitPart
    {
        Test,
        Validation,
        Train,
    }
}

using System.Globalization;
using System.Text;
using CsvHelper;
using StainGrid.Imaging;

namespace StainGrid.Model;

/// <summary>
/// What an evaluation leaves for people: report.md and report.html (one file, with its pictures in it), metrics.csv, confusion_LABEL.csv and .png over all
/// conditions, and sides_FIELD_LABEL.png: input, truth, prediction and standard deviation side by side, as in the paper's figure 3.
/// </summary>
public sealed class EvaluationFolder
{
    private const int PanelSide = 512;
    private const string Markdown = "report.md";
    private const string Html = "report.html";
    private const string Metrics = "metrics.csv";
    private const int MaxNameLength = 120;   // of 255 for a file's name
    private const string AllConditions = "(all)";

    private readonly string folder;
    private readonly HashSet<string> taken = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<(string Label, string Condition, string Caption, string File)> sides = [];

    /// <summary>Makes the folder where it does not exist. An earlier report is deleted, so that none stands beside another evaluation's pictures.</summary>
    /// <param name="folder">Its path. Files of the same names are replaced.</param>
    /// <exception cref="IOException">It cannot be made, or written to.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public EvaluationFolder(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        this.folder = Directory.CreateDirectory(folder).FullName;
        foreach (string file in (string[])[Markdown, Html, Metrics])
            File.Delete(Path.Combine(this.folder, file));
    }

    /// <summary>Draws the images of a field and label side by side. Truth and prediction have the truth's window (its 0.5 and 99.7 percentiles), so that
    /// they can be compared; input and standard deviation each have their own.</summary>
    /// <param name="image">The images.</param>
    /// <returns>The file's name.</returns>
    /// <exception cref="ImageException">It cannot be written.</exception>
    public string AddImage(EvaluatedImage image)
    {
        ArgumentNullException.ThrowIfNull(image);
        string name = Unused($"sides_{SafeName(image.Field.Name)}_{image.Label.Name}");
        var input = PreviewChannel.Window(image.Input.Span);
        var levels = PreviewChannel.Window(image.Truth.Span);
        var deviation = (Low: 0.0, PreviewChannel.Window(image.Deviation.Span).High);

        // A narrow strip is shown larger, so that there is something to see and room for the captions.
        int side = Math.Min(2 * PanelSide, (int)((long)PanelSide * Math.Max(image.Width, image.Height) / Math.Min(image.Width, image.Height)));
        PreviewPng.Write(Path.Combine(folder, name), [
            Panel("INPUT", image.Input, input),
            Panel("TRUTH", Floats(image.Truth.Span), levels),
            Panel("PREDICTED", Floats(image.Predicted.Span), levels),
            Panel("SD", image.Deviation, deviation),
        ], maxPanelSide: side);
        sides.Add((image.Label.Name, image.Field.Condition, string.Create(CultureInfo.InvariantCulture,
            $"{image.Field.Name} ({image.Field.Condition}): input, {input.Low:F0} black and {input.High:F0} white; truth and prediction, {levels.Low:F0} to {levels.High:F0}; standard deviation of the predicted distribution, {deviation.Low:F0} to {deviation.High:F0}."), name));
        return name;

        PreviewPanel Panel(string caption, ReadOnlyMemory<float> pixels, (double Low, double High) window) =>
            new(caption, image.Width, image.Height, [new PreviewChannel(pixels, window.Low, window.High)]);

        static float[] Floats(ReadOnlySpan<byte> levels)
        {
            var values = new float[levels.Length];
            for (int i = 0; i < values.Length; i++)
                values[i] = levels[i];
            return values;
        }
    }

    /// <summary>Writes tables, confusion matrices and reports; the reports show the pictures that were added before, of each label and condition the first.</summary>
    /// <param name="report">What was found.</param>
    /// <param name="model">What the report calls the model.</param>
    /// <param name="data">What the report calls the data.</param>
    /// <exception cref="IOException">A file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    /// <exception cref="ImageException">The same, of a picture.</exception>
    public void Write(EvaluationReport report, string model, string data)
    {
        ArgumentNullException.ThrowIfNull(report);
        WriteCsv(Metrics, MetricsTable(report));
        foreach (var label in report.Labels)
        {
            var confusion = label.All.Confusion;
            int[] bins = [.. Enumerable.Range(0, confusion.Counts.Count)];
            string[] names = [.. bins.Select(confusion.BinName)];
            WriteCsv($"confusion_{label.Label}.csv", [["true \\ predicted", .. names, "accuracy"], .. bins.Select(row => (string[])
                [names[row], .. confusion.Counts[row].Select(count => count.ToString(CultureInfo.InvariantCulture)), Number(confusion.BinAccuracy[row], "R")])]);
            HeatMapPng.Write(Path.Combine(folder, $"confusion_{label.Label}.png"), $"{label.Label}: ROWS TRUE LEVELS, COLUMNS PREDICTED, % OF THE ROW", names, names, confusion.Share);
        }

        var document = Document(report, model, data);
        File.WriteAllText(Path.Combine(folder, Markdown), document.ToMarkdown());
        File.WriteAllText(Path.Combine(folder, Html), document.ToHtml());
    }

    private ReportDocument Document(EvaluationReport report, string model, string data)
    {
        var document = new ReportDocument("StainGrid: evaluation", folder);
        document.Paragraph(string.Create(CultureInfo.InvariantCulture,
            $"Model: {model}, SHA-256 {report.ModelSha256}. Data: {data}; fields or parts of fields: {report.Fields.Count}. Plane: {report.Planes}. Tiles: stride {report.Stride}, {report.Blend}, {report.Precision}."));
        if (report.LabelsWithoutHead.Count > 0)
            document.Paragraph($"Not evaluated, since the model does not predict it: {string.Join(", ", report.LabelsWithoutHead)}.");

        document.Heading(2, "How well the images agree");
        document.Paragraph(string.Create(CultureInfo.InvariantCulture,
            $"The prediction is the mean of the distribution. Both images in whole levels, 0 to 255. Pearson ({report.Draws} draws): mean and standard deviation over {report.Draws} draws of {report.DrawPixels:N0} random pixels (with replacement, seed {report.Seed}). MAE and RMSE in levels. SSIM by Wang et al. 2004 (11x11 Gaussian windows of sigma 1.5, K1 0.01, K2 0.03, L 255). Accuracy: the share of pixels predicted in their own of ten equal bins of the intensity. A dash is what is not defined, such as the correlation of a flat image."));
        document.Table(["label", "condition", "fields", "pixels", $"Pearson ({report.Draws} draws)", "Pearson (all pixels)", "MAE", "RMSE", "SSIM", "accuracy"], Rows(report).Select(row => (string[])
            [
                row.Label, row.Condition, Whole(row.Figures.Fields), Whole(row.Figures.Pixels),
                row.Figures.PearsonOfRandomPixels is { } sampled ? string.Create(CultureInfo.InvariantCulture, $"{sampled.Mean:F4} ± {sampled.StandardDeviation:F4}") : "-",
                Shown(row.Figures.Pearson, "F4"), Shown(row.Figures.MeanAbsoluteError, "F2"), Shown(row.Figures.RootMeanSquareError, "F2"), Shown(row.Figures.StructuralSimilarity, "F4"), Shown(row.Figures.Confusion.Accuracy, "P1"),
            ]));

        document.Heading(2, "How honest the distributions are");
        document.Paragraph("The share of pixels whose true level lies in the central interval of the predicted distribution. In brackets: the probability that the distributions give it, at least the nominal one, since levels are whole; a calibrated model has the same. It is that of single tiles and planes, as the network gives them in its own numbers, not of the averages over overlapping tiles.");
        document.Table(["label", "condition", .. Calibration.Intervals.Select(interval => interval.ToString("P0", CultureInfo.InvariantCulture))], Rows(report).Select(row => (string[])
            [row.Label, row.Condition, .. row.Figures.Coverage.Select(coverage => $"{Shown(coverage.Covered, "P1")} ({Shown(coverage.Held, "P1")})")]));

        foreach (var label in report.Labels)
        {
            document.Heading(2, label.Label);
            var confusion = label.All.Confusion;
            document.Table(["true levels", "pixels", "predicted in their bin"], confusion.Counts.Select((row, bin) => (string[])[confusion.BinName(bin), Whole(row.Sum()), Shown(confusion.BinAccuracy[bin], "P1")]));
            document.Picture($"confusion_{label.Label}.png", "Confusion matrix over all conditions: a row a bin of true levels, in percent of its pixels.");
            foreach (var (_, _, caption, file) in sides.Where(side => side.Label == label.Label).DistinctBy(side => side.Condition))
                document.Picture(file, caption);
        }

        if (sides.Count > 0)
            document.Paragraph("The folder has such pictures of all fields (sides_FIELD_LABEL.png).");
        document.Heading(2, "Fields");
        document.Table(["field", "condition", "left", "top", "width", "height"], report.Fields.Select(field => (string[])
            [field.Name, field.Condition, Whole(field.X), Whole(field.Y), Whole(field.Width), Whole(field.Height)]));
        return document;
    }

    private static List<string[]> MetricsTable(EvaluationReport report)
    {
        List<string[]> table =
        [[
            "label", "condition", "fields", "pixels", "pearson_random_pixels_mean", "pearson_random_pixels_sd", "pearson", "mae", "rmse", "ssim", "accuracy",
            .. Calibration.Intervals.SelectMany(interval => (string[])[Percent("held", interval), Percent("covered", interval)]),
        ]];
        foreach (var (label, condition, metrics) in Rows(report))
        {
            table.Add(
            [
                label, condition, Number(metrics.Fields, "F0"), Number(metrics.Pixels, "F0"), Number(metrics.PearsonOfRandomPixels?.Mean, "R"), Number(metrics.PearsonOfRandomPixels?.StandardDeviation, "R"),
                Number(metrics.Pearson, "R"), Number(metrics.MeanAbsoluteError, "R"), Number(metrics.RootMeanSquareError, "R"), Number(metrics.StructuralSimilarity, "R"), Number(metrics.Confusion.Accuracy, "R"),
                .. metrics.Coverage.SelectMany(coverage => (string[])[Number(coverage.Held, "R"), Number(coverage.Covered, "R")]),
            ]);
        }

        return table;

        static string Percent(string name, double interval) => string.Create(CultureInfo.InvariantCulture, $"{name}_{100 * interval:F0}");
    }

    // A row a condition, and one of all where there are several.
    private static IEnumerable<(string Label, string Condition, LabelMetrics Figures)> Rows(EvaluationReport report) => report.Labels.SelectMany(label =>
        label.Conditions.Select(condition => (label.Label, condition.Condition, condition.Metrics)).Concat(label.Conditions.Count == 1 ? [] : [(label.Label, AllConditions, label.All)]));

    private void WriteCsv(string name, IEnumerable<string[]> rows)
    {
        using var file = new StreamWriter(Path.Combine(folder, name), append: false, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        using var csv = new CsvWriter(file, CultureInfo.InvariantCulture);
        foreach (string[] row in rows)
        {
            foreach (string cell in row)
                csv.WriteField(cell);
            csv.NextRecord();
        }
    }

    private static string Whole(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    // Empty where there is none, as tables for programs have it.
    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "";

    private static string Shown(double? value, string format) => value is null ? "-" : Number(value, format);

    private static string SafeName(string name) => string.Concat(name.Take(MaxNameLength).Select(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' ? c : '-'));

    private string Unused(string name)
    {
        string file = $"{name}.png";
        for (int i = 2; !taken.Add(file); i++)
            file = string.Create(CultureInfo.InvariantCulture, $"{name}-{i}.png");
        return file;
    }
}

using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using StainGrid.Imaging;
using StainGrid.Imaging.Specimen;
using StainGrid.Model;
using StainGrid.Tiling;
using TorchSharp;

namespace StainGrid.Cli;

/// <summary>`staingrid train`.</summary>
internal static partial class TrainCommand
{
    private const int DarkLevel = 13_000;

    public static Command Create()
    {
        var output = new Option<string>("--output", "-o") { Description = "The model file to write.", Required = true, HelpName = "FILE" };
        var isl = new Option<string?>("--isl") { Description = "A folder with one field of the In Silico Labeling data set (its file names), to train on besides.", HelpName = "FOLDER" };
        var columns = new Option<int>("--columns") { Description = "Use only so many columns of that field, from the left; the rest is never read.", DefaultValueFactory = _ => int.MaxValue, HelpName = "N" };
        var specimens = new Option<int>("--specimens") { Description = "Synthetic specimens to train on (512x512, seeds from 1).", DefaultValueFactory = _ => 8, HelpName = "N" };
        var steps = new Option<int>("--steps") { Description = "Steps of the optimiser.", DefaultValueFactory = _ => 2000, HelpName = "N" };
        var minutes = new Option<double>("--minutes") { Description = "End after so many minutes, if the steps are not done by then.", DefaultValueFactory = _ => 10_000, HelpName = "M" };
        var rate = new Option<double>("--rate") { Description = "Adam's learning rate after the warm-up.", DefaultValueFactory = _ => 1e-3 };
        var seed = new Option<int>("--seed") { Description = "Seed of weights, crops and flips.", DefaultValueFactory = _ => 1 };
        var command = new Command("train",
            """
            Train a small model for DAPI, MAP2 and NFH on synthetic specimens, and on a field of the In Silico Labeling data set.

            Example (the weights that come with StainGrid; see models/README.md):
              staingrid train --isl ../shared/data/isl-condition-b/train --columns 640 -o models/staingrid-neuron.safetensors
            """)
        {
            output, isl, columns, specimens, steps, minutes, rate, seed,
        };
        command.SetAction((parsed, cancellationToken) => Task.Run(() =>
        {
            string path = parsed.GetValue(output)!;
            try
            {
                LabelInfo[] labels = [.. SyntheticSpecimen.LabelNames.Select(name => FluorescenceLabels.Find(name)! with { Low = DarkLevel })];
                using var model = StainModel.Create(new NetworkOptions { Dropout = 0 }, labels, (ulong)parsed.GetValue(seed));
                var fields = Fields(parsed.GetValue(isl), parsed.GetValue(columns), parsed.GetValue(specimens), model.Metadata);
                var options = new TrainingOptions
                {
                    Steps = parsed.GetValue(steps),
                    Budget = TimeSpan.FromMinutes(parsed.GetValue(minutes)),
                    LearningRate = parsed.GetValue(rate),
                    Seed = parsed.GetValue(seed),
                };
                Train(model, fields, options, path, cancellationToken);
                return cancellationToken.IsCancellationRequested ? ExitCodes.Interrupted : ExitCodes.Done;
            }
            catch (Exception e) when (e is ImageException or ModelFileException or InvalidOperationException or ArgumentException)
            {
                Console.Error.WriteLine(e.Message);
                return ExitCodes.Failed;
            }
        }));
        return command;
    }

    private static void Train(StainModel model, List<TrainingField> fields, TrainingOptions options, string path, CancellationToken cancellationToken)
    {
        var clock = Stopwatch.StartNew();
        double smooth = 0;
        int steps = new Trainer(model, fields, options).Run(
            (step, loss) =>
            {
                smooth = step == 1 ? loss : 0.95 * smooth + 0.05 * loss;
                if (step == 1 || step % 10 == 0)
                    Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {step}: loss {smooth:F3}, {clock.Elapsed.TotalSeconds / step:F2} s a step"));
            },
            cancellationToken);
        model.Describe(model.Metadata with
        {
            Licence = "CC-BY-4.0",
            Training = new TrainingSummary
            {
                Text = "Trained with 'staingrid train'; data and figures in models/README.md.",
                Values = new SortedDictionary<string, string>(StringComparer.Ordinal)
                {
                    ["fields"] = string.Join(", ", fields.Select(field => $"{field.Name} {field.Width}x{field.Height}")),
                    ["steps"] = steps.ToString(CultureInfo.InvariantCulture),
                    ["batch"] = options.BatchSize.ToString(CultureInfo.InvariantCulture),
                    ["learning_rate"] = options.LearningRate.ToString(CultureInfo.InvariantCulture),
                    ["seed"] = options.Seed.ToString(CultureInfo.InvariantCulture),
                    ["loss"] = smooth.ToString("F3", CultureInfo.InvariantCulture),
                },
            },
        });
        model.Save(path, torch.ScalarType.BFloat16);
        Console.Out.WriteLine($"{path}: {steps} steps, sha256 {model.Sha256}");
    }

    private static List<TrainingField> Fields(string? isl, int columns, int specimens, ModelMetadata metadata)
    {
        var fields = new List<TrainingField>();
        for (int i = 1; i <= specimens; i++)
        {
            var specimen = SyntheticSpecimen.Generate(new SpecimenOptions { Width = 512, Height = 512, Seed = (ulong)i });
            var light = new MemoryImage(specimen.Width, specimen.Height, [.. Enumerable.Range(0, specimen.Planes).Select(specimen.Plane)]);
            var truth = SyntheticSpecimen.LabelNames.ToDictionary(
                name => name, name => (IPlaneImage)new MemoryImage(specimen.Width, specimen.Height, [specimen.Label(name)]));
            fields.Add(TrainingField.Read($"specimen {i}", light, truth, metadata.Labels, metadata.Normalisation, new Region(0, 0, 512, 512)));
        }

        if (isl is not null)
        {
            if (!Directory.Exists(isl))
                throw new ImageException($"{isl} is not a folder. Give the folder with the field's PNG files.");
            string[] files = Directory.GetFiles(isl, "*.png");
            string[] planes = [.. files.Select(file => (File: file, Match: PlaneOfName().Match(file))).Where(f => f.Match.Success)
                .OrderBy(f => int.Parse(f.Match.Groups[1].Value, CultureInfo.InvariantCulture)).Select(f => f.File)];
            if (planes.Length == 0)
                throw new ImageException($"{isl} holds no file named ...,z_depth-N,channel-PHASE_CONTRAST,... Give the folder with the field's PNG files.");
            var truth = new Dictionary<string, IPlaneImage>();
            foreach (var label in metadata.Labels)
            {
                if (Array.Find(files, file => file.Contains($"channel-{label.Name},", StringComparison.Ordinal)) is { } file)
                    truth[label.Name] = ImageReader.Open(file);
            }

            using var light = ImageReader.OpenStack(planes);
            var part = new Region(0, 0, Math.Min(columns, light.Info.Width), light.Info.Height);
            var field = TrainingField.Read("In Silico Labeling, condition B, well A4", light, truth, metadata.Labels, metadata.Normalisation, part);
            foreach (var target in truth.Values)
                target.Dispose();

            // Half of all tiles come from the real field.
            fields.AddRange(Enumerable.Repeat(field, Math.Max(1, specimens)));
        }

        return fields;
    }

    [GeneratedRegex(@"z_depth-(\d+),channel-PHASE_CONTRAST,")]
    private static partial Regex PlaneOfName();

    private sealed class MemoryImage(int width, int height, IReadOnlyList<ushort[]> planes) : IPlaneImage
    {
        public ImageInfo Info { get; } = new("synthetic", "memory", width, height, planes.Count, PixelType.UInt16);

        public void Read(int plane, Region region, Span<float> destination)
        {
            for (int y = 0; y < region.Height; y++)
            {
                for (int x = 0; x < region.Width; x++)
                    destination[y * region.Width + x] = planes[plane][(region.Y + y) * width + region.X + x];
            }
        }

        public void Dispose()
        {
        }
    }
}

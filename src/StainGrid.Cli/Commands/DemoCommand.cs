using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Imaging.Specimen;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Cli;

/// <summary>`staingrid demo`.</summary>
internal static class DemoCommand
{
    public static Command Create()
    {
        var output = new Option<string>("--output", "-o")
        {
            Description = "The folder for the specimen, the prediction and the picture.",
            DefaultValueFactory = _ => "staingrid-demo",
            HelpName = "FOLDER",
        };
        var size = new Option<int>("--size") { Description = "Side of the specimen, pixels.", DefaultValueFactory = _ => 512 };
        var seed = new Option<ulong>("--seed") { Description = "The seed of the specimen.", DefaultValueFactory = _ => 2026 };
        var json = new Option<bool>("--json") { Description = "Print one JSON object instead of text, and no progress." };
        var command = new Command("demo",
            """
            Stain a synthetic specimen: grows a field of neurons that no model has seen, takes 13 phase-contrast-like planes of it,
            predicts its fluorescence through the same grains as real work, and says how well that matches the truth.
            """)
        {
            output,
            size,
            seed,
            json,
        };
        size.Validators.Add(result =>
        {
            if (result.GetValue(size) is < 64 or > 8192)
                result.AddError("--size must be 64 to 8192 pixels.");
        });
        command.Runs((parsed, cancellationToken) =>
            RunAsync(Path.GetFullPath(parsed.GetValue(output)!), parsed.GetValue(size), parsed.GetValue(seed), parsed.GetValue(json), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(string folder, int size, ulong seed, bool json, CancellationToken cancellationToken)
    {
        if (!json)
            Console.Error.WriteLine($"Growing a synthetic specimen of {size}x{size} pixels (seed {seed}) ...");
        string specimenFolder = Path.Combine(folder, "specimen");
        Directory.CreateDirectory(specimenFolder);
        var specimen = SyntheticSpecimen.Generate(new SpecimenOptions { Width = size, Height = size, Seed = seed });
        var planes = new List<string>();
        for (int z = 0; z < specimen.Planes; z++)
        {
            planes.Add(Path.Combine(specimenFolder, $"phase-z{z:D2}.png"));
            PngWriter.WriteGrey16(planes[z], specimen.Plane(z), size, size);
        }

        var truth = SyntheticSpecimen.LabelNames.ToDictionary(name => name, specimen.Label);
        foreach (var (name, pixels) in truth)
            PngWriter.WriteGrey16(Path.Combine(specimenFolder, $"truth-{name}.png"), pixels, size, size);

        var request = new SlideRequest
        {
            Files = planes,
            Settings = new StainSettings { Model = StainOptions.DefaultModel },
            Output = Path.Combine(folder, "prediction.ome.zarr"),
            Overwrite = true,
        };
        StainResult result;
        await using (var session = await StainSession.StartAsync(new DeviceOptions(), verbose: false))
            result = await session.StainAsync(request, "demo", !json, cancellationToken);
        if (result.Status.State != SlideState.Complete)
        {
            ResultReport.Write(result, null, json);
            return cancellationToken.IsCancellationRequested ? ExitCodes.Interrupted : ExitCodes.Failed;
        }

        var image = await OmeZarrReader.OpenAsync(BlobStores.Open(request.Output), cancellationToken);
        var pearson = new JsonObject();
        var predicted = new List<PreviewChannel>();
        var known = new List<PreviewChannel>();
        var panels = new List<PreviewPanel>();
        for (int c = 0; c < image.Image.Channels.Count; c++)
        {
            var channel = image.Image.Channels[c];
            if (!truth.TryGetValue(channel.Label, out ushort[]? expected))
                continue;
            ushort[] pixels = await image.ReadAsync(0, c, new Region(0, 0, size, size), cancellationToken);
            pearson[channel.Label] = Math.Round(Correlation.Pearson<ushort>(pixels, expected), 3);
            var (low, high) = PreviewChannel.Window<ushort>(expected);
            known.Add(PreviewChannel.FromUInt16(expected, low, high, channel.Color));
            var (dim, full) = PreviewChannel.Window<ushort>(pixels);   // each at its own contrast
            predicted.Add(PreviewChannel.FromUInt16(pixels, dim, full, channel.Color));
        }

        string picture = Path.Combine(folder, "demo.png");
        ushort[] phase = specimen.Plane(specimen.FocusPlane);
        var (dark, bright) = PreviewChannel.Window<ushort>(phase);
        panels.Add(new PreviewPanel("UNLABELED INPUT", size, size, [PreviewChannel.FromUInt16(phase, dark, bright)]));
        panels.Add(new PreviewPanel("PREDICTED", size, size, predicted));
        panels.Add(new PreviewPanel("TRUTH", size, size, known));
        PreviewPng.Write(picture, panels);

        ResultReport.Write(result, picture, json, new JsonObject { ["pearson"] = pearson.DeepClone() });
        if (!json)
        {
            Console.Out.WriteLine("  Pearson correlation with the truth, which the model never saw:");
            foreach (var (label, value) in pearson)
                Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"    {label,-16} {value!.GetValue<double>():F3}"));
        }

        return ExitCodes.Done;
    }
}

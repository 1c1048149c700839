using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Cli;

/// <summary>`staingrid train`.</summary>
internal static class TrainCommand
{
    private enum Preset
    {
        Default,
        Paper,
    }

    public static Command Create()
    {
        var source = new Argument<string?>("CONFIG|DATA")
        {
            Description = "The paired data, as for 'staingrid data', or a training.json. Left out: synthetic specimens alone (--specimens).",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var output = new Option<string>("--output", "-o") { Description = "The run's folder; one that was begun there goes on.", Required = true, HelpName = "DIR" };
        var preset = new Option<Preset>("--preset") { Description = "paper: Adam at 1e-5, batch 4, dropout 0.5, one-hot targets, whole tiles, no augmentation. default: what was measured to be better.", HelpName = "default|paper" };
        var steps = new Option<int?>("--steps") { Description = "Steps of the optimiser.", HelpName = "N" };
        var batch = new Option<int?>("--batch") { Description = "Tiles a step.", HelpName = "N" };
        var rate = new Option<double?>("--rate") { Description = "Adam's learning rate, after the warm-up.", HelpName = "R" };
        var dropout = new Option<double?>("--dropout") { Description = "The probability that an activation of a block is dropped.", HelpName = "P" };
        var seed = new Option<int?>("--seed") { Description = "Seed of weights, tiles and dropout.", HelpName = "N" };
        var variant = new Option<NetworkVariant?>("--variant") { Description = "The form of the attention layers.", HelpName = "residual|paper" };
        var precision = new Option<Precision?>("--precision") { Description = "float32, bfloat16 (its products; weights stay float32), or auto, what this machine is faster in. Default: auto, and for --preset paper float32.", HelpName = "auto|float32|bfloat16" };
        var specimens = new Option<int?>("--specimens") { Description = "Synthetic specimens to train on, besides or alone.", HelpName = "N" };
        var share = new Option<double?>("--specimen-share") { Description = "The share of tiles that is of specimens, where there is data too. Default: 0.5.", HelpName = "S" };
        var from = new Option<string?>("--from") { Description = "A model to go on from (fine-tuning). It may have other labels; new ones get heads of their own.", HelpName = "MODEL" };
        var evaluateEvery = new Option<int?>("--evaluate-every") { Description = "Steps from one look at the validation part to the next; 0 for none. Default: 250.", HelpName = "N" };
        var checkpointEvery = new Option<int?>("--checkpoint-every") { Description = "Steps from one checkpoint to the next. Default: 100.", HelpName = "N" };
        var memory = new Option<double>("--memory") { Description = "Gigabytes of images to hold. Where more are to be trained on, they take turns.", DefaultValueFactory = _ => 4, HelpName = "GB" };
        var licence = new Option<string?>("--licence") { Description = "The licence of the weights, by SPDX name.", HelpName = "NAME" };
        var split = new SplitOptions();
        var run = new RunOptions();
        var command = new Command("train",
            """
            Train a model on paired data: transmitted light, and the true fluorescence of one label or more.

            Every file is looked at first (as 'staingrid data' does), and what is held out is written down: split.json. Nothing outside of the
            training part is read. DIR gets training.json (all settings: the same training again is 'staingrid train training.json -o ANOTHER'),
            checkpoint.safetensors, curve.csv and curve.png, and at the end model.safetensors.

            Ctrl-C stops after a step. The same command goes on from the checkpoint, also after a crash, and gives the weights of a run that
            was not stopped.

            Examples:
              staingrid train data -o run                                    a tenth of the wells for test, a tenth for validation
              staingrid train data --test-wells A4 B/C3 -o run
              staingrid train field --test-columns 640:768 --specimens 8 -o run
              staingrid train pairs.csv --from run/model.safetensors -o tuned
              staingrid train data --preset paper -o paper
              staingrid evaluate run/model.safetensors data --split run/split.json -o evaluation
            """)
        {
            source, output, preset, steps, batch, rate, dropout, seed, variant, precision, specimens, share, from, evaluateEvery, checkpointEvery, memory, licence, run.Device, run.Json,
        };
        split.AddTo(command);
        command.SetAction((parsed, cancellationToken) => Task.Run(() =>
        {
            string folder = parsed.GetValue(output)!, given = parsed.GetValue(source) ?? "specimens";
            bool json = parsed.GetValue(run.Json);
            try
            {
                string device = parsed.GetValue(run.Device)!;
                var config = Config(parsed, device);
                var parts = config.Data is null ? null : Split(parsed, config, json, cancellationToken);
                using var training = TrainingRun.Open(folder, config, parts, (long)(parsed.GetValue(memory) * (1L << 30)), DeviceExecutor.Parse(device));
                Run(training, config, folder, json, cancellationToken);
                return ExitCodes.Done;
            }
            catch (OperationCanceledException)
            {
                if (!json)
                    Console.Error.WriteLine($"Stopped. The same command goes on where it stopped: {folder} has all steps.");
                return ExitCodes.Interrupted;
            }
            catch (ArgumentException e)
            {
                Console.Error.WriteLine($"staingrid: {e.Message}");
                return ExitCodes.Usage;
            }
            catch (Exception e) when (e is ImageException or ModelFileException or InvalidOperationException or IOException or UnauthorizedAccessException)
            {
                ResultReport.Failure(given, e.Message, json);
                return ExitCodes.Failed;
            }
        }));
        return command;

        // What the file says, then what the command line says.
        TrainingConfig Config(ParseResult parsed, string device)
        {
            string? path = parsed.GetValue(source);
            var chosen = parsed.GetValue(preset);
            bool isFile = path is not null && Path.GetExtension(path).Equals(".json", StringComparison.OrdinalIgnoreCase);
            var config = isFile ? TrainingConfig.Read(path!) : new TrainingConfig
            {
                Data = path,
                Network = new NetworkOptions { Dropout = chosen == Preset.Paper ? 0.5 : 0 },
                Training = (chosen == Preset.Paper ? TrainingOptions.Paper : new TrainingOptions()) with
                {
                    Precision = chosen != Preset.Paper && ProductRate.PrefersBFloat16(device) ? Precision.BFloat16 : Precision.Float32,
                },
            };
            if (isFile && parsed.GetResult(preset) is not null)
                throw new ArgumentException("A training.json has all settings: --preset does not go with it.");
            var wanted = parsed.GetValue(precision) is not { } some ? config.Training.Precision
                : some != Precision.Auto ? some : ProductRate.PrefersBFloat16(device) ? Precision.BFloat16 : Precision.Float32;
            return config with
            {
                Specimens = parsed.GetValue(specimens) ?? config.Specimens,
                SpecimenShare = parsed.GetValue(share) ?? config.SpecimenShare,
                From = parsed.GetValue(from) ?? config.From,
                EvaluateEvery = parsed.GetValue(evaluateEvery) ?? config.EvaluateEvery,
                CheckpointEvery = parsed.GetValue(checkpointEvery) ?? config.CheckpointEvery,
                Licence = parsed.GetValue(licence) ?? config.Licence,
                Network = config.Network with { Dropout = parsed.GetValue(dropout) ?? config.Network.Dropout, Variant = parsed.GetValue(variant) ?? config.Network.Variant },
                Training = config.Training with
                {
                    Steps = parsed.GetValue(steps) ?? config.Training.Steps,
                    BatchSize = parsed.GetValue(batch) ?? config.Training.BatchSize,
                    LearningRate = parsed.GetValue(rate) ?? config.Training.LearningRate,
                    Seed = parsed.GetValue(seed) ?? config.Training.Seed,
                    Precision = wanted,
                },
            };
        }

        DataSplit Split(ParseResult parsed, TrainingConfig config, bool json, CancellationToken cancellationToken) =>
            split.Of(parsed, DataCommand.Checked(config.Data!, json, cancellationToken), config.Split, config.Training.Seed);
    }

    private static void Run(TrainingRun training, TrainingConfig config, string folder, bool json, CancellationToken cancellationToken)
    {
        if (training.StepsDone > 0 && !json)
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{folder}: goes on after step {training.StepsDone:N0} of {config.Training.Steps:N0}."));
        string[] labels = [.. training.Model.Network.Labels];
        var clock = Stopwatch.StartNew();
        int before = training.StepsDone;
        TrainingProgress? last = null;
        using (var line = new ProgressLine())
        {
            TimeSpan? shown = null;
            training.Run(
                progress =>
                {
                    last = progress;
                    if (json || (!line.IsTerminal && shown is not null && progress.Step < progress.Steps && clock.Elapsed - shown < ProgressLine.PlainInterval))
                        return;
                    shown = clock.Elapsed;
                    line.Show(Text(progress, labels, clock.Elapsed / (progress.Step - before), line.IsTerminal ? 20 : 0));
                },
                cancellationToken);
        }

        if (json)
        {
            Console.Out.WriteLine(new JsonObject
            {
                ["state"] = "complete",
                ["model"] = training.ModelFile,
                ["sha256"] = training.Model.Sha256,
                ["steps"] = training.StepsDone,
                ["losses"] = Numbers(last?.Losses),
                ["validation_pearson"] = Numbers(last?.Pearson),
            }.ToJsonString());
            return;
        }

        Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{training.ModelFile}: {training.StepsDone:N0} steps, sha256 {training.Model.Sha256}"));
        if (config.Data is not null)
            Console.Out.WriteLine($"How good it is: staingrid evaluate {training.ModelFile} {config.Data} --split {training.SplitPath} -o {Path.Combine(folder, "evaluation")}");

        JsonObject Numbers(IReadOnlyList<double>? values) =>
            new(labels.Select((label, i) => KeyValuePair.Create(label, values is null || double.IsNaN(values[i]) ? null : (JsonNode?)Math.Round(values[i], 4))));
    }

    private static string Text(TrainingProgress progress, string[] labels, TimeSpan step, int bar)
    {
        double share = (double)progress.Step / progress.Steps;
        int full = (int)(share * bar);
        string drawn = bar > 0 ? $"[{new string('#', full)}{new string('.', bar - full)}] " : "";
        string losses = string.Join(", ", labels.Select((label, i) => $"{label.Split('_')[0]} {Number(progress.Losses[i])}"));
        string pearson = progress.Pearson is { } found ? $"; Pearson {string.Join(", ", found.Select(Number))}" : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"train: {drawn}{progress.Step}/{progress.Steps}, loss {losses}{pearson}; {step.TotalSeconds:F2} s a step, {step * (progress.Steps - progress.Step):h\\:mm\\:ss} left");

        static string Number(double value) => double.IsNaN(value) ? "-" : value.ToString("F3", CultureInfo.InvariantCulture);
    }
}

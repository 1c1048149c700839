using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Grains;
using StainGrid.Model;

namespace StainGrid.Cli;

/// <summary>`staingrid train`.</summary>
internal static class TrainCommand
{
    public static Command Create()
    {
        var options = new TrainOptions();
        var output = new Option<string>("--output", "-o") { Description = "The run's folder; one that was begun there goes on.", Required = true, HelpName = "DIR" };
        var from = new Option<string?>("--from") { Description = "A model to go on from (fine-tuning). It may have other labels; new ones get heads of their own.", HelpName = "MODEL" };
        var evaluateEvery = new Option<int?>("--evaluate-every") { Description = "Steps from one look at the validation part to the next; 0 for none. Default: 250.", HelpName = "N" };
        var seed = new Option<int?>("--seed") { Description = "Seed of weights, tiles and dropout.", HelpName = "N" };
        var licence = new Option<string?>("--licence") { Description = "The licence of the weights, by SPDX name.", HelpName = "NAME" };
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
            output, seed, from, evaluateEvery, licence, run.Device, run.Json,
        };
        options.AddTo(command);
        command.Computes((parsed, cancellationToken) =>
        {
            string folder = parsed.GetValue(output)!, device = parsed.GetValue(run.Device)!;
            bool json = parsed.GetValue(run.Json);
            var config = options.Config(parsed, device);
            config = config with
            {
                From = parsed.GetValue(from) ?? config.From,
                EvaluateEvery = parsed.GetValue(evaluateEvery) ?? config.EvaluateEvery,
                Licence = parsed.GetValue(licence) ?? config.Licence,
                Training = config.Training with { Seed = parsed.GetValue(seed) ?? config.Training.Seed },
            };
            using var training = TrainingRun.Open(folder, config, options.Split(parsed, config, json, cancellationToken), options.Memory(parsed), DeviceExecutor.Parse(device));
            Run(training, config, folder, json, cancellationToken);
            return ExitCodes.Done;
        }, parsed => $"Stopped. The same command goes on where it stopped: {parsed.GetValue(output)} has all steps.");
        return command;
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
                    line.Show(Text("train", progress, labels, clock.Elapsed / (progress.Step - before), line.IsTerminal ? 20 : 0));
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

    /// <summary>A training's progress in one line.</summary>
    public static string Text(string name, TrainingProgress progress, string[] labels, TimeSpan step, int bar)
    {
        double share = (double)progress.Step / progress.Steps;
        int full = (int)(share * bar);
        string drawn = bar > 0 ? $"[{new string('#', full)}{new string('.', bar - full)}] " : "";
        string losses = string.Join(", ", labels.Select((label, i) => $"{label.Split('_')[0]} {Number(progress.Losses[i])}".TrimStart()));
        string pearson = progress.Pearson is { } found ? $"; Pearson {string.Join(", ", found.Select(Number))}" : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"{name}: {drawn}{progress.Step}/{progress.Steps}, loss {losses}{pearson}; {step.TotalSeconds:F2} s a step, {step * (progress.Steps - progress.Step):h\\:mm\\:ss} left");

        static string Number(double value) => double.IsNaN(value) ? "-" : value.ToString("F3", CultureInfo.InvariantCulture);
    }
}

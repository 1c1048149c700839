using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Cli;

/// <summary>`staingrid ablate`.</summary>
internal static class AblateCommand
{
    public static Command Create()
    {
        var options = new TrainOptions();
        var output = new Option<string>("--output", "-o") { Description = "The folder; an ablation that was begun there goes on.", Required = true, HelpName = "DIR" };
        var seeds = new Option<int[]>("--seeds") { Description = "Each row is trained with each of these seeds.", DefaultValueFactory = _ => [1], HelpName = "N", AllowMultipleArgumentsPerToken = true };
        var sameTime = new Option<bool>("--same-time") { Description = "Train the faster rows once more, for as long as the slowest takes." };
        var run = new RunOptions();
        var command = new Command("ablate",
            """
            Say what each part of the network is worth: the rows of the paper's table IV, trained on the same data, steps and seeds, and judged on
            the same held-out part:
              a U-Net of one scale; with patches of three scales; with dense blocks; with GPT layers (attention).

            DIR gets report.html and report.md with the table, pearson.png and loss.png, table.csv, and a folder for each training. Ctrl-C stops after a step; the
            same command goes on.

            Examples:
              staingrid ablate data --steps 2000 --seeds 1 2 3 -o ablation
              staingrid ablate field --test-columns 640:768 --steps 500 --same-time -o ablation
            """)
        {
            output, seeds, sameTime, run.Json,
        };
        options.AddTo(command);
        command.Computes((parsed, cancellationToken) =>
        {
            string folder = parsed.GetValue(output)!;
            bool json = parsed.GetValue(run.Json);
            var config = options.Config(parsed, "cpu");
            var split = options.Split(parsed, config, json, cancellationToken)
                ?? throw new ImageException("An ablation needs data of which a part can be held out. Give a folder or manifest.");
            var ablation = new Ablation(folder, config, split, options.Memory(parsed));
            IReadOnlyList<AblationResult> results;
            using (var line = new ProgressLine())
                results = ablation.Run(parsed.GetValue(seeds)!, parsed.GetValue(sameTime), json ? null : Show(line), cancellationToken);
            Print(results, folder, json);
            return ExitCodes.Done;
        }, _ => "Stopped. The same command goes on where it stopped.");
        return command;
    }

    private static Action<string, TrainingProgress> Show(ProgressLine line)
    {
        string? name = null;
        int first = 0;
        TimeSpan? shown = null;
        var clock = new Stopwatch();
        return (row, at) =>
        {
            if (row != name)
            {
                (name, first, shown) = (row, at.Step - 1, null);
                clock.Restart();
            }

            if (!line.IsTerminal && shown is not null && at.Step < at.Steps && clock.Elapsed - shown < ProgressLine.PlainInterval)
                return;
            shown = clock.Elapsed;
            line.Show(TrainCommand.Text(row, at, [.. at.Losses.Select(_ => "")], clock.Elapsed / (at.Step - first), line.IsTerminal ? 20 : 0));
        };
    }

    private static void Print(IReadOnlyList<AblationResult> results, string folder, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(new JsonObject
            {
                ["state"] = "complete",
                ["output"] = Path.GetFullPath(folder),
                ["results"] = new JsonArray([.. results.Select(result => new JsonObject
                {
                    ["row"] = result.Row,
                    ["seed"] = result.Seed,
                    ["same_time"] = result.SameTime,
                    ["steps"] = result.Steps,
                    ["step_seconds"] = result.StepSeconds,
                    ["pearson"] = new JsonObject(result.Pearson.Select(label => KeyValuePair.Create(label.Key, (JsonNode?)label.Value))),
                })]),
            }.ToJsonString());
            return;
        }

        foreach (var result in results)
        {
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{result.Row}{(result.SameTime ? ", same time" : "")}, seed {result.Seed}: {result.Steps} steps of {result.StepSeconds:F3} s; ")
                + string.Join(", ", result.Pearson.Select(label => string.Create(CultureInfo.InvariantCulture, $"{label.Key} {label.Value:F3}"))));
        }

        Console.Out.WriteLine($"  report   {Path.Combine(folder, "report.html")}");
    }
}

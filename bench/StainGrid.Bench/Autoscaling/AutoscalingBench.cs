using System.Globalization;
using StainGrid.Imaging;

namespace StainGrid.Bench;

/// <summary>Compares ways to scale GPU silos over simulated weeks: tables in Markdown and a plot.</summary>
internal static class AutoscalingBench
{
    private static readonly Case[] s_works = [.. ((double[])[120, 300, 600, 1200]).Select(seconds => new Case(TotalPolicy.Work(seconds)))];
    private static readonly Case[] s_queues = [.. ((double[])[100, 200, 400]).Select(blocks => new Case(TotalPolicy.Queue(blocks)))];
    private static readonly Case[] s_busy = [.. ((int[])[50, 70, 90]).Select(percent => new Case(UsePolicy.Busy(percent)))];
    private static readonly Case s_cpu = new(UsePolicy.Cpu(70));
    private static readonly Case[] s_fixed = [.. ((int[])[2, 4, 8, 16]).Select(count => new Case(new FixedPolicy(count)))];

    // More patient than the defaults.
    private static readonly ScalerOptions s_patient = new() { Most = 8, Scrape = TimeSpan.FromSeconds(15), Stabilisation = TimeSpan.FromSeconds(600), CoolDown = TimeSpan.FromSeconds(900) };

    private static readonly Case[] s_others =
    [
        new(TotalPolicy.Work(600), "cold start 1 min", ColdStart: TimeSpan.FromMinutes(1)),
        new(TotalPolicy.Work(600), "cold start 10 min", ColdStart: TimeSpan.FromMinutes(10)),
        new(UsePolicy.Busy(70), "cold start 10 min", ColdStart: TimeSpan.FromMinutes(10)),
        new(TotalPolicy.Work(600), "8 at most", s_patient with { Scrape = TimeSpan.FromSeconds(30), Stabilisation = TimeSpan.FromSeconds(300), CoolDown = TimeSpan.FromSeconds(300) }),
        new(TotalPolicy.Work(600), "8 at most, windows of 600 and 900 s, read each 15 s", s_patient),
    ];

    /// <summary>Runs all policies on the same plates and prints the tables.</summary>
    /// <param name="seeds">So many draws of the plates.</param>
    /// <param name="days">For so many days plates come.</param>
    /// <param name="threads">Simulations at once.</param>
    /// <param name="only">Only policies whose names begin so.</param>
    /// <param name="plot">Where to write the plot, of the first draw; nowhere if null.</param>
    public static void Run(int seeds, int days, int threads, string only, string? plot)
    {
        var workload = new WorkloadOptions { Length = TimeSpan.FromDays(days) };
        var blockTimes = workload.BlockTimes();
        var draws = Enumerable.Range(1, seeds).Select(workload.Draw).ToArray();
        double fieldHours = blockTimes.Sum(time => time.TotalHours);
        Console.WriteLine($"{seeds} draws of {days} days: {Spread(draws.Select(draw => (double)draw.Count), "F0")} plates, "
            + $"{Spread(draws.Select(draw => draw.Sum(plate => plate.Fields) * fieldHours), "F0")} GPU-hours of work");
        Case[] all = [.. ((Case[])[.. s_works, .. s_queues, .. s_busy, s_cpu, .. s_fixed, .. s_others]).Where(entry => entry.Policy.Name.StartsWith(only, StringComparison.Ordinal))];
        var results = all.ToDictionary(entry => entry, _ => new SimulationResult[seeds]);
        Parallel.For(0, all.Length * seeds, new ParallelOptions { MaxDegreeOfParallelism = threads }, run =>
        {
            var (entry, seed) = (all[run / seeds], run % seeds);
            results[entry][seed] = ClusterSimulation.Run(draws[seed], blockTimes, workload.Length, entry.Policy, entry.Options, entry.ColdStart);
        });

        Print(all.Except(s_others), results);
        Print(all.Intersect(s_others), results);
        if (plot is not null)
            Plot(plot, policy => ClusterSimulation.Run(draws[0], blockTimes, workload.Length, policy, watched: true).Samples);
    }

    private static void Print(IEnumerable<Case> cases, Dictionary<Case, SimulationResult[]> results)
    {
        Console.WriteLine("""

            | policy | hours to finish: median | p95 | worst | GPU-hours | of them idle | busy share, % | cold starts |
            |---|--:|--:|--:|--:|--:|--:|--:|
            """);
        foreach (var entry in cases)
        {
            var runs = results[entry];
            Console.WriteLine("| " + string.Join(" | ",
                entry.Policy.Name + (entry.Note is null ? "" : ", " + entry.Note),
                Spread(runs.Select(run => Percentile(Hours(run), 0.5)), "F2"),
                Spread(runs.Select(run => Percentile(Hours(run), 0.95)), "F2"),
                Spread(runs.Select(run => Percentile(Hours(run), 1)), "F2"),
                Spread(runs.Select(run => run.Held.TotalHours), "F0"),
                Spread(runs.Select(run => (run.Held - run.Busy).TotalHours), "F0"),
                Spread(runs.Select(run => 100 * (run.Busy / run.Held)), "F0"),
                Spread(runs.Select(run => (double)run.ColdStarts), "F0")) + " |");
        }
    }

    // The value below which a share of the values lies (nearest rank).
    private static double Percentile(IEnumerable<double> values, double share)
    {
        double[] sorted = [.. values.Order()];
        return sorted[Math.Clamp((int)Math.Ceiling(share * sorted.Length) - 1, 0, sorted.Length - 1)];
    }

    private static IEnumerable<double> Hours(SimulationResult run) => run.Plates.Select(plate => (plate.Finished - plate.Submitted).TotalHours);

    // Median of the draws, with the least and the most.
    private static string Spread(IEnumerable<double> values, string format)
    {
        string Text(double share) => Percentile(values, share).ToString(format, CultureInfo.InvariantCulture);
        return $"{Text(0.5)} ({Text(0)} to {Text(1)})";
    }

    private static void Plot(string path, Func<ScalingPolicy, IReadOnlyList<Sample>> run)
    {
        const int FirstHour = 24, LastHour = 48;   // Tuesday
        var shown = ((Case[])[s_works[2], s_busy[1], s_cpu]).Select(entry => (entry.Policy.Name, Samples: run(entry.Policy))).ToArray();
        IReadOnlyList<PlotLine> Lines(Func<Sample, double> value) => [.. shown.Select(line => new PlotLine(line.Name,
            [.. line.Samples.Where(sample => sample.At.TotalHours is >= FirstHour and <= LastHour).Select(sample => (sample.At.TotalHours - FirstHour, value(sample)))]))];
        LinePlotPng.Write(path, "  hour of Tuesday", [
            new("GPUs held", Lines(sample => sample.Gpus)),
            new("device hours of work left", Lines(sample => sample.Work / 3600)),
        ]);
    }

    private sealed record Case(ScalingPolicy Policy, string? Note = null, ScalerOptions? Options = null, TimeSpan? ColdStart = null);
}

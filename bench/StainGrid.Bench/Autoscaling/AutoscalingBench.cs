using System.Globalization;
using System.Text;
using StainGrid.Imaging;

namespace StainGrid.Bench;

/// <summary>Compares ways to scale GPU silos over simulated weeks: a table in Markdown and a plot.</summary>
internal static class AutoscalingBench
{
    private static readonly ScalingPolicy[] Policies =
    [
        .. Works, .. Queues, .. Busies, UsePolicy.Cpu(70), .. Fixed,
    ];

    private static IEnumerable<ScalingPolicy> Works => ((double[])[120, 300, 600, 1200]).Select(TotalPolicy.Work);

    private static IEnumerable<ScalingPolicy> Queues => ((double[])[100, 200, 400]).Select(TotalPolicy.Queue);

    private static IEnumerable<ScalingPolicy> Busies => ((int[])[50, 70, 90]).Select(UsePolicy.Busy);

    private static IEnumerable<ScalingPolicy> Fixed => ((int[])[2, 4, 8, 16]).Select(count => new FixedPolicy(count));

    /// <summary>Runs all policies on the same plates and prints the table.</summary>
    /// <param name="seeds">So many draws of the plates.</param>
    /// <param name="days">For so many days plates come.</param>
    /// <param name="threads">Simulations at once.</param>
    /// <param name="plot">Where to write the plot; nowhere if null.</param>
    public static void Run(int seeds, int days, int threads, string? plot)
    {
        var workload = new WorkloadOptions { Length = TimeSpan.FromDays(days) };
        var blockTimes = workload.BlockTimes();
        var draws = Enumerable.Range(1, seeds).Select(workload.Draw).ToArray();
        double fieldHours = blockTimes.Sum(time => time.TotalHours);
        Console.WriteLine($"{seeds} draws of {days} days: {Spread(draws.Select(draw => (double)draw.Count), "F0")} plates, "
            + $"{Spread(draws.Select(draw => draw.Sum(plate => plate.Fields) * fieldHours), "F0")} GPU-hours of work");
        var results = new SimulationResult[Policies.Length, seeds];
        Parallel.For(0, Policies.Length * seeds, new ParallelOptions { MaxDegreeOfParallelism = threads }, run =>
        {
            var (policy, seed) = Math.DivRem(run, seeds);
            results[policy, seed] = ClusterSimulation.Run(draws[seed], blockTimes, workload.Length, Policies[policy], watched: seed == 0);
        });

        Console.WriteLine("""

            | policy | hours to finish: median | p95 | worst | GPU-hours | of them idle | busy share | cold starts |
            |---|--:|--:|--:|--:|--:|--:|--:|
            """);
        for (int policy = 0; policy < Policies.Length; policy++)
        {
            var runs = Enumerable.Range(0, seeds).Select(seed => results[policy, seed]).ToArray();
            Console.WriteLine(new StringBuilder()
                .Append(CultureInfo.InvariantCulture, $"| {Policies[policy].Name} ")
                .Append(CultureInfo.InvariantCulture, $"| {Spread(runs.Select(run => Percentile(Hours(run), 0.5)), "F2")} ")
                .Append(CultureInfo.InvariantCulture, $"| {Spread(runs.Select(run => Percentile(Hours(run), 0.95)), "F2")} ")
                .Append(CultureInfo.InvariantCulture, $"| {Spread(runs.Select(run => Percentile(Hours(run), 1)), "F2")} ")
                .Append(CultureInfo.InvariantCulture, $"| {Spread(runs.Select(run => run.Held.TotalHours), "F0")} ")
                .Append(CultureInfo.InvariantCulture, $"| {Spread(runs.Select(run => (run.Held - run.Busy).TotalHours), "F0")} ")
                .Append(CultureInfo.InvariantCulture, $"| {Spread(runs.Select(run => 100 * (run.Busy / run.Held)), "F0")} % ")
                .Append(CultureInfo.InvariantCulture, $"| {Spread(runs.Select(run => (double)run.ColdStarts), "F0")} |"));
        }

        ColdStarts(workload, draws, blockTimes, threads);
        if (plot is not null)
            Plot(plot, results);
    }

    private static void ColdStarts(WorkloadOptions workload, IReadOnlyList<PlateArrival>[] draws, TimeSpan[] blockTimes, int threads)
    {
        int[] minutes = [1, 10];
        ScalingPolicy[] policies = [TotalPolicy.Work(300), TotalPolicy.Work(600), UsePolicy.Busy(70)];
        var results = new SimulationResult[policies.Length, minutes.Length, draws.Length];
        Parallel.For(0, results.Length, new ParallelOptions { MaxDegreeOfParallelism = threads }, run =>
        {
            int seed = run % draws.Length, minute = run / draws.Length % minutes.Length, policy = run / draws.Length / minutes.Length;
            results[policy, minute, seed] = ClusterSimulation.Run(draws[seed], blockTimes, workload.Length, policies[policy], coldStart: TimeSpan.FromMinutes(minutes[minute]));
        });
        Console.WriteLine($"\n| policy | {string.Join(" | ", minutes.Select(minute => $"cold start {minute} min: median h, p95 h, GPU-hours"))} |");
        Console.WriteLine($"|---|{string.Concat(minutes.Select(_ => "--:|"))}");
        for (int policy = 0; policy < policies.Length; policy++)
        {
            Console.WriteLine($"| {policies[policy].Name} | " + string.Join(" | ", minutes.Select((_, minute) =>
            {
                var runs = Enumerable.Range(0, draws.Length).Select(seed => results[policy, minute, seed]).ToArray();
                return string.Create(CultureInfo.InvariantCulture, $"{Median(runs, run => Percentile(Hours(run), 0.5)):F2}, {Median(runs, run => Percentile(Hours(run), 0.95)):F2}, {Median(runs, run => run.Held.TotalHours):F0}");
            })) + " |");
        }
    }

    /// <summary>The value below which a share of the values lies (nearest rank).</summary>
    private static double Percentile(double[] values, double share) =>
        values.Order().ElementAt(Math.Clamp((int)Math.Ceiling(share * values.Length) - 1, 0, values.Length - 1));

    private static double Median(SimulationResult[] runs, Func<SimulationResult, double> value) => Percentile([.. runs.Select(value)], 0.5);

    private static double[] Hours(SimulationResult run) => [.. run.Plates.Select(plate => (plate.Finished - plate.Submitted).TotalHours)];

    // Median of the draws, with the least and the most.
    private static string Spread(IEnumerable<double> values, string format)
    {
        double[] sorted = [.. values.Order()];
        string Text(double value) => value.ToString(format, CultureInfo.InvariantCulture);
        return sorted.Length == 1 ? Text(sorted[0]) : $"{Text(Percentile(sorted, 0.5))} ({Text(sorted[0])} to {Text(sorted[^1])})";
    }

    private static void Plot(string path, SimulationResult[,] results)
    {
        const double FirstHour = 24, LastHour = 48;   // the first Tuesday
        int seeds = results.GetLength(1);
        SimulationResult First(ScalingPolicy policy) => results[Array.IndexOf(Policies, policy), 0];
        PlotLine Day(string name, ScalingPolicy policy, Func<Sample, double> value) =>
            new(name, [.. First(policy).Samples.Where(sample => sample.At.TotalHours is >= FirstHour and <= LastHour).Select(sample => (sample.At.TotalHours - FirstHour, value(sample)))]);
        PlotLine Trade(string name, IEnumerable<ScalingPolicy> policies) => new(name, [.. policies.Select(policy =>
        {
            var runs = Enumerable.Range(0, seeds).Select(seed => results[Array.IndexOf(Policies, policy), seed]).ToArray();
            return (Median(runs, run => run.Held.TotalHours), Median(runs, run => Percentile(Hours(run), 0.95)));
        }).Where(point => point.Item2 <= 24)]);
        LinePlotPng.Write(path, "", [
            new("GPUs held by the hour of a Tuesday", [.. ((ScalingPolicy[])[.. Works.Skip(1).Take(1), .. Busies.Skip(1).Take(1), UsePolicy.Cpu(70)]).Select(policy => Day(policy.Name, policy, sample => sample.Gpus))]),
            new("device hours of work left by the hour of that day", [.. ((ScalingPolicy[])[.. Works.Skip(1).Take(1), .. Busies.Skip(1).Take(1), UsePolicy.Cpu(70)]).Select(policy => Day(policy.Name, policy, sample => sample.Work / 3600))]),
            new("hours to finish (p95) over GPU-hours", [Trade("work 120..1200 s", Works), Trade("busy 50..90 %", Busies), Trade("queue 100..400", Queues), Trade("fixed 2..16", Fixed)]),
        ]);
    }
}

using StainGrid.Contracts;
using StainGrid.Silo;
using StainGrid.Tiling;

namespace StainGrid.Bench;

/// <summary>The dispatcher's grain alone: leases and completions by grain calls, of plates that are queued whole.</summary>
internal static class DispatcherBench
{
    private const int FieldsPerWell = 9;
    private const int Blocks = 81;
    private static readonly TimeSpan Measured = TimeSpan.FromSeconds(3);

    /// <summary>Prints the table.</summary>
    public static async Task RunAsync()
    {
        string folder = Directory.CreateTempSubdirectory("staingrid-bench-").FullName;
        try
        {
            Console.WriteLine(FormattableString.Invariant($"leases of one block and their completions, {FieldsPerWell} fields a well of {Blocks} blocks, {Environment.ProcessorCount} cores"));
            await using var silo = await BenchSilo.StartAsync(folder, 0, TimeSpan.Zero);

            // Over loopback, with the messages in bytes; the dispatcher is not placed on a silo for devices.
            await using var other = await BenchSilo.StartAsync(folder, 0, TimeSpan.Zero, SiloRole.Accelerator, silo);
            await MeasureAsync(silo, silo, 16, 96, print: false);   // compiles
            await MeasureAsync(silo, other, 16, 96, print: false);
            Console.WriteLine("callers                wells  leases/s  CPU us/lease  cores  others'");
            foreach (int callers in (int[])[1, 4, 16, 64])
            {
                foreach (int wells in (int[])[96, 384, 1536])
                    await MeasureAsync(silo, silo, callers, wells, print: true);
                await MeasureAsync(silo, other, callers, 1536, print: true);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task MeasureAsync(BenchSilo silo, BenchSilo from, int callers, int wells, bool print)
    {
        var dispatcher = silo.Grains.GetGrain<IDispatcherGrain>(0);
        string[] slides = [.. Enumerable.Range(0, wells * FieldsPerWell).Select(field => FormattableString.Invariant($"plate/{field}"))];
        int[] blocks = [.. Enumerable.Range(0, Blocks)];
        foreach (string slide in slides)
            await dispatcher.EnqueueAsync(Job(slide), blocks);
        using var stop = new CancellationTokenSource(Measured);
        var meter = new Meter();
        var calling = Enumerable.Range(0, callers).Select(caller => Task.Run(() => CallAsync(from, caller, stop.Token)));
        long leases = (await Task.WhenAll(calling)).Sum();
        double seconds = meter.Seconds, cpu = meter.CpuSeconds;
        if (print)
        {
            Console.WriteLine(FormattableString.Invariant($"{callers,7} {(from == silo ? "in its silo" : "another silo"),-14}{wells,6}{leases / seconds,10:N0}{cpu * 1e6 / leases,14:F0}{cpu / seconds,7:F2}{meter.OtherCores,9:F2}"));
        }

        foreach (string slide in slides)
            await dispatcher.RemoveAsync(slide);
    }

    // Until the time is over or nothing is queued any more.
    private static async Task<long> CallAsync(BenchSilo from, int caller, CancellationToken stop)
    {
        var dispatcher = from.Grains.GetGrain<IDispatcherGrain>(0);
        string device = FormattableString.Invariant($"bench/stand-in:{caller}");
        long leases = 0;
        while (!stop.IsCancellationRequested && await dispatcher.LeaseAsync(device, from.Address, 1, TimeSpan.Zero) is [var lease])
        {
            await dispatcher.CompleteAsync(lease.Lease);
            leases++;
        }

        return leases;
    }

    private static SlideJob Job(string slide) => new()
    {
        SlideId = slide,
        PlateId = "plate",
        Files = ["images/field.png"],
        Model = "model.safetensors",
        ModelSha256 = new string('0', 64),
        Output = "output/" + slide,
        Name = "field",
        Width = 4600,
        Height = 4600,
        Planes = [new SlidePlane(0, 0, 1)],
        Labels = [0, 1, 2, 3, 4, 5, 6, 7],
        Statistics = [Statistic.Mean],
        Channels = [.. Enumerable.Range(0, 8).Select(label => new OutputChannel($"LABEL_{label}", "FFFFFF", 0, ushort.MaxValue, Shown: true))],
        Stride = 64,
        Blend = Blend.Uniform,
        BlockSide = 8,
        Clamp = true,
        BatchSize = 4,
        Precision = Precision.BFloat16,
        Weight = 1,
        PlanHash = new string('0', 64),
        Epoch = 1,
    };
}

using System.Diagnostics;
using System.Globalization;
using StainGrid.Grains;

namespace StainGrid.Bench;

/// <summary>How fast the dispatcher's queue is: leases and completions, and the memory of a block that waits.</summary>
internal static class SchedulerBench
{
    private const int Fields = 9;
    private const int Blocks = 81;
    private const int WindowPerDevice = 4;

    private static readonly int[] Wells = [96, 384, 1536];

    /// <summary>Prints the table.</summary>
    public static void Run()
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"plates of {string.Join(", ", Wells)} wells x {Fields} fields x {Blocks} blocks, {WindowPerDevice} fields queued per device, {Environment.ProcessorCount} cores"));
        Serve(16, Wells[^1]);   // compiles
        Console.WriteLine("leases + completions/s" + string.Concat(Wells.Select(wells => $"{wells,12} wells")));
        foreach (int devices in (int[])[1, 4, 16, 64])
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{devices,14} devices") + string.Concat(
                Wells.Select(wells => string.Create(CultureInfo.InvariantCulture, $"{2.0 * wells * Fields * Blocks / Serve(devices, wells),18:N0}"))));
        }

        foreach (int wells in Wells)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"a whole plate of {wells} wells queued: {BytesPerBlock(wells):F1} bytes a block"));
    }

    // Seconds. Every device computes one block at a time; a field that is done leaves and the plate's next one comes.
    private static double Serve(int devices, int wells)
    {
        var scheduler = new BlockScheduler();
        var now = DateTimeOffset.UnixEpoch;
        string[] fields = Names(wells);
        string[] names = [.. Enumerable.Range(0, devices).Select(device => $"device {device}")];
        string[] silos = [.. Enumerable.Range(0, devices).Select(device => $"silo {device / 4}")];
        var computing = new ScheduledBlock?[devices];
        int queued = 0, done = 0;
        var clock = Stopwatch.StartNew();
        while (queued < Math.Min(fields.Length, WindowPerDevice * devices))
            Enqueue(scheduler, fields[queued++]);
        while (done < fields.Length)
        {
            for (int device = 0; device < devices; device++)
            {
                if (computing[device] is { } block)
                {
                    scheduler.Complete(block.Lease);
                    if (scheduler.Pending(block.SlideId, 1) == 0)
                    {
                        scheduler.Remove(block.SlideId);
                        done++;
                        if (queued < fields.Length)
                            Enqueue(scheduler, fields[queued++]);
                    }
                }

                var leased = scheduler.Lease(names[device], silos[device], 1, now);
                computing[device] = leased.Count > 0 ? leased[0] : null;
            }
        }

        return clock.Elapsed.TotalSeconds;
    }

    private static double BytesPerBlock(int wells)
    {
        string[] fields = Names(wells);
        long before = GC.GetTotalMemory(forceFullCollection: true);
        var scheduler = new BlockScheduler();
        foreach (string field in fields)
            Enqueue(scheduler, field);
        long after = GC.GetTotalMemory(forceFullCollection: true);
        return (double)(after - before) / scheduler.QueuedBlocks;
    }

    private static string[] Names(int wells) => [.. Enumerable.Range(0, wells * Fields).Select(field => $"plate/{field / Fields}/{field % Fields}")];

    private static void Enqueue(BlockScheduler scheduler, string field) => scheduler.Enqueue(field, "plate", 1, 1, Enumerable.Range(0, Blocks));
}

using System.Globalization;

namespace StainGrid.Faults.Tests;

/// <summary>What happens to a silo, or to what all silos need.</summary>
internal enum SiloFault
{
    /// <summary>SIGKILL, and a start under the same name after <see cref="FaultEvent.For"/>.</summary>
    Kill,

    /// <summary>SIGSEGV, and a start under the same name.</summary>
    CrashNative,

    /// <summary>SIGSTOP, and SIGCONT after <see cref="FaultEvent.For"/>, longer than the failure detector waits.</summary>
    Pause,

    /// <summary>SIGTERM, and a start under the same name.</summary>
    GracefulStop,

    /// <summary>Redis stops and is back after <see cref="FaultEvent.For"/>.</summary>
    RestartRedis,
}

/// <summary>One fault: after how long, to whom, and for how long.</summary>
internal sealed record FaultEvent(TimeSpan After, SiloFault Fault, string Silo, TimeSpan For)
{
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{After.TotalSeconds,6:f2} s  {Fault} {Silo} for {For.TotalSeconds:f2} s");
}

/// <summary>A schedule of faults that a seed decides.</summary>
internal sealed record FaultPlan(int Seed, IReadOnlyList<FaultEvent> Events)
{
    /// <summary>The seeds to run: STAINGRID_FAULT_RUNS of them (1 by default) from STAINGRID_FAULT_SEED (1 by default) on.</summary>
    public static IEnumerable<int> Seeds => Enumerable.Range(Variable("STAINGRID_FAULT_SEED", 1), Math.Max(1, Variable("STAINGRID_FAULT_RUNS", 1)));

    /// <summary>Draws a schedule; the same arguments give the same one.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="silos">The silos' names.</param>
    /// <param name="faults">The faults to draw from.</param>
    /// <param name="count">How many.</param>
    /// <param name="within">The time, from 1 s on, in which they begin; each has a share of its own, so that they come apart.</param>
    /// <param name="shortest">The shortest time down.</param>
    /// <param name="longest">The longest.</param>
    public static FaultPlan Draw(
        int seed, IReadOnlyList<string> silos, IReadOnlyList<SiloFault> faults, int count, TimeSpan within, TimeSpan shortest, TimeSpan longest)
    {
        var random = new Random(seed);
        var share = within / Math.Max(1, count);
        var events = new List<FaultEvent>();
        for (int i = 0; i < count; i++)
        {
            var fault = faults[random.Next(faults.Count)];
            var after = TimeSpan.FromSeconds(1) + (share * (i + random.NextDouble()));
            string silo = silos[random.Next(silos.Count)];
            events.Add(new FaultEvent(after, fault, fault == SiloFault.RestartRedis ? "redis" : silo, shortest + ((longest - shortest) * random.NextDouble())));
        }

        return new FaultPlan(seed, events);
    }

    /// <summary>Runs the schedule, one fault after the other.</summary>
    public async Task RunAsync(Func<FaultEvent, CancellationToken, Task> make, CancellationToken cancellationToken)
    {
        var watch = System.Diagnostics.Stopwatch.StartNew();
        foreach (var fault in Events)
        {
            var wait = fault.After - watch.Elapsed;
            if (wait > TimeSpan.Zero)
                await Task.Delay(wait, cancellationToken);
            await make(fault, cancellationToken);
        }
    }

    public override string ToString() =>
        $"STAINGRID_FAULT_SEED={Seed} STAINGRID_FAULT_RUNS=1 repeats this run:\n" + string.Join('\n', Events);

    private static int Variable(string name, int otherwise) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}

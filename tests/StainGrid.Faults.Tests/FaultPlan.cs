using System.Globalization;

namespace StainGrid.Faults.Tests;

/// <summary>What happens to a silo, or to what all silos need.</summary>
internal enum SiloFault
{
    /// <summary>SIGKILL, and a start under the same name after <see cref="FaultEvent.For"/>.</summary>
    Kill,

    /// <summary>SIGSEGV, and a start under the same name.</summary>
    CrashNative,

    /// <summary>SIGSTOP until the cluster has evicted it, and SIGCONT after <see cref="FaultEvent.For"/>; then a start under the same name, once it has found that out and
    /// ended.</summary>
    Pause,

    /// <summary>SIGTERM, and a start under the same name.</summary>
    GracefulStop,

    /// <summary>Redis stops and is back after <see cref="FaultEvent.For"/>.</summary>
    RestartRedis,

    /// <summary>SIGKILL to all silos, and a start of all.</summary>
    KillAll,
}

/// <summary>One fault: after how many fields of the plate are complete, to whom, and for how long.</summary>
internal sealed record FaultEvent(int AfterFields, SiloFault Fault, string Silo, TimeSpan For)
{
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Fault} {Silo} after {AfterFields} fields for {For.TotalSeconds:f2} s");
}

/// <summary>Faults that a seed decides.</summary>
internal static class FaultPlan
{
    /// <summary>The seeds to run: STAINGRID_FAULT_RUNS of them (1 by default) from STAINGRID_FAULT_SEED (1 by default) on.</summary>
    public static IEnumerable<int> Seeds => Enumerable.Range(Variable("STAINGRID_FAULT_SEED", 1), Math.Max(1, Variable("STAINGRID_FAULT_RUNS", 1)));

    /// <summary>Draws a fault; the same arguments give the same one.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="fault">What happens.</param>
    /// <param name="silos">The silos' names, one of which it happens to.</param>
    /// <param name="fields">Fields of the plate: it happens when at least one and at most three quarters of them are complete; to all
    /// silos when half are.</param>
    public static FaultEvent Draw(int seed, SiloFault fault, IReadOnlyList<string> silos, int fields)
    {
        var random = new Random((seed * 31) + (int)fault);   // or each fault of a seed comes at the same time to the same silo
        int after = random.Next(1, (fields * 3 / 4) + 1);
        string silo = silos[random.Next(silos.Count)];
        var (shortest, longest) = fault switch
        {
            SiloFault.RestartRedis => (1.0, 5.0),
            _ => (0, 2),
        };
        return new FaultEvent(
            fault == SiloFault.KillAll ? fields / 2 : after,
            fault,
            fault switch { SiloFault.RestartRedis => "redis", SiloFault.KillAll => "all", _ => silo },
            TimeSpan.FromSeconds(shortest + ((longest - shortest) * random.NextDouble())));
    }

    private static int Variable(string name, int otherwise) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}

using System.Diagnostics;
using System.Globalization;

namespace StainGrid.Bench;

/// <summary>Wall time, this process's processor time and that of all others since it was made, and the peaks of memory as sampled.</summary>
internal sealed class Meter
{
    private readonly long started = Stopwatch.GetTimestamp();
    private readonly double ownStart = Own();
    private readonly double machineStart = Machine();

    public double Seconds => Stopwatch.GetElapsedTime(started).TotalSeconds;

    /// <summary>Processor time of this process, seconds.</summary>
    public double CpuSeconds => Own() - ownStart;

    /// <summary>Cores that other processes kept busy; 0 where the system does not tell.</summary>
    public double OtherCores => Math.Max(0, Machine() - machineStart - CpuSeconds) / Seconds;

    public long PeakManaged { get; private set; }

    public long PeakResident { get; private set; }

    public void Sample()
    {
        using var process = Process.GetCurrentProcess();
        PeakManaged = Math.Max(PeakManaged, GC.GetTotalMemory(forceFullCollection: false));
        PeakResident = Math.Max(PeakResident, process.WorkingSet64);
    }

    private static double Own()
    {
        using var process = Process.GetCurrentProcess();
        return process.TotalProcessorTime.TotalSeconds;
    }

    // user, nice, system, idle, iowait, irq, softirq, steal: all but idle and iowait, in hundredths of a second.
    private static double Machine() => !File.Exists("/proc/stat") ? 0 : File.ReadLines("/proc/stat").First()
        .Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(8).Where((_, i) => i is not (3 or 4))
        .Sum(ticks => double.Parse(ticks, CultureInfo.InvariantCulture)) / 100;
}

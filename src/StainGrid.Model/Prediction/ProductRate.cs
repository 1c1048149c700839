using System.Diagnostics;
using System.Runtime.Intrinsics;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>How fast this machine multiplies matrices: what the network's speed is measured against, and by which its precision is chosen.</summary>
public static class ProductRate
{
    // A product that the processor has no instructions for is slower, one that it has them for two to sixteen times as fast.
    private const double Worthwhile = 1.5;
    private const int Side = 512;

    private static readonly Lazy<bool> OnThisCpu = new(() => Vector512.IsHardwareAccelerated && Measure(ScalarType.BFloat16) > Worthwhile * Measure(ScalarType.Float32));

    /// <summary>Whether a device is faster in bfloat16: a cpu by measurement, once a process, of some tens of milliseconds; any other device always.</summary>
    /// <param name="device">"cpu", or another's name.</param>
    public static bool PrefersBFloat16(string device) => device != "cpu" || OnThisCpu.Value;

    /// <summary>The rate of one thread of the cpu, multiply-adds counted twice, GFLOP/s: the best of several short runs.</summary>
    /// <param name="type">Float32 or BFloat16.</param>
    /// <param name="side">Rows and columns of the matrices.</param>
    public static double Measure(ScalarType type, int side = Side)
    {
        const int Runs = 6;
        double best = double.PositiveInfinity;
        using var threads = new ComputeThreads(CPU, 1);
        threads.RunAsync(1, (_, _) =>
        {
            using var scope = NewDisposeScope();
            using var gradients = no_grad();
            var left = ones([side, side], type);
            var right = ones([side, side], type);
            for (int run = 0; run < Runs; run++)
            {
                long started = Stopwatch.GetTimestamp();
                left.matmul(right).Dispose();
                best = Math.Min(best, Stopwatch.GetElapsedTime(started).TotalSeconds);
            }
        }).GetAwaiter().GetResult();
        return 2.0 * side * side * side / best / 1e9;
    }
}

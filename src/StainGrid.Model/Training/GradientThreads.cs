using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The threads that compute what libtorch does not as fast, forward and backward: one a core, of one for the process, since a training has the machine.</summary>
internal static class GradientThreads
{
    private static readonly Lazy<(ComputeThreads Threads, Scratch[] Scratches)> Workers = new(() =>
    {
        var threads = new ComputeThreads(CPU);
        return (threads, [.. Enumerable.Range(0, threads.Count).Select(_ => new Scratch())]);
    });

    /// <summary>Runs work for each item, without gradients, with matrices for its use, and waits for all.</summary>
    public static void Run(int items, Action<int, Scratch> work)
    {
        var (threads, scratches) = Workers.Value;
        threads.RunAsync(items, (thread, item) =>
        {
            using var scope = NewDisposeScope();
            using var gradients = no_grad();
            work(item, scratches[thread]);
        }).GetAwaiter().GetResult();
    }
}

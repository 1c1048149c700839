using System.Runtime.ExceptionServices;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The threads that compute on a device. On the cpu there is one a core, each with batches of its own: libtorch's sums depend
/// on how many threads share a product, so with one for each the bytes are the same on any number of cores (and it is a little
/// faster). A GPU is fed by two: one queues a batch while the other waits for its result.</summary>
public sealed class ComputeThreads : IDisposable
{
    private readonly Barrier start;
    private readonly CountdownEvent running;
    private readonly Thread[] threads;
    private Action<int>? body;
    private ExceptionDispatchInfo? failure;

    /// <summary>Starts the threads of a device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="count">How many; 0 for one a core of a cpu, two for a GPU.</param>
    public ComputeThreads(Device device, int count = 0)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        bool cpu = device.type == TorchSharp.DeviceType.CPU;
        Count = count > 0 ? count : cpu ? Environment.ProcessorCount : 2;
        start = new Barrier(Count + 1);
        running = new CountdownEvent(Count);

        // libtorch keeps the number for each thread, but a thread takes that which was set last in the process when it first computes:
        // each sets its own after that, and the process's is put back.
        int before = get_num_threads();
        threads = [.. Enumerable.Range(0, Count).Select(index => new Thread(() => Run(index, cpu)) { IsBackground = true, Name = $"{device} {index}" })];
        foreach (var thread in threads)
            thread.Start();
        running.Wait();
        set_num_threads(before);
    }

    /// <summary>How many.</summary>
    public int Count { get; }

    /// <summary>Runs <paramref name="work"/> on every thread, with the thread's number, and waits for all. One call at a time.</summary>
    /// <exception cref="Exception">What the first of them threw.</exception>
    public void Run(Action<int> work)
    {
        ArgumentNullException.ThrowIfNull(work);
        body = work;
        failure = null;
        running.Reset();
        start.SignalAndWait();
        running.Wait();
        failure?.Throw();
    }

    /// <summary>Ends the threads.</summary>
    public void Dispose()
    {
        body = null;
        start.SignalAndWait();
        foreach (var thread in threads)
            thread.Join();
        start.Dispose();
        running.Dispose();
    }

    private void Run(int index, bool cpu)
    {
        _ = get_num_threads();
        if (cpu)
            set_num_threads(1);
        running.Signal();
        while (true)
        {
            start.SignalAndWait();
            if (body is null)
                return;
            try
            {
                body(index);
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
            }

            running.Signal();
        }
    }
}

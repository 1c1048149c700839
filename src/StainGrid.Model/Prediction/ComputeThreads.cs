using System.Collections.Concurrent;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The threads that compute on a device. On the cpu there is one a core, each with batches of its own: libtorch's sums depend
/// on how many threads share a product, so with one for each the bytes are the same on any number of cores (and it is a little
/// faster). A GPU is fed by two: one queues a batch while the other waits for its result.</summary>
public sealed class ComputeThreads : IDisposable
{
    private readonly BlockingCollection<Action<int>> queue = [];
    private readonly Thread[] threads;

    /// <summary>Starts the threads of a device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="count">How many; 0 for one a core of a cpu, two for a GPU.</param>
    public ComputeThreads(Device device, int count = 0)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        bool cpu = device.type == TorchSharp.DeviceType.CPU;
        Count = count > 0 ? count : cpu ? Environment.ProcessorCount : 2;

        // libtorch keeps the number for each thread, but a thread takes that which was set last in the process when it first computes:
        // each sets its own after that, and the process's is put back.
        int before = get_num_threads();
        using var started = new CountdownEvent(Count);
        threads = [.. Enumerable.Range(0, Count).Select(index => new Thread(() => Run(index, cpu, started)) { IsBackground = true, Name = $"{device} {index}" })];
        foreach (var thread in threads)
            thread.Start();
        started.Wait();
        set_num_threads(before);
    }

    /// <summary>How many.</summary>
    public int Count { get; }

    /// <summary>Runs <paramref name="work"/> for each item, with the number of the thread it is on and the item's. Items are taken in order, after those of the calls
    /// before, whose last ones may still be running.</summary>
    /// <returns>Ends when all have ended. Once one has thrown, those that were not taken are left out, and its exception is this task's.</returns>
    /// <exception cref="InvalidOperationException">The threads have ended.</exception>
    public Task RunAsync(int items, Action<int, int> work)
    {
        ArgumentNullException.ThrowIfNull(work);
        ArgumentOutOfRangeException.ThrowIfLessThan(items, 1);
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Exception? failure = null;
        int left = items;
        for (int i = 0; i < items; i++)
        {
            int item = i;
            queue.Add(thread =>
            {
                try
                {
                    if (Volatile.Read(ref failure) is null)
                        work(thread, item);
                }
                catch (Exception e)
                {
                    Interlocked.CompareExchange(ref failure, e, null);
                }

                if (Interlocked.Decrement(ref left) > 0)
                    return;
                if (failure is OperationCanceledException cancelled)
                    done.SetCanceled(cancelled.CancellationToken);
                else if (failure is not null)
                    done.SetException(failure);
                else
                    done.SetResult();
            });
        }

        return done.Task;
    }

    /// <summary>Finishes what was asked for, then ends the threads.</summary>
    public void Dispose()
    {
        queue.CompleteAdding();
        foreach (var thread in threads)
            thread.Join();
        queue.Dispose();
    }

    private void Run(int index, bool cpu, CountdownEvent started)
    {
        _ = get_num_threads();
        if (cpu)
            set_num_threads(1);
        started.Signal();
        foreach (var action in queue.GetConsumingEnumerable())
            action(index);
    }
}

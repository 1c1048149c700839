namespace StainGrid.Bench;

/// <summary>What a scaler sees when its metrics are read.</summary>
/// <param name="Work">Device seconds that all running plates still need (staingrid.queue.work).</param>
/// <param name="Blocks">Blocks that the dispatcher knows, waiting or leased (staingrid.queue.blocks): of a plate only the fields that have begun.</param>
/// <param name="BusyShares">The busy share of each ready silo's device since the reading before; only of silos that were ready then.</param>
/// <param name="Unready">Silos that start, or have not been measured yet.</param>
internal sealed record Signals(double Work, long Blocks, IReadOnlyList<double> BusyShares, int Unready);

/// <summary>By what the number of GPU silos is chosen.</summary>
/// <param name="Name">What the table calls it.</param>
internal abstract record ScalingPolicy(string Name)
{
    /// <summary>The fewest silos.</summary>
    public virtual int Least => 0;
}

/// <summary>Always the same silos.</summary>
/// <param name="Count">So many.</param>
internal sealed record FixedPolicy(int Count) : ScalingPolicy($"fixed {Count}")
{
    /// <inheritdoc/>
    public override int Least => Count;
}

/// <summary>KEDA on a total, which is divided among the silos.</summary>
/// <param name="Name">What the table calls it.</param>
/// <param name="Target">The wanted share of a silo.</param>
/// <param name="Total">The total.</param>
internal sealed record TotalPolicy(string Name, double Target, Func<Signals, double> Total) : ScalingPolicy(Name)
{
    /// <summary>Seconds of work waiting per device.</summary>
    public static TotalPolicy Work(double seconds) => new($"work {seconds:F0} s", seconds, signals => signals.Work);

    /// <summary>Queued and leased blocks per device.</summary>
    public static TotalPolicy Queue(double blocks) => new($"queue {blocks:F0} blocks", blocks, signals => signals.Blocks);
}

/// <summary>A HorizontalPodAutoscaler on the silos' use of a resource, which cannot go to zero.</summary>
/// <param name="Name">What the table calls it.</param>
/// <param name="Target">The wanted use, of what is requested.</param>
/// <param name="UseWhenBusy">The use of what is requested, by a silo whose device is always busy.</param>
internal sealed record UsePolicy(string Name, double Target, double UseWhenBusy) : ScalingPolicy(Name)
{
    /// <inheritdoc/>
    public override int Least => 1;

    /// <summary>CPU, of one requested core, at 79 ms a block of 200 ms: the highest that docs/scaling.md measured for a block on the whole
    /// cluster, all of it laid on the GPU silo.</summary>
    public static UsePolicy Cpu(int percent) => new($"cpu {percent} %", percent / 100.0, 0.079 / 0.2);

    /// <summary>CPU's best case: the use is the device's busy share.</summary>
    public static UsePolicy Busy(int percent) => new($"busy {percent} %", percent / 100.0, 1);
}

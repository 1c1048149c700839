namespace StainGrid.Contracts;

/// <summary>Holds the blocks of all running slides and leases them to the devices that ask, fairly between plates. There is one, of
/// key 0. It keeps nothing durable: slides notice its loss and queue again what they miss.</summary>
[Alias("staingrid.dispatcher")]
public interface IDispatcherGrain : IGrainWithIntegerKey
{
    /// <summary>Queues blocks of a slide; those that are queued or leased already stay so. Does nothing where the slide was
    /// started again since.</summary>
    [Alias("enqueue")]
    Task EnqueueAsync(SlideJob job, IReadOnlyList<int> blocks);

    /// <summary>How many blocks of this start of a slide are queued or leased.</summary>
    [Alias("pending")]
    Task<int> GetPendingAsync(string slideId, long epoch);

    /// <summary>Leases up to <paramref name="count"/> blocks; an empty list after <paramref name="wait"/>.</summary>
    /// <param name="device">The device that asks, "silo/cpu" or "silo/cuda:0".</param>
    /// <param name="silo">The address of its silo: its leases end with it.</param>
    /// <param name="count">At most so many.</param>
    /// <param name="wait">How long to wait for the first.</param>
    [Alias("lease")]
    Task<IReadOnlyList<BlockLease>> LeaseAsync(string device, string silo, int count, TimeSpan wait);

    /// <summary>Prolongs a device's leases.</summary>
    /// <returns>Those of them that are not valid any more: their blocks need not be computed.</returns>
    [Alias("renew")]
    Task<IReadOnlyList<long>> RenewAsync(string device, IReadOnlyList<long> leases);

    /// <summary>The block's map is with its stitchers, and its slide knows: the lease ends.</summary>
    [Alias("complete")]
    Task CompleteAsync(long lease);

    /// <summary>As <see cref="CompleteAsync"/>, with the time that the block took the device, seconds, by which the time of waiting work is estimated. A dispatcher of a version before
    /// this does not have it (TypeLoadException).</summary>
    [Alias("complete-timed")]
    Task CompleteTimedAsync(long lease, double seconds);

    /// <summary>The block was not computed. It is leased again, unless this was the last try: then its slide fails.</summary>
    /// <param name="lease">The lease.</param>
    /// <param name="error">What went wrong; null where the device only stops.</param>
    [Alias("return")]
    Task ReturnAsync(long lease, string? error);

    /// <summary>Takes a slide out: nothing more of it is leased, and devices stop what they compute of it.</summary>
    [Alias("remove")]
    Task RemoveAsync(string slideId);

    /// <summary>A running plate says how many of its fields have no blocks yet, so that the work waiting is known; again at least every minute, and null at its end.</summary>
    [Alias("backlog")]
    Task SetBacklogAsync(string plateId, int? fields);

    /// <summary>How much there is to do and who does it.</summary>
    [Alias("status")]
    Task<DispatcherStatus> GetStatusAsync();
}

/// <summary>A block that a device may compute.</summary>
/// <param name="Job">The slide.</param>
/// <param name="Block">The block's number in the slide's plan.</param>
/// <param name="Attempt">1 for the first time.</param>
/// <param name="Lease">The lease's number.</param>
[GenerateSerializer, Immutable, Alias("staingrid.block-lease")]
public sealed record BlockLease(
    [property: Id(0)] SlideJob Job, [property: Id(1)] int Block, [property: Id(2)] int Attempt, [property: Id(3)] long Lease);

/// <summary>What a dispatcher has.</summary>
/// <param name="Devices">Devices that asked for blocks lately.</param>
/// <param name="Queued">Blocks that wait.</param>
/// <param name="Leased">Blocks that are computed.</param>
[GenerateSerializer, Immutable, Alias("staingrid.dispatcher-status")]
public sealed record DispatcherStatus([property: Id(0)] int Devices, [property: Id(1)] long Queued, [property: Id(2)] long Leased);

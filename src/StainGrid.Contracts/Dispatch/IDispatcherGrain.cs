namespace StainGrid.Contracts;

/// <summary>Holds the blocks of all running slides and leases them to the devices that ask. There is one, of key 0.</summary>
[Alias("staingrid.dispatcher")]
public interface IDispatcherGrain : IGrainWithIntegerKey
{
    /// <summary>Queues all blocks of a slide. Slides take turns.</summary>
    [Alias("enqueue")]
    Task EnqueueAsync(SlideJob job);

    /// <summary>Leases up to <paramref name="count"/> blocks; an empty list after <paramref name="wait"/>.</summary>
    /// <param name="device">The device that asks, "silo/cpu" or "silo/cuda:0".</param>
    /// <param name="count">At most so many.</param>
    /// <param name="wait">How long to wait for the first.</param>
    [Alias("lease")]
    Task<IReadOnlyList<BlockLease>> LeaseAsync(string device, int count, TimeSpan wait);

    /// <summary>The block's map is with its stitchers: the lease ends.</summary>
    [Alias("complete")]
    Task CompleteAsync(string slideId, int block);

    /// <summary>The block was not computed. It is leased again, unless <paramref name="error"/> makes it the third failure:
    /// then its slide fails.</summary>
    /// <param name="slideId">The slide.</param>
    /// <param name="block">The block.</param>
    /// <param name="error">What went wrong; null where the device only stops.</param>
    [Alias("return")]
    Task ReturnAsync(string slideId, int block, string? error);

    /// <summary>Takes a slide out: nothing more of it is leased, and devices stop what they compute of it.</summary>
    [Alias("remove")]
    Task RemoveAsync(string slideId);
}

/// <summary>A block that a device may compute.</summary>
/// <param name="Job">The slide.</param>
/// <param name="Block">The block's number in the slide's plan.</param>
/// <param name="Attempt">1 for the first time.</param>
[GenerateSerializer, Immutable, Alias("staingrid.block-lease")]
public sealed record BlockLease([property: Id(0)] SlideJob Job, [property: Id(1)] int Block, [property: Id(2)] int Attempt);

using StainGrid.Tiling;

namespace StainGrid.Contracts;

/// <summary>Merges maps into the chunks of one band of a slide and writes each as soon as it is complete. The key is
/// "band@slide".</summary>
[Alias("staingrid.stitcher")]
public interface IStitcherGrain : IGrainWithStringKey
{
    /// <summary>Takes a block's part in the band; returns when the chunks that it completes are written. The same part again
    /// changes nothing.</summary>
    [Alias("add")]
    Task AddAsync(SlideJob job, ProbabilityMap part);

    /// <summary>Forgets what is held of a slide that has ended.</summary>
    [Alias("drop")]
    Task DropAsync();

    /// <summary>The key of the stitcher of a band.</summary>
    static string Key(string slideId, int band) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{band}@{slideId}");
}

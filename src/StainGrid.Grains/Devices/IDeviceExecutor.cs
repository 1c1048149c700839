using StainGrid.Contracts;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Computes blocks on one device, in the order in which they are asked for.</summary>
public interface IDeviceExecutor : IDisposable
{
    /// <summary>"cpu" or "cuda:N".</summary>
    string Name { get; }

    /// <summary>Predicts a block; its batches follow those of the blocks that were asked for before.</summary>
    /// <param name="job">The slide.</param>
    /// <param name="block">The block.</param>
    /// <param name="planes">For each plane the pixels of the block's input.</param>
    /// <param name="progress">Told after each batch the number of its tiles and the time that it took the device, on one of the device's threads.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <exception cref="ModelFileException">The model is refused, or is another than when the slide started.</exception>
    Task<ProbabilityMap> PredictAsync(SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes,
        Action<int, TimeSpan> progress, CancellationToken cancellationToken);
}

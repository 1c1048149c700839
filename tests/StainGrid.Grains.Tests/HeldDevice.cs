using StainGrid.Contracts;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Grains.Tests;

/// <summary>A device that begins no block from a number on until it may: what a test does meanwhile is certainly done before the slide's end.</summary>
internal sealed class HeldDevice(IDeviceExecutor device, HeldDevice.Gate gate) : IDeviceExecutor
{
    /// <inheritdoc/>
    public string Name => device.Name;

    /// <inheritdoc/>
    public async Task<ProbabilityMap> PredictAsync(SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes, Action<int, TimeSpan> progress, CancellationToken cancellationToken)
    {
        if (gate.Held is { } held && block.Index >= held.From)
            await held.Gone.WaitAsync(cancellationToken);
        return await device.PredictAsync(job, block, planes, progress, cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose() => device.Dispose();

    /// <summary>What is held now.</summary>
    internal sealed class Gate
    {
        /// <summary>The hold, or null.</summary>
        public Hold? Held { get; private set; }

        /// <summary>Holds every slide's blocks from one on until the hold is disposed of.</summary>
        public Hold From(int block) => Held = new Hold(this, block);

        /// <summary>A hold.</summary>
        internal sealed class Hold(Gate gate, int from) : IDisposable
        {
            private readonly TaskCompletionSource gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

            public int From => from;

            public Task Gone => gone.Task;

            /// <summary>Lets all go on.</summary>
            public void Dispose()
            {
                gate.Held = null;
                gone.TrySetResult();
            }
        }
    }
}

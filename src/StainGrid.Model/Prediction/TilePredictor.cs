using System.Diagnostics;
using StainGrid.Tiling;
using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>Runs a model on the tiles of blocks, batches side by side on the device's threads, and sums their predictions.</summary>
public sealed class TilePredictor : IDisposable
{
    private readonly StainModel model;
    private readonly ComputeThreads threads;
    private readonly InferenceNetwork? inference;
    private readonly ForwardPass[] passes;
    private readonly Buffers[] buffers;

    /// <summary>Prepares a model for prediction.</summary>
    /// <param name="model">The model, in evaluation mode; not disposed of here. On an accelerator bfloat16 rounds its weights.</param>
    /// <param name="threads">The threads of the model's device; not disposed of here.</param>
    /// <param name="precision">Float32 or bfloat16.</param>
    /// <exception cref="ArgumentOutOfRangeException">The precision is another.</exception>
    public TilePredictor(StainModel model, ComputeThreads threads, Precision precision = Precision.Float32)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(threads);
        if (precision is not (Precision.Float32 or Precision.BFloat16))
            throw new ArgumentOutOfRangeException(nameof(precision), precision, "A model is computed in float32 or bfloat16.");
        this.model = model;
        this.threads = threads;
        if (precision == Precision.BFloat16 && model.Device.type == DeviceType.CPU)
            inference = new InferenceNetwork(model.Network);
        else if (precision == Precision.BFloat16)
            model.RoundWeights();
        passes = [.. Enumerable.Range(0, threads.Count).Select(_ => inference is null ? (ForwardPass)new ModulePass(model) : new InferencePass(inference))];
        buffers = [.. passes.Select(_ => new Buffers())];
    }

    /// <summary>Predicts a block: the sum over its tiles and the given planes. Blocks may be asked for while others run: their batches follow each other, so that
    /// no thread waits for a block's last ones.</summary>
    /// <param name="plan">The slide's plan.</param>
    /// <param name="block">The block.</param>
    /// <param name="planes">For each plane the pixels of <see cref="Block.Input"/>.</param>
    /// <param name="options">What is predicted of each tile.</param>
    /// <param name="progress">Told the number of tiles (a tile and plane counts one) of each batch and how long it took, on any of the threads, one at a time.</param>
    /// <param name="cancellationToken">Stops between batches.</param>
    /// <exception cref="ArgumentOutOfRangeException">The batch has no tile.</exception>
    public async Task<ProbabilityMap> PredictAsync(TilingPlan plan, Block block, IReadOnlyList<PlaneWindow> planes, PredictionOptions options,
        Action<int, TimeSpan>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(block);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        var map = ProbabilityMap.Empty(block.Index, block.Extent, options.Channels);
        int batchSize = inference is null ? options.BatchSize : 1;   // inference takes one at a time anyway
        var batches = planes.SelectMany(_ => plan.Tiles(block), (plane, tile) => (Plane: plane, Tile: tile)).Chunk(batchSize).ToArray();
        await threads.RunAsync(batches.Length, (thread, next) =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            long started = Stopwatch.GetTimestamp();
            var (buffer, batch) = (buffers[thread], batches[next]);
            buffer.Fit(batchSize, options.Channels);
            Array.Clear(buffer.Contexts);
            for (int i = 0; i < batch.Length; i++)
                batch[i].Plane.CopyContext(batch[i].Tile, buffer.Contexts.AsSpan(i * Tile.ContextSize * Tile.ContextSize));
            Run(passes[thread], buffer, batchSize, options);
            int size = options.Channels * Tile.Size * Tile.Size;
            lock (map)   // whole numbers: the order does not matter
            {
                for (int i = 0; i < batch.Length; i++)
                    map.Add(plan, batch[i].Tile, buffer.Values.AsSpan(i * size, size));
                progress?.Invoke(batch.Length, Stopwatch.GetElapsedTime(started));
            }
        });
        return map;
    }

    /// <summary>Frees what was prepared. No block may be running.</summary>
    public void Dispose()
    {
        foreach (var pass in passes)
            pass.Dispose();
        inference?.Dispose();
    }

    private void Run(ForwardPass pass, Buffers buffer, int batchSize, PredictionOptions options)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var contexts = tensor(buffer.Contexts, [batchSize, 1, Tile.ContextSize, Tile.ContextSize]);
        if (model.Device.type != DeviceType.CPU)
            contexts = contexts.pin_memory().to(model.Device, non_blocking: true);             // beside what the other thread computes
        pass.Run(MultiScalePatches.Cut(contexts, model.Network.Options.PatchScales), options.Labels, options.Layers, buffer.Images);
        float scale = 1 << options.FixedPointBits;
        for (int i = 0; i < buffer.Values.Length; i++)
            buffer.Values[i] = (int)MathF.Round(buffer.Images[i] * scale);
    }

    private sealed class Buffers
    {
        public float[] Contexts { get; private set; } = [];

        public float[] Images { get; private set; } = [];

        public int[] Values { get; private set; } = [];

        public void Fit(int batchSize, int channels)
        {
            int contexts = batchSize * Tile.ContextSize * Tile.ContextSize, values = batchSize * channels * Tile.Size * Tile.Size;
            if (Contexts.Length != contexts)
                Contexts = new float[contexts];
            if (Values.Length != values)
                (Images, Values) = (new float[values], new int[values]);
        }
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Grains;

/// <summary>Owns a device: its threads, its models and its buffers. Grains await it and never block on torch.</summary>
public sealed class DeviceExecutor : IDeviceExecutor
{
    private const int MaxModels = 2;

    private readonly BlockingCollection<Action> work = [];
    private readonly LinkedList<LoadedModel> models = [];
    private readonly BlobFiles blobs;
    private readonly Device device;
    private readonly ComputeThreads threads;
    private readonly Thread thread;

    /// <summary>Starts the device's threads.</summary>
    /// <param name="name">"cpu" or "cuda:N".</param>
    /// <param name="blobs">Keeps the model files that are blobs.</param>
    /// <exception cref="ArgumentException">There is no such device here.</exception>
    public DeviceExecutor(string name, BlobFiles blobs)
    {
        Name = name;
        this.blobs = blobs;
        device = Parse(name);
        threads = new ComputeThreads(device);
        thread = new Thread(Run) { IsBackground = true, Name = $"device {name}" };
        thread.Start();
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>A device by its name.</summary>
    /// <exception cref="ArgumentException">The name is not of a device, or the device is not here.</exception>
    public static Device Parse(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name == "cpu")
            return CPU;
        if (!name.StartsWith("cuda:", StringComparison.Ordinal) || !int.TryParse(name["cuda:".Length..], out int index) || index < 0)
            throw new ArgumentException($"'{name}' is not a device. Say cpu, or cuda:0 for the first GPU.");
        if (!cuda.is_available() || index >= cuda.device_count())
        {
            throw new ArgumentException($"{name} is not here: libtorch sees {(cuda.is_available() ? cuda.device_count() : 0)} CUDA devices. "
                + "Say --device cpu, or build with -p:StainGridCuda=true on a machine with a GPU.");
        }

        return new Device(TorchSharp.DeviceType.CUDA, index);
    }

    /// <inheritdoc/>
    public Task<ProbabilityMap> PredictAsync(SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes,
        Action<int> progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(job);
        var result = new TaskCompletionSource<ProbabilityMap>(TaskCreationOptions.RunContinuationsAsynchronously);
        work.Add(() =>
        {
            try
            {
                cancellationToken.ThrowIfCancellationRequested();
                var started = Stopwatch.GetTimestamp();
                var plan = job.Plan();
                var options = new PredictionOptions(job.Labels, Statistics.Layers(job.Statistics), plan.FixedPointBits(job.Planes.Count)) { BatchSize = job.BatchSize };
                result.SetResult(PredictorOf(job, cancellationToken).Predict(plan, block, planes, options, Count, cancellationToken));

                void Count(int tiles)
                {
                    Telemetry.Batch(Name, tiles, Stopwatch.GetElapsedTime(started));
                    started = Stopwatch.GetTimestamp();
                    progress(tiles);
                }
            }
            catch (OperationCanceledException)
            {
                result.SetCanceled(cancellationToken);
            }
            catch (Exception e)
            {
                result.SetException(e);
            }
        }, CancellationToken.None);
        return result.Task;
    }

    /// <summary>Finishes what was asked for, then frees the models.</summary>
    public void Dispose()
    {
        work.CompleteAdding();
        thread.Join();
        threads.Dispose();
        work.Dispose();
    }

    private void Run()
    {
        foreach (var action in work.GetConsumingEnumerable())
            action();
        foreach (var model in models)
            model.Dispose();
    }

    private TilePredictor PredictorOf(SlideJob job, CancellationToken cancellationToken)
    {
        var model = models.FirstOrDefault(model => model.Model.Sha256 == job.ModelSha256 && model.Precision == job.Precision);
        if (model is not null)
        {
            models.Remove(model);
        }
        else
        {
            model = Load(job, cancellationToken);
            while (models.Count >= MaxModels)
            {
                models.Last!.Value.Dispose();
                models.RemoveLast();
            }
        }

        models.AddFirst(model);
        return model.Predictor;
    }

    private LoadedModel Load(SlideJob job, CancellationToken cancellationToken)
    {
        // The device has nothing to do without its model: its thread may wait for the file.
        StainModel model;
        using (var file = blobs.OpenAsync([job.Model], cancellationToken: cancellationToken).GetAwaiter().GetResult())
            model = StainModel.Load(file.Paths[0], device, BlobAddress.Show(job.Model));
        try
        {
            return model.Sha256 == job.ModelSha256
                ? new LoadedModel(model, job.Precision, new TilePredictor(model, threads, job.Precision))
                : throw new ModelFileException(BlobAddress.Show(job.Model), "the file is another than when the slide was started. Submit the slide again.");
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private sealed record LoadedModel(StainModel Model, Precision Precision, TilePredictor Predictor) : IDisposable
    {
        public void Dispose()
        {
            Predictor.Dispose();
            Model.Dispose();
        }
    }
}

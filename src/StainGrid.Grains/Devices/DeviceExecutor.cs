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
    private readonly LinkedList<StainModel> models = [];
    private readonly Dictionary<string, (string Plan, TilePredictor Predictor)> predictors = [];
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
                result.SetResult(PredictorOf(job, cancellationToken).Predict(job.Plan(), block, planes, Count, cancellationToken));

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

    // The predictor of a slide, kept as long as its model is.
    private TilePredictor PredictorOf(SlideJob job, CancellationToken cancellationToken)
    {
        if (predictors.TryGetValue(job.ModelSha256, out var known) && known.Plan == job.PlanHash)
            return known.Predictor;
        var options = new PredictionOptions(job.Labels, Statistics.Layers(job.Statistics), job.Plan().FixedPointBits(job.Planes.Count))
        {
            BatchSize = job.BatchSize,
        };
        var predictor = new TilePredictor(ModelOf(job, cancellationToken), options, threads);
        predictors[job.ModelSha256] = (job.PlanHash, predictor);
        return predictor;
    }

    private StainModel ModelOf(SlideJob job, CancellationToken cancellationToken)
    {
        var model = models.FirstOrDefault(model => model.Sha256 == job.ModelSha256);
        if (model is not null)
        {
            models.Remove(model);
        }
        else
        {
            // The device has nothing to do without its model: its thread may wait for the file.
            using (var file = blobs.OpenAsync([job.Model], cancellationToken: cancellationToken).GetAwaiter().GetResult())
                model = StainModel.Load(file.Paths[0], device, BlobAddress.Show(job.Model));
            if (model.Sha256 != job.ModelSha256)
            {
                model.Dispose();
                throw new ModelFileException(BlobAddress.Show(job.Model), "the file is another than when the slide was started. Submit the slide again.");
            }

            while (models.Count >= MaxModels)
            {
                var last = models.Last!.Value;
                models.RemoveLast();
                predictors.Remove(last.Sha256);
                last.Dispose();
            }
        }

        models.AddFirst(model);
        return model;
    }
}

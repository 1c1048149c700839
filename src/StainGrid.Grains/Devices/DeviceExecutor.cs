using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Grains;

/// <summary>Owns a device: its threads and its models. Grains await it and never block on torch.</summary>
public sealed class DeviceExecutor : IDeviceExecutor
{
    private const int MaxModels = 2;

    private readonly SemaphoreSlim loading = new(1);
    private readonly LinkedList<LoadedModel> models = [];
    private readonly BlobFiles blobs;
    private readonly Device device;
    private readonly ComputeThreads threads;

    /// <summary>Starts the device's threads.</summary>
    /// <param name="name">"cpu" or "cuda:N".</param>
    /// <param name="blobs">Keeps the model files that are blobs.</param>
    /// <param name="threads">How many (<see cref="DeviceOptions.Threads"/>); 0 for the device's own number.</param>
    /// <exception cref="ArgumentException">There is no such device here.</exception>
    public DeviceExecutor(string name, BlobFiles blobs, int threads = 0)
    {
        Name = name;
        this.blobs = blobs;
        device = Parse(name);
        this.threads = new ComputeThreads(device, device.type == TorchSharp.DeviceType.CPU ? threads : 0);
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
    public async Task<ProbabilityMap> PredictAsync(SlideJob job, Block block, IReadOnlyList<PlaneWindow> planes,
        Action<int, TimeSpan> progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(job);
        var plan = job.Plan();
        var options = new PredictionOptions(job.Labels, Statistics.Layers(job.Statistics), plan.FixedPointBits(job.Planes.Count)) { BatchSize = job.BatchSize };
        using var span = Telemetry.Stage("block.predict");
        var model = await TakeAsync(job, cancellationToken);
        try
        {
            return await model.Predictor.PredictAsync(plan, block, planes, options, Count, cancellationToken);
        }
        finally
        {
            lock (models)
                model.Leave();
        }

        void Count(int tiles, TimeSpan duration)
        {
            var busy = duration / threads.Count;   // batches run side by side
            Telemetry.Batch(Name, tiles, duration, busy);
            if (span is not null)
                Telemetry.Stage("device.batch", span.Id, DateTimeOffset.UtcNow - duration)?.SetTag("staingrid.tiles", tiles).Dispose();
            progress(tiles, busy);
        }
    }

    /// <summary>Finishes what was asked for, then frees the models.</summary>
    public void Dispose()
    {
        threads.Dispose();
        lock (models)
        {
            foreach (var model in models)
                model.Drop();
        }

        loading.Dispose();
    }

    // The model of a job, the least recently used one given up for it where it is not here; whoever takes it leaves it.
    private async Task<LoadedModel> TakeAsync(SlideJob job, CancellationToken cancellationToken)
    {
        await loading.WaitAsync(cancellationToken);
        try
        {
            LoadedModel? model;
            lock (models)
            {
                model = models.FirstOrDefault(model => model.Sha256 == job.ModelSha256 && model.Precision == job.Precision);
                if (model is not null)
                    models.Remove(model);
            }

            model ??= await Task.Run(() => LoadAsync(job, cancellationToken), cancellationToken);
            lock (models)
            {
                while (models.Count >= MaxModels)
                {
                    models.Last!.Value.Drop();
                    models.RemoveLast();
                }

                models.AddFirst(model);
                model.Enter();
            }

            return model;
        }
        finally
        {
            loading.Release();
        }
    }

    private async Task<LoadedModel> LoadAsync(SlideJob job, CancellationToken cancellationToken)
    {
        using var span = Telemetry.Stage("model.load");
        StainModel model;
        using (var file = await blobs.OpenAsync([job.Model], cancellationToken: cancellationToken))
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

    // Freed once it is dropped and nobody is in it.
    private sealed class LoadedModel(StainModel model, Precision precision, TilePredictor predictor)
    {
        private int uses = 1;

        public string Sha256 => model.Sha256;

        public Precision Precision => precision;

        public TilePredictor Predictor => predictor;

        public void Enter() => uses++;

        public void Drop() => Leave();

        public void Leave()
        {
            if (--uses > 0)
                return;
            predictor.Dispose();
            model.Dispose();
        }
    }
}

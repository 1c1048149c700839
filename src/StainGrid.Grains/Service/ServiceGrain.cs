using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Turns what a tenant names into places of the cluster's. Nothing that it holds is durable.</summary>
[Reentrant, RequireSiloMetadata(SiloMetadataKeys.Service, "true")]
public sealed partial class ServiceGrain(ServiceOptions options, ModelFiles models, ILogger<ServiceGrain> logger) : Grain, IServiceGrain
{
    private const int LongestSource = 1200, LongestName = 200, LongestPattern = 1000, MostLabels = 64, MostModels = 1000;
    private static readonly TimeSpan ListAge = TimeSpan.FromSeconds(2);

    // Uploads that plates are being submitted from, with how many: they are in no list yet. And those that are being deleted.
    private readonly Dictionary<string, int> submitting = [];
    private readonly Dictionary<string, Task> dropping = [];
    private readonly ModelRegistry? registry = options.Registry is { } store ? new ModelRegistry(store) : null;
    private Task<IReadOnlyList<ModelSummary>>? listed;
    private long listedAt;

    private string Tenant => this.GetPrimaryKeyString();

    /// <inheritdoc/>
    public async Task SubmitAsync(string plateId, PlateSubmission submission)
    {
        ArgumentNullException.ThrowIfNull(submission);
        if (!ServiceId.IsTenant(Tenant) || !ServiceId.IsValid(plateId))
            throw new PlateException("The plate's id or its tenant's name is not one of this service's.");
        Check(submission);
        if (UploadFolders.IdOf(submission.Source) is not { } upload)
        {
            await SubmitCheckedAsync(plateId, submission);
            return;
        }

        while (dropping.TryGetValue(upload, out var drop))
            await drop;
        submitting[upload] = submitting.GetValueOrDefault(upload) + 1;
        try
        {
            await SubmitCheckedAsync(plateId, submission);
        }
        finally
        {
            if (--submitting[upload] == 0)
                submitting.Remove(upload);
        }
    }

    private async Task SubmitCheckedAsync(string plateId, PlateSubmission submission)
    {
        var (model, modelName) = await FindModelAsync(submission.Model);
        string source = options.Locate(Tenant, submission.Source);
        var running = await GrainFactory.GetGrain<IPlateIndexGrain>(0).CountRunningAsync(ServiceId.Prefix(Tenant));
        var plate = GrainFactory.GetGrain<IPlateGrain>(ServiceId.PlateKey(Tenant, plateId));
        if (running >= options.MostRunning && (await plate.GetStatusAsync()).State == PlateState.New)
            throw new ServiceBusyException($"{running} plates of yours run, which is the most that may. Submit this one again when some have ended.");
        await plate.SubmitAsync(new PlateRequest
        {
            Source = source,
            SourceName = submission.Source,
            Name = submission.Name ?? submission.Source.Split(':', '/')[^1],
            Pattern = submission.Pattern,
            Output = options.OutputOf(Tenant, plateId),
            Weight = submission.Weight,
            ModelName = modelName,
            Settings = new StainSettings
            {
                Model = model,
                Labels = submission.Labels,
                Plane = submission.Plane,
                AllPlanes = submission.AllPlanes,
                Statistics = submission.Statistics,
                Stride = submission.Stride,
                Blend = submission.Blend,
                Precision = submission.Precision,
            },
        });
    }

    /// <inheritdoc/>
    public Task DeleteAsync(string plateId) => ServiceId.IsTenant(Tenant) && ServiceId.IsValid(plateId)
        ? GrainFactory.GetGrain<IPlateGrain>(ServiceId.PlateKey(Tenant, plateId)).DeleteAsync(new PlateDeletion { Result = true, At = options.OutputOf(Tenant, plateId) })
        : Task.CompletedTask;

    /// <inheritdoc/>
    public async Task<bool> DropUploadAsync(string source) => UploadFolders.IdOf(source) is { } id
        && await DropAsync(id, async _ => await LastUseAsync(id) is null);

    /// <inheritdoc/>
    public Task<bool> ExpireUploadAsync(string id, DateTimeOffset since) => DropAsync(id, async root =>
        !(await LastUseAsync(id) >= since)
            && await Task.Run(() => UploadFolders.Written(root, Tenant, id)) < since);

    /// <inheritdoc/>
    public Task<IReadOnlyList<ModelSummary>> ListModelsAsync()
    {
        // Callers that ask again and again do not read a registry each time.
        if (listed is null || listed.IsFaulted || (listed.IsCompleted && TimeProvider.System.GetElapsedTime(listedAt) > ListAge))
            (listed, listedAt) = (ListAsync(), TimeProvider.System.GetTimestamp());
        return listed;
    }

    /// <inheritdoc/>
    public Task<string> GetOutputAsync(string plateId) => Task.FromResult(options.OutputOf(Tenant, plateId));

    private Task<DateTimeOffset?> LastUseAsync(string id) => GrainFactory.GetGrain<IPlateIndexGrain>(0).LastUseAsync(ServiceId.Prefix(Tenant), UploadFolders.Source + id);

    // Submissions from an upload wait while it is asked about and deleted; while there is one, it stays.
    private async Task<bool> DropAsync(string id, Func<string, Task<bool>> isUnused)
    {
        if (options.Uploads is not { } root || !ServiceId.IsValid(id) || !ServiceId.IsTenant(Tenant))
            return false;
        while (dropping.TryGetValue(id, out var other))
            await other;
        if (submitting.ContainsKey(id))
            return false;
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        dropping.Add(id, ended.Task);
        try
        {
            if (!await isUnused(root))
                return false;
            if (await Task.Run(() => UploadFolders.Delete(root, Tenant, id)))
                Telemetry.Deleted("upload");
            return true;
        }
        finally
        {
            dropping.Remove(id);
            ended.SetResult();
        }
    }

    // The address of the model that a submission names, and its name where the address is what that means now.
    private async Task<(string Address, string? Name)> FindModelAsync(string? asked)
    {
        string reference = asked ?? options.Models[0].Key;
        string? given = options.Models.FirstOrDefault(model => model.Key == reference).Value;
        if (given is not null && ModelRegistry.NameOf(given) is null)
            return (given, null);
        try
        {
            // What the operator named is its name there; all other names are the registry's own.
            string name = given is null ? reference : ModelRegistry.NameOf(given)!;
            if (registry is not null)
                return ((await registry.FindAsync(name)).Address, reference);
        }
        catch (Exception e) when (e is ArgumentException or ModelNotFoundException)
        {
            // Said below, without the registry's place.
        }
        catch (BlobStoreException e)
        {
            LogModel(logger, e, reference.Split('@')[0]);
            throw new PlateException("The model cannot be had now: the service's registry fails. Submit again later; the operator's log says more.");
        }

        IEnumerable<string> names;
        try
        {
            names = (await ListModelsAsync()).Select(model => model.Name);
        }
        catch (Exception e) when (e is BlobStoreException or Model.ModelFileException)
        {
            LogModel(logger, e, reference.Split('@')[0]);
            names = options.Models.Select(model => model.Key);
        }

        throw new PlateException($"There is no such model here. There are: {string.Join(", ", names)}{(registry is null ? "" : "; a version of one is NAME@HASH with at least the first 8 digits of its hash")}.");
    }

    private async Task<IReadOnlyList<ModelSummary>> ListAsync()
    {
        var list = new List<ModelSummary>();
        var registered = await RegistryAsync();
        foreach (var (name, address) in options.Models)
        {
            bool isDefault = name == options.Models[0].Key;
            if (ModelRegistry.NameOf(address) is { } named)
            {
                try
                {
                    list.Add(Summary(name, (await registry!.FindAsync(named)).Version) with { IsDefault = isDefault });
                }
                catch (Exception e) when (e is ArgumentException or ModelNotFoundException or BlobStoreException)
                {
                    LogModel(logger, e, name);
                }

                continue;
            }

            var description = await Task.Run(() => models.DescribeAsync(address, CancellationToken.None));
            list.Add(new ModelSummary(name, [.. description.Metadata.Labels.Select(label => label.Name)],
                description.Metadata.Network.Variant.ToString().ToLowerInvariant(), description.Metadata.Licence, description.Sha256, isDefault));
        }

        return [.. list, .. registered.Where(model => list.All(known => known.Name != model.Name))];
    }

    // What the registry's names mean now. A record that is damaged is left out: the other models are as good as before.
    private async Task<IReadOnlyList<ModelSummary>> RegistryAsync()
    {
        var list = new List<ModelSummary>();
        if (registry is null)
            return list;
        try
        {
            await foreach (string name in registry.NamesAsync())
            {
                try
                {
                    if (list.Count < MostModels && await registry.GetAsync(name) is { Current: var model })
                        list.Add(Summary(name, model));
                }
                catch (BlobStoreException e)
                {
                    LogModel(logger, e, name);
                }
            }
        }
        catch (BlobStoreException e)
        {
            LogModel(logger, e, "*");
        }

        return list;
    }

    private static ModelSummary Summary(string name, ModelVersion model) => new(name, model.Labels, model.Variant, model.Licence, model.Sha256, IsDefault: false);

    [LoggerMessage(LogLevel.Warning, "The registry does not give the model {Model}.")]
    private static partial void LogModel(ILogger logger, Exception exception, string model);

    // What the plate itself does not check, or later than its caller should wait for.
    private static void Check(PlateSubmission submission)
    {
        string? problem =
            submission.Source is null or { Length: > LongestSource } ? $"source must have at most {LongestSource} characters"
            : submission.Name is { } name && (name.Length is 0 or > LongestName || name.Any(char.IsControl)) ? $"name must have 1 to {LongestName} plain characters"
            : submission.Model?.Length > LongestName ? $"model must have at most {LongestName} characters"
            : submission.Pattern?.Length > LongestPattern ? $"pattern must have at most {LongestPattern} characters"
            : submission.Labels is null || submission.Labels.Count > MostLabels || submission.Labels.Any(label => label is not { Length: > 0 and <= LongestName }) ? "labels must be names of labels"
            : submission.Statistics is null || submission.Statistics.Count is 0 or > 5 || submission.Statistics.Distinct().Count() != submission.Statistics.Count ? "statistics must be one to five different ones"
            : submission.Stride is < TilingOptions.MinStride or > Tile.Size ? $"stride must be {TilingOptions.MinStride} to {Tile.Size} pixels"
            : submission.Plane < 0 ? "plane is counted from 0"
            : submission.Weight is < 1 or > 100 ? "weight must be 1 to 100"
            : null;
        if (problem is not null)
            throw new PlateException($"The submission is refused: {problem}.");
    }
}

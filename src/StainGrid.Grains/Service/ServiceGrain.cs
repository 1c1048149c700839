using Orleans.Concurrency;
using StainGrid.Contracts;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Turns what a tenant names into places of the cluster's. It holds nothing.</summary>
[Reentrant, RequireSiloMetadata(SiloMetadataKeys.Service, "true")]
public sealed class ServiceGrain(ServiceOptions options, ModelFiles models) : Grain, IServiceGrain
{
    private const int LongestSource = 1200, LongestName = 200, LongestPattern = 1000, MostLabels = 64;

    private string Tenant => this.GetPrimaryKeyString();

    /// <inheritdoc/>
    public async Task SubmitAsync(string plateId, PlateSubmission submission)
    {
        ArgumentNullException.ThrowIfNull(submission);
        if (!ServiceId.IsTenant(Tenant) || !ServiceId.IsValid(plateId))
            throw new PlateException("The plate's id or its tenant's name is not one of this service's.");
        Check(submission);
        var model = submission.Model is null ? options.Models[0] : options.Models.FirstOrDefault(model => model.Key == submission.Model);
        if (model.Key is null)
            throw new PlateException($"There is no model of this name here. There are: {string.Join(", ", options.Models.Select(one => one.Key))}.");
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
            Settings = new StainSettings
            {
                Model = model.Value,
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
    public async Task<bool> DropUploadAsync(string source)
    {
        if (options.Uploads is not { } root || UploadFolders.IdOf(source) is not { } id || !ServiceId.IsTenant(Tenant))
            return false;
        if (await GrainFactory.GetGrain<IPlateIndexGrain>(0).UsesAsync(ServiceId.Prefix(Tenant), UploadFolders.Source + id))
            return false;
        if (await Task.Run(() => UploadFolders.Delete(root, Tenant, id)))
            RetentionMetrics.Deleted("upload");
        return true;
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<ModelSummary>> ListModelsAsync()
    {
        var list = new List<ModelSummary>();
        foreach (var (name, address) in options.Models)
        {
            var description = await Task.Run(() => models.DescribeAsync(address, CancellationToken.None));
            list.Add(new ModelSummary(name, [.. description.Metadata.Labels.Select(label => label.Name)],
                description.Metadata.Network.Variant.ToString().ToLowerInvariant(), description.Metadata.Licence, description.Sha256, list.Count == 0));
        }

        return list;
    }

    /// <inheritdoc/>
    public Task<string> GetOutputAsync(string plateId) => Task.FromResult(options.OutputOf(Tenant, plateId));

    // What the plate itself does not check, or later than its caller should wait for.
    private static void Check(PlateSubmission submission)
    {
        string? problem =
            submission.Source is null or { Length: > LongestSource } ? $"source must have at most {LongestSource} characters"
            : submission.Name is { } name && (name.Length is 0 or > LongestName || name.Any(char.IsControl)) ? $"name must have 1 to {LongestName} plain characters"
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

using Orleans.Concurrency;

namespace StainGrid.Contracts;

/// <summary>One plate on its way from submission to a complete OME-Zarr HCS plate. The key is the plate's id. What it is asked
/// is durable when the call returns; the work goes on by itself, also after losses of silos.</summary>
[Alias("staingrid.plate")]
public interface IPlateGrain : IGrainWithStringKey
{
    /// <summary>Submits the plate and returns; the same request again changes nothing.</summary>
    /// <exception cref="PlateException">The request cannot be done, or the id was used with another request or other images.</exception>
    [Alias("submit"), ResponseTimeout("00:10:00")]
    Task SubmitAsync(PlateRequest request);

    /// <summary>The status, as soon as its version is another than <paramref name="version"/> or after
    /// <paramref name="wait"/>.</summary>
    [Alias("status"), AlwaysInterleave]
    Task<PlateStatus> GetStatusAsync(long version = -1, TimeSpan wait = default);

    /// <summary>The status and the fields that changed since <paramref name="after"/>, as soon as there is a change or after <paramref name="wait"/>.</summary>
    /// <param name="after">The version that the caller has seen; -1 for none.</param>
    /// <param name="wait">How long to wait for a change.</param>
    [Alias("watch"), AlwaysInterleave]
    Task<PlateChange> WatchAsync(long after, TimeSpan wait);

    /// <summary>The files of a field's image and the settings it is stained with; null where there is no such field.</summary>
    /// <param name="path">The field's path in the output, as "B/7/0".</param>
    [Alias("input"), AlwaysInterleave]
    Task<FieldInput?> GetInputAsync(string path);

    /// <summary>The plate's fields, in the order of the plate.</summary>
    [Alias("fields"), AlwaysInterleave]
    Task<IReadOnlyList<FieldStatus>> GetFieldsAsync();

    /// <summary>Stops the plate; fields that are complete stay. Does nothing once the status is final.</summary>
    [Alias("cancel")]
    Task CancelAsync();

    /// <summary>Stains the fields again that failed or were cancelled.</summary>
    /// <param name="generation"><see cref="PlateStatus.Generation"/> as the caller saw it: asked again since an answer was lost, the plate
    /// does not retry twice.</param>
    /// <returns>How many fields.</returns>
    [Alias("retry")]
    Task<int> RetryAsync(int generation);

    /// <summary>Deletes a plate that has ended. That it goes is durable when the call returns: from then on there is no such plate. What there is of it goes by itself, also
    /// after losses of silos. Does nothing where there is none.</summary>
    /// <param name="deletion">What goes besides the plate's record.</param>
    /// <exception cref="PlateException">The plate runs.</exception>
    [Alias("delete")]
    Task DeleteAsync(PlateDeletion deletion);

    /// <summary>From the dispatcher: goes on where the plate's grain was lost.</summary>
    [Alias("wake"), AlwaysInterleave, OneWay]
    Task WakeAsync();
}

/// <summary>All plates that were submitted to the cluster. There is one, of key 0.</summary>
[Alias("staingrid.plate-index")]
public interface IPlateIndexGrain : IGrainWithIntegerKey
{
    /// <summary>Adds a plate or changes its state; durable when the call returns.</summary>
    [Alias("set")]
    Task SetAsync(PlateSummary plate);

    /// <summary>The plates, the newest first.</summary>
    [Alias("list")]
    Task<IReadOnlyList<PlateSummary>> ListAsync();

    /// <summary>A page of the plates that a query is of, the newest first.</summary>
    [Alias("query")]
    Task<IReadOnlyList<PlateSummary>> QueryAsync(PlateQuery query);

    /// <summary>How many plates run whose id starts with a prefix.</summary>
    [Alias("running")]
    Task<int> CountRunningAsync(string prefix);

    /// <summary>When the plates in the list, whose ids start with a prefix and which are made from a source or from what is below it, needed it last, by their ends: the end of time
    /// while one runs, null where there is none.</summary>
    [Alias("last-use")]
    Task<DateTimeOffset?> LastUseAsync(string prefix, string source);

    /// <summary>Takes a plate out of the list that is being deleted; it is woken until it is forgotten. Durable when the call returns.</summary>
    [Alias("delete")]
    Task DeletingAsync(string plateId);

    /// <summary>Forgets a plate whose deletion has ended; durable when the call returns.</summary>
    [Alias("forget")]
    Task ForgetAsync(string plateId);

    /// <summary>Wakes the plates that have not ended, and those that are being deleted: their grains may have been lost.</summary>
    [Alias("wake"), OneWay]
    Task WakeAsync();
}

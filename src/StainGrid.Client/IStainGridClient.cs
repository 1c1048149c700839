using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>
/// A tenant's view of the service, over HTTP from anywhere (<c>HttpStainGridClient</c>) or as an Orleans client inside of the cluster
/// (<see cref="OrleansStainGridClient"/>). Safe for concurrent use. Every method throws <see cref="StainGridException"/>, whose kind says what a caller can do;
/// what a lost connection or silo interrupts is asked again by itself for some time before that.
/// </summary>
public interface IStainGridClient
{
    /// <summary>Submits a plate; what was asked is durable when this returns.</summary>
    /// <param name="submission">What to stain and how.</param>
    /// <param name="idempotencyKey">The same key and submission again is the same plate, 1 to 200 characters; null for a new one.</param>
    /// <param name="cancellationToken">Stops waiting; the plate may be submitted all the same.</param>
    /// <returns>The plate's status; its id is what the other methods take.</returns>
    Task<PlateStatus> SubmitAsync(PlateSubmission submission, string? idempotencyKey = null, CancellationToken cancellationToken = default);

    /// <summary>A plate's status now.</summary>
    Task<PlateStatus> GetAsync(string plateId, CancellationToken cancellationToken = default);

    /// <summary>A plate's fields, in the order of the plate.</summary>
    Task<IReadOnlyList<FieldStatus>> GetFieldsAsync(string plateId, CancellationToken cancellationToken = default);

    /// <summary>A plate's changes: first all of it, then what changes, at last the change to its final state. No change of a field to a final state is left out,
    /// though connections drop and silos are lost meanwhile.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="after">The version of the last change that was seen, to go on after it; -1 for none.</param>
    /// <param name="cancellationToken">Stops watching; the plate goes on.</param>
    IAsyncEnumerable<PlateChange> WatchAsync(string plateId, long after = -1, CancellationToken cancellationToken = default);

    /// <summary>Stops a plate; fields that are complete stay. Does nothing once it has ended.</summary>
    /// <returns>The plate's status after it.</returns>
    Task<PlateStatus> CancelAsync(string plateId, CancellationToken cancellationToken = default);

    /// <summary>Stains a plate's failed and cancelled fields again.</summary>
    /// <returns>How many fields.</returns>
    Task<int> RetryAsync(string plateId, CancellationToken cancellationToken = default);

    /// <summary>Deletes a plate that has ended, its result, and what was uploaded for it where no other plate is made from that. There is no such plate any more when this
    /// returns; what there is of it goes by itself soon.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="cancellationToken">Stops waiting; the plate may be deleted all the same.</param>
    /// <exception cref="StainGridException">The plate runs (<see cref="StainGridError.Conflict"/>: cancel it first), or there is none.</exception>
    Task DeleteAsync(string plateId, CancellationToken cancellationToken = default);

    /// <summary>A page of the tenant's plates, the newest first.</summary>
    /// <param name="query">Which; its prefix is not looked at. Null for the first hundred.</param>
    /// <param name="cancellationToken">Stops the asking.</param>
    Task<IReadOnlyList<PlateSummary>> ListAsync(PlateQuery? query = null, CancellationToken cancellationToken = default);

    /// <summary>The models that the service has.</summary>
    Task<IReadOnlyList<ModelSummary>> ListModelsAsync(CancellationToken cancellationToken = default);

    /// <summary>A file of a plate's result, such as "staingrid-fields.csv" or "B/7/0/.zattrs", from its start. The caller disposes of it.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="key">The file's place in the OME-Zarr tree.</param>
    /// <param name="cancellationToken">Stops the opening.</param>
    Task<Stream> OpenAsync(string plateId, string key, CancellationToken cancellationToken = default);

    /// <summary>A label of a field's result as an array.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="fieldPath">The field's <see cref="FieldStatus.Path"/>, as "B/7/0".</param>
    /// <param name="channel">The channel's name, as "DAPI_CONFOCAL".</param>
    /// <param name="level">The level of the pyramid: 0 for the full size, each next one half of it.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    Task<LabelImage> ReadAsync(string plateId, string fieldPath, string channel, int level = 0, CancellationToken cancellationToken = default);
}

/// <summary>A label's image.</summary>
/// <param name="Width">Pixels in a row.</param>
/// <param name="Height">Rows.</param>
/// <param name="Pixels">[Height x Width], row by row, in the label's 16-bit range.</param>
public sealed record LabelImage(int Width, int Height, ReadOnlyMemory<ushort> Pixels);

namespace StainGrid.Contracts;

/// <summary>What the service does for a tenant: turns the names that its callers use into places of the cluster's, so that none of them names a place itself. The key is the
/// tenant's name.</summary>
[Alias("staingrid.service")]
public interface IServiceGrain : IGrainWithStringKey
{
    /// <summary>Submits a plate; what was asked is durable when this returns. The same id and submission again is the same plate.</summary>
    /// <param name="plateId">The plate's id, of the tenant's own: see <see cref="ServiceId"/>.</param>
    /// <param name="submission">What to stain and how.</param>
    /// <exception cref="PlateException">The submission cannot be done, or the id was used with another.</exception>
    [Alias("submit"), ResponseTimeout("00:10:00")]
    Task SubmitAsync(string plateId, PlateSubmission submission);

    /// <summary>Deletes a plate that has ended, its result, and what was uploaded for it where no other plate is made from that. Does nothing where there is no such plate.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <exception cref="PlateException">The plate runs.</exception>
    [Alias("delete")]
    Task DeleteAsync(string plateId);

    /// <summary>Deletes what was uploaded, unless a plate is made from it or is being submitted.</summary>
    /// <param name="source">A plate's source; nothing happens where it is no upload.</param>
    /// <returns>Whether it is gone.</returns>
    [Alias("drop-upload"), ResponseTimeout("00:10:00")]
    Task<bool> DropUploadAsync(string source);

    /// <summary>Deletes what was uploaded, unless it was used since a time: by a file that came, or by a plate that ended then, runs or is being submitted.</summary>
    /// <param name="id">The upload's id.</param>
    /// <param name="since">The time.</param>
    /// <returns>Whether it is gone.</returns>
    [Alias("expire-upload"), ResponseTimeout("00:10:00")]
    Task<bool> ExpireUploadAsync(string id, DateTimeOffset since);

    /// <summary>The models that the service has.</summary>
    [Alias("models")]
    Task<IReadOnlyList<ModelSummary>> ListModelsAsync();

    /// <summary>The address of the store whose root is a plate's result, as the silos see it.</summary>
    [Alias("output")]
    Task<string> GetOutputAsync(string plateId);
}

/// <summary>The ids of what a tenant has.</summary>
public static class ServiceId
{
    /// <summary>The length of an id.</summary>
    public const int Length = 32;

    /// <summary>A new id: 128 random bits.</summary>
    public static string New() => Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(Length / 2));

    /// <summary>The id that an idempotency key of a tenant's stands for, always the same.</summary>
    public static string Of(string tenant, string key) =>
        Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes($"{tenant}/{key}")))[..Length];

    /// <summary>Whether this can be an id of the service's.</summary>
    public static bool IsValid(string? id) => id is { Length: Length } && id.All(char.IsAsciiHexDigitLower);

    /// <summary>The key of a tenant's plate among all plates of the cluster. A tenant cannot name another's.</summary>
    public static string PlateKey(string tenant, string plateId) => Prefix(tenant) + plateId;

    /// <summary>What the keys of a tenant's plates start with.</summary>
    public static string Prefix(string tenant) => tenant + "~";

    /// <summary>Whether this can be a tenant's name: 1 to 32 lower-case letters, digits and '-'.</summary>
    public static bool IsTenant(string? name) => name is { Length: >= 1 and <= 32 } && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-');
}

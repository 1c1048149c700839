using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>What a caller may do. Each has what those before it have.</summary>
public enum ServiceRole
{
    /// <summary>See the tenant's plates and results.</summary>
    Read,

    /// <summary>Upload, submit, cancel, retry and delete.</summary>
    Submit,

    /// <summary>See the audit log and the Orleans dashboard.</summary>
    Operate,
}

/// <summary>An API key as it is stored: without its secret, of which only a hash is kept.</summary>
/// <param name="Id">Its id, which may be seen by everybody.</param>
/// <param name="Name">Who or what it is for.</param>
/// <param name="Tenant">Whose plates it sees.</param>
/// <param name="Role">What it may do.</param>
/// <param name="Hash">SHA-256 of the secret, which has 256 random bits, lower-case hexadecimal.</param>
/// <param name="Created">When it was made.</param>
/// <param name="Expires">When it ends.</param>
/// <param name="Revoked">When it was revoked; null where it was not.</param>
public sealed record ApiKey(
    string Id, string Name, string Tenant, ServiceRole Role, string Hash, DateTimeOffset Created, DateTimeOffset Expires, DateTimeOffset? Revoked = null)
{
    /// <summary>Whether it lets anybody in.</summary>
    public bool IsValid(DateTimeOffset now) => Revoked is null && now < Expires;
}

/// <summary>The API keys of a service, in a blob store that its silos share. A key is "sgk_ID_SECRET".</summary>
/// <param name="store">The store, for keys alone.</param>
/// <param name="time">The clock; the system's where null.</param>
public sealed class ApiKeys(IBlobStore store, TimeProvider? time = null)
{
    /// <summary>What every key starts with.</summary>
    public const string Prefix = "sgk_";

    /// <summary>How long a silo may go on to let in a key that was revoked.</summary>
    public static readonly TimeSpan Delay = TimeSpan.FromSeconds(5);

    private const int LongestName = 100, MostRemembered = 10_000;

    private readonly TimeProvider time = time ?? TimeProvider.System;
    private readonly ConcurrentDictionary<string, (ApiKey? Key, long Read)> known = new();

    /// <summary>The keys of a service.</summary>
    /// <param name="state">The store of its state.</param>
    public static ApiKeys Of(IBlobStore state) => new(state.Within("service/keys"));

    /// <summary>Makes a key.</summary>
    /// <param name="name">Who or what it is for, 1 to 100 characters.</param>
    /// <param name="tenant">Whose plates it sees.</param>
    /// <param name="role">What it may do.</param>
    /// <param name="lifetime">How long it lasts, up to ten years.</param>
    /// <param name="cancellationToken">Stops the writing.</param>
    /// <returns>The key as it is stored, and what its owner keeps: it is not stored and cannot be shown again.</returns>
    /// <exception cref="ArgumentException">A value is not valid.</exception>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<(ApiKey Key, string Secret)> CreateAsync(string name, string tenant, ServiceRole role, TimeSpan lifetime, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Length is 0 or > LongestName || name.Any(char.IsControl))
            throw new ArgumentException($"A key's name has 1 to {LongestName} plain characters.", nameof(name));
        if (!ServiceId.IsTenant(tenant))
            throw new ArgumentException("A tenant's name has 1 to 32 lower-case letters, digits and '-'.", nameof(tenant));
        if (lifetime <= TimeSpan.Zero || lifetime > TimeSpan.FromDays(3660))
            throw new ArgumentException("A key lasts up to ten years.", nameof(lifetime));
        string id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(6)), secret = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        var now = time.GetUtcNow();
        var key = new ApiKey(id, name, tenant, role, HashOf(secret), now, now + lifetime);
        await store.WriteIfAsync(Place(id), JsonSerializer.SerializeToUtf8Bytes(key, StainGridJson.Options), null, cancellationToken);
        return (key, $"{Prefix}{id}_{secret}");
    }

    /// <summary>The keys, the oldest first.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<IReadOnlyList<ApiKey>> ListAsync(CancellationToken cancellationToken = default)
    {
        var keys = new List<ApiKey>();
        await foreach (string place in store.ListAsync("", cancellationToken))
        {
            if ((await ReadAsync(place, cancellationToken)).Key is { } key)
                keys.Add(key);
        }

        return [.. keys.OrderBy(key => key.Created)];
    }

    /// <summary>Revokes a key: within <see cref="Delay"/> no silo lets it in.</summary>
    /// <returns>Whether there is such a key.</returns>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<bool> RevokeAsync(string id, CancellationToken cancellationToken = default)
    {
        if (!IsId(id) || await ReadAsync(Place(id), cancellationToken) is not ({ } key, { } etag))
            return false;
        if (key.Revoked is null)
            await store.WriteIfAsync(Place(id), JsonSerializer.SerializeToUtf8Bytes(key with { Revoked = time.GetUtcNow() }, StainGridJson.Options), etag, cancellationToken);
        known.TryRemove(id, out _);
        return true;
    }

    /// <summary>The key that a caller shows, or null where it is not one, or not valid any more.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<ApiKey?> FindAsync(string shown, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(shown);
        string[] parts = shown.Split('_');
        if (shown.Length > 200 || parts.Length != 3 || !shown.StartsWith(Prefix, StringComparison.Ordinal) || !IsId(parts[1]))
            return null;
        var key = await GetAsync(parts[1], cancellationToken);
        return key is not null && CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(HashOf(parts[2])), Encoding.ASCII.GetBytes(key.Hash)) ? key : null;
    }

    /// <summary>The key of an id where it is valid, else null.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<ApiKey?> GetAsync(string id, CancellationToken cancellationToken = default)
    {
        if (!IsId(id))
            return null;
        if (!known.TryGetValue(id, out var entry) || time.GetElapsedTime(entry.Read) > Delay)
        {
            long now = time.GetTimestamp();
            entry = ((await ReadAsync(Place(id), cancellationToken)).Key, now);
            if (entry.Key is null)
                return null;   // made up: not remembered, or it would push out those that are not
            if (known.Count >= MostRemembered)
                known.Clear();
            known[id] = entry;
        }

        return entry.Key is { } key && key.IsValid(time.GetUtcNow()) ? key : null;
    }

    private async Task<(ApiKey? Key, string? ETag)> ReadAsync(string place, CancellationToken cancellationToken)
    {
        if (await store.ReadBlobAsync(place, 1 << 16, cancellationToken) is not { } blob)
            return (null, null);
        try
        {
            return (JsonSerializer.Deserialize<ApiKey>(blob.Data.Span, StainGridJson.Options), blob.ETag);
        }
        catch (JsonException)
        {
            return (null, null);   // not ours: it lets nobody in
        }
    }

    private static bool IsId(string id) => id.Length == 12 && id.All(char.IsAsciiHexDigitLower);

    private static string Place(string id) => string.Create(CultureInfo.InvariantCulture, $"{id}.json");

    private static string HashOf(string secret) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
}

using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime.Hosting;
using Orleans.Storage;
using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>Grain state in a blob store, each write fenced by the version (ETag) that its activation read.</summary>
/// <remarks>
/// The store is what the container <c>grainstate</c> is to Microsoft.Orleans.Persistence.AzureStorage, and blobs are named
/// as by it, <c>{stateName}-{grainType}/{grainKey}.json</c>: over <c>azure://grainstate</c> that provider finds the same
/// blobs. Names that a store refuses are escaped (<see cref="KeyOf"/>); grains that shall move need keys without such
/// characters. The content is plain JSON of the state record, enumerations by name and no type names, so that renaming
/// or moving a class does not endanger stored state; members that are absent get their defaults, unknown ones are passed over.
/// </remarks>
/// <param name="store">The store, for grain state alone.</param>
public sealed class BlobGrainStorage(IBlobStore store) : IGrainStorage
{
    private const long MaxBytes = 64 << 20;
    private static readonly JsonSerializerOptions Json = new() { Converters = { new JsonStringEnumConverter() } };
    private static readonly string[] ReservedEnds = [".json", ".partial"];

    /// <summary>The blob of a grain's state. '%', colons, backslashes and what else a key may not have become %XX (UTF-8) and
    /// an empty part becomes a lone '%', so that different grains have different blobs and <see cref="Unescape"/> leads back.</summary>
    /// <param name="stateName">The state's name.</param>
    /// <param name="grainId">The grain.</param>
    public static string KeyOf(string stateName, GrainId grainId) =>
        string.Join('/', $"{stateName}-{grainId}".Split('/').Select(Escape)) + ".json";

    /// <summary>What <see cref="KeyOf"/> made a key of: "{stateName}-{grainType}/{grainKey}".</summary>
    /// <param name="key">A blob's key.</param>
    public static string Unescape(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        return string.Join('/', key[..^".json".Length].Split('/').Select(part => part == "%" ? "" : Uri.UnescapeDataString(part)));
    }

    /// <inheritdoc/>
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        string key = KeyOf(stateName, grainId);
        var blob = await store.ReadBlobAsync(key, MaxBytes);
        try
        {
            grainState.State = (blob is null ? default : JsonSerializer.Deserialize<T>(blob.Data.Span, Json)) ?? Activator.CreateInstance<T>();
        }
        catch (JsonException e)
        {
            throw new BlobStoreException($"{store.Name}: {key} is not a state of {typeof(T).Name}: {e.Message} Restore it, or delete it to begin anew.", e);
        }

        grainState.ETag = blob?.ETag;
        grainState.RecordExists = blob is not null;
    }

    /// <inheritdoc/>
    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        byte[] data = JsonSerializer.SerializeToUtf8Bytes(grainState.State, Json);
        if (data.Length > MaxBytes)
            throw new BlobStoreException($"The state {stateName} of {grainId} has {data.Length:N0} bytes, more than the {MaxBytes:N0} that can be read again. It is not written.");
        try
        {
            grainState.ETag = await store.WriteIfAsync(KeyOf(stateName, grainId), data, grainState.ETag);
            grainState.RecordExists = true;
        }
        catch (BlobConflictException e)
        {
            throw new InconsistentStateException(e.Message, "unknown", grainState.ETag ?? "none", e);
        }
    }

    /// <inheritdoc/>
    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        string key = KeyOf(stateName, grainId);
        try
        {
            if (grainState.ETag is not null)
                await store.DeleteAsync(key, grainState.ETag);
            else if (await store.ExistsAsync(key))
                throw new InconsistentStateException($"{store.Name}: {key} was written by another since it was read.", "unknown", "none");
        }
        catch (BlobConflictException e)
        {
            throw new InconsistentStateException(e.Message, "unknown", grainState.ETag ?? "none", e);
        }

        grainState.State = Activator.CreateInstance<T>();
        grainState.ETag = null;
        grainState.RecordExists = false;
    }

    // A folder cannot hold a file and a folder of one name, so parts that end as files do are escaped too; the last part
    // gets its ".json" afterwards.
    private static string Escape(string part)
    {
        if (part.Length == 0)
            return "%";
        int end = Array.Find(ReservedEnds, name => part.EndsWith(name, StringComparison.Ordinal)) is { } reserved ? part.Length - reserved.Length : -1;
        var escaped = new StringBuilder();
        int at = 0;
        foreach (var rune in part.EnumerateRunes())
        {
            if (rune.Value is '%' or ':' or '\\' || !rune.IsBmp || Rune.IsControl(rune) || (rune.Value == '.' && (at == 0 || at == end)))
            {
                foreach (byte value in Encoding.UTF8.GetBytes(rune.ToString()))
                    escaped.Append('%').Append(value.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
            }
            else
            {
                escaped.Append(rune);
            }

            at += rune.Utf16SequenceLength;
        }

        return escaped.ToString();
    }
}

/// <summary>Adds <see cref="BlobGrainStorage"/> to a silo.</summary>
public static class BlobGrainStorageExtensions
{
    /// <summary>The key of the state's store among the silo's services.</summary>
    public const string StateStore = "state";

    /// <summary>Keeps grain state in a blob store, where a grain does not name another storage.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="store">The store, for grain state alone.</param>
    public static ISiloBuilder AddBlobGrainStorageAsDefault(this ISiloBuilder silo, IBlobStore store)
    {
        ArgumentNullException.ThrowIfNull(silo);
        silo.Services.AddKeyedSingleton(StateStore, store);
        silo.Services.AddGrainStorage(Orleans.Providers.ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME, (_, _) => new BlobGrainStorage(store));
        return silo;
    }
}

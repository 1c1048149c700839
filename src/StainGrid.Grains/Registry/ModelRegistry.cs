using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.RegularExpressions;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Grains;

/// <summary>Models in a blob store: each file once, by its content's hash, and names that mean one of them.</summary>
/// <remarks>
/// <c>models/sha256/HASH.safetensors</c> is written once and never again, so whoever has its address has the same model for ever.
/// <c>models/names/NAME.json</c> is a <see cref="ModelRecord"/>, written only as the version (ETag) that was read.
/// </remarks>
/// <param name="address">The store: a folder that all silos see, azure://CONTAINER/PREFIX or https://..</param>
/// <param name="opened">The same store, where it is open already.</param>
public sealed partial class ModelRegistry(string address, IBlobStore? opened = null)
{
    /// <summary>What stands before a model's name where a file could be meant too.</summary>
    public const string Scheme = "model:";

    /// <summary>The shortest start of a hash that may stand for it.</summary>
    public const int ShortestHash = 8;

    private const string NamesFolder = "models/names/", FilesFolder = "models/sha256/", NameEnd = ".json", FileEnd = ".safetensors";
    private const int Part = 4 << 20, MostRecordBytes = 1 << 20, Tries = 20;

    private static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,   // people read it
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    private readonly IBlobStore store = opened ?? BlobStores.Open(address);

    /// <summary>The registry's place, for people.</summary>
    public string Place => store.Name;

    /// <summary>Whether this can be a model's name: 1 to 64 lower-case letters, digits, '.', '_' and '-', the first a letter or digit.</summary>
    public static bool IsName(string? name) => name is not null && Name().IsMatch(name);

    /// <summary>NAME or NAME@HASH of "model:NAME.."; null for a file.</summary>
    public static string? NameOf(string model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.StartsWith(Scheme, StringComparison.Ordinal) ? model[Scheme.Length..] : null;
    }

    /// <summary>The hash in the address of a registry's file; null for any other address. Such a file must have the hash.</summary>
    public static string? HashOf(string address)
    {
        ArgumentNullException.ThrowIfNull(address);
        return File().Match(BlobAddress.Show(address)) is { Success: true } found ? found.Groups[1].Value : null;
    }

    /// <summary>Puts a model's file into the registry, as a version of a name. The first version of a name is pinned, and the pin stays when others follow. The same
    /// file again changes nothing.</summary>
    /// <param name="path">The file.</param>
    /// <param name="name">The model's name.</param>
    /// <param name="by">Who pushes it.</param>
    /// <param name="cancellationToken">Stops it; what is there then does no harm.</param>
    /// <exception cref="ArgumentException">The name cannot be one.</exception>
    /// <exception cref="ModelFileException">The file is no model.</exception>
    /// <exception cref="BlobStoreException">The store fails, or its record of the name is damaged.</exception>
    public async Task<PushedModel> PushAsync(string path, string name, string by, CancellationToken cancellationToken = default)
    {
        CheckName(name);
        var version = await Task.Run(() => Describe(path, by), cancellationToken);
        string key = KeyOf(version.Sha256);
        bool copied = await store.CreateAsync(key, PartsAsync(path, version, cancellationToken), cancellationToken);
        bool isNew = false;
        var record = await ChangeAsync(name, record =>
        {
            isNew = record?.Versions.Any(known => known.Sha256 == version.Sha256) != true;
            return record is null
                ? new ModelRecord { Pinned = version.Sha256, Versions = [version], Pins = [new(version.Sha256, version.Pushed, by)] }
                : isNew ? record with { Versions = [.. record.Versions, version] } : record;
        }, cancellationToken);
        return new PushedModel(name, version, record.Pinned == version.Sha256, isNew, copied);
    }

    /// <summary>Makes a name mean another of its versions.</summary>
    /// <param name="name">The model's name.</param>
    /// <param name="hash">The version's hash, or a start of it.</param>
    /// <param name="by">Who pins it.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <returns>The version, and the hash of the one that the name meant before.</returns>
    /// <exception cref="ArgumentException">The name or the hash cannot be one.</exception>
    /// <exception cref="ModelNotFoundException">There is no such name, or no such version of it, or several.</exception>
    /// <exception cref="BlobStoreException">The store fails, or its record of the name is damaged.</exception>
    public async Task<(ModelVersion Version, string Before)> PinAsync(string name, string hash, string by, CancellationToken cancellationToken = default)
    {
        CheckName(name);
        ModelVersion? version = null;
        string before = "";
        await ChangeAsync(name, record =>
        {
            version = Find(name, record, hash);
            before = record!.Pinned;
            return before == version.Sha256 ? record : record with { Pinned = version.Sha256, Pins = [.. record.Pins, new(version.Sha256, DateTimeOffset.UtcNow, by)] };
        }, cancellationToken);
        return (version!, before);
    }

    /// <summary>The version that a name means now, or another of its versions.</summary>
    /// <param name="reference">NAME, or NAME@HASH with the hash of a version or a start of it.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="ArgumentException">The name or the hash cannot be one.</exception>
    /// <exception cref="ModelNotFoundException">There is no such name, or no such version of it, or several.</exception>
    /// <exception cref="BlobStoreException">The store fails, or its record of the name is damaged.</exception>
    public async Task<RegisteredModel> FindAsync(string reference, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(reference);
        string[] parts = reference.Split('@', 2);
        CheckName(parts[0]);
        var record = (await ReadAsync(parts[0], cancellationToken)).Record;
        var version = Find(parts[0], record, parts.ElementAtOrDefault(1));
        return new RegisteredModel(parts[0], version, BlobAddress.Append(address, KeyOf(version.Sha256)));
    }

    /// <summary>The names in their order.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async IAsyncEnumerable<string> NamesAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (string key in store.ListAsync(NamesFolder, cancellationToken))
        {
            if (key.EndsWith(NameEnd, StringComparison.Ordinal) && key[NamesFolder.Length..^NameEnd.Length] is var name && IsName(name))
                yield return name;
        }
    }

    /// <summary>What is kept of a name; null where there is none.</summary>
    /// <exception cref="ArgumentException">The name cannot be one.</exception>
    /// <exception cref="BlobStoreException">The store fails, or its record of the name is damaged.</exception>
    public async Task<ModelRecord?> GetAsync(string name, CancellationToken cancellationToken = default)
    {
        CheckName(name);
        return (await ReadAsync(name, cancellationToken)).Record;
    }

    private static string KeyOf(string hash) => FilesFolder + hash + FileEnd;

    private static string KeyOfName(string name) => NamesFolder + name + NameEnd;

    private static void CheckName(string name)
    {
        if (!IsName(name))
            throw new ArgumentException($"'{Plain(name)}' is no name of a model: it has 1 to 64 lower-case letters, digits, '.', '_' and '-', the first a letter or digit.");
    }

    // What was given, for an error of one line.
    private static string Plain(string text) => new([.. (text.Length > 80 ? text[..80] + ".." : text).Where(c => !char.IsControl(c))]);

    private ModelVersion Find(string name, ModelRecord? record, string? hash)
    {
        if (record is null)
            throw new ModelNotFoundException($"There is no model '{name}' in {Place}. 'staingrid model list' says which there are.");
        if (hash is null)
            return record.Current;
        hash = hash.ToLowerInvariant();
        if (hash.Length is < ShortestHash or > 64 || !hash.All(char.IsAsciiHexDigitLower))
            throw new ArgumentException($"'{Plain(hash)}' is no hash of a model: give at least the first {ShortestHash} of its 64 hexadecimal digits.");
        var found = record.Versions.Where(version => version.Sha256.StartsWith(hash, StringComparison.Ordinal)).ToArray();
        return found.Length switch
        {
            1 => found[0],
            0 => throw new ModelNotFoundException($"The model '{name}' has no version {hash}. 'staingrid model list {name}' says which it has."),
            _ => throw new ModelNotFoundException($"The model '{name}' has {found.Length} versions that start with {hash}. Give more digits."),
        };
    }

    private static ModelVersion Describe(string path, string by)
    {
        if (BlobAddress.IsBlob(path))
            throw new ArgumentException($"{BlobAddress.Show(path)} is in a store. Give a file of this machine's.");
        using var model = StainModel.Load(path);
        return new ModelVersion(
            model.Sha256, new FileInfo(path).Length, [.. model.Metadata.Labels.Select(label => label.Name)],
            model.Metadata.Network.Variant.ToString().ToLowerInvariant(), model.Metadata.Licence, DateTimeOffset.UtcNow, by);
    }

    // The file in parts; an error in place of the last one where it is another than was checked.
    internal static async IAsyncEnumerable<ReadOnlyMemory<byte>> PartsAsync(string path, ModelVersion version, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] part = new byte[Part];
        long left = version.Bytes;
        FileStream file;
        try
        {
            file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, useAsync: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Changed(path, e);
        }

        await using (file)
        {
            while (left > 0)
            {
                var next = part.AsMemory(0, (int)Math.Min(left, part.Length));
                try
                {
                    await file.ReadExactlyAsync(next, cancellationToken);
                }
                catch (IOException e)
                {
                    throw Changed(path, e);
                }

                hash.AppendData(next.Span);
                left -= next.Length;
                if (left == 0 && Convert.ToHexStringLower(hash.GetHashAndReset()) != version.Sha256)
                    throw Changed(path);
                yield return next;
            }
        }

        static ModelFileException Changed(string path, Exception? cause = null) => new(path, "the file changed while it was pushed. Push it again.", cause);
    }

    private async Task<ModelRecord> ChangeAsync(string name, Func<ModelRecord?, ModelRecord> change, CancellationToken cancellationToken)
    {
        for (int tried = 1; ; tried++)
        {
            var (record, etag) = await ReadAsync(name, cancellationToken);
            var next = change(record);
            if (next == record)
                return next;
            byte[] data = JsonSerializer.SerializeToUtf8Bytes(next, Json);
            if (data.Length > MostRecordBytes)
                throw new BlobStoreException($"{Place}: {KeyOfName(name)} would have {data.Length:N0} bytes, more than the {MostRecordBytes:N0} that are read. Push under another name.");
            try
            {
                await store.WriteIfAsync(KeyOfName(name), data, etag, cancellationToken);
                return next;
            }
            catch (BlobConflictException) when (tried < Tries)
            {
                // Another one wrote first: what it wrote is kept.
                await Task.Delay(Random.Shared.Next(10, 100), cancellationToken);
            }
        }
    }

    private async Task<(ModelRecord? Record, string? ETag)> ReadAsync(string name, CancellationToken cancellationToken)
    {
        string key = KeyOfName(name);
        if (await store.ReadBlobAsync(key, MostRecordBytes, cancellationToken) is not { } blob)
            return (null, null);
        try
        {
            var record = JsonSerializer.Deserialize<ModelRecord>(blob.Data.Span, Json) ?? throw new JsonException("It is null.");
            return record.Versions.All(version => version is not null && Hash().IsMatch(version.Sha256)) && record.Versions.Any(version => version.Sha256 == record.Pinned)
                ? (record, blob.ETag)
                : throw new JsonException("A hash is none, or the pinned version is not among the versions.");
        }
        catch (JsonException e)
        {
            throw new BlobStoreException($"{Place}: {key} is damaged: {e.Message} Restore it, or delete it and push the model again: the files are still there.", e);
        }
    }

    [GeneratedRegex(@"^[a-z0-9][a-z0-9._-]{0,63}\z")]
    private static partial Regex Name();

    [GeneratedRegex(@"^[0-9a-f]{64}\z")]
    private static partial Regex Hash();

    [GeneratedRegex(@"(?:^|/)models/sha256/([0-9a-f]{64})\.safetensors\z")]
    private static partial Regex File();
}

/// <summary>What a push did.</summary>
/// <param name="Name">The model's name.</param>
/// <param name="Version">The version, as it was described.</param>
/// <param name="IsPinned">Whether the name means it.</param>
/// <param name="IsNew">Whether the name did not have it before.</param>
/// <param name="IsCopied">Whether its file was not there before.</param>
public sealed record PushedModel(string Name, ModelVersion Version, bool IsPinned, bool IsNew, bool IsCopied);

/// <summary>A registry has no such model. The message is one line that says what to do.</summary>
public sealed class ModelNotFoundException : Exception
{
    /// <summary>An exception without a message.</summary>
    public ModelNotFoundException()
    {
    }

    /// <summary>An exception with its one line.</summary>
    public ModelNotFoundException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with its one line and its cause.</summary>
    public ModelNotFoundException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Grains;

/// <summary>What the models of a silo say of themselves, so that the fields of a plate do not load theirs again. The weights are
/// the devices' matter.</summary>
public sealed class ModelFiles(BlobFiles blobs)
{
    private const int Most = 64;

    private readonly Lock gate = new();
    private readonly Dictionary<(string Path, long Length, DateTime Written), Lazy<ModelDescription>> known = [];

    /// <summary>A model's description. Loads the model where its file is another than the last time.</summary>
    /// <param name="address">A path, or an address as <see cref="BlobAddress"/> says.</param>
    /// <param name="cancellationToken">Stops the download.</param>
    /// <exception cref="ModelFileException">The model is refused.</exception>
    /// <exception cref="BlobStoreException">Its blob cannot be had.</exception>
    public async Task<ModelDescription> DescribeAsync(string address, CancellationToken cancellationToken)
    {
        using var file = await blobs.OpenAsync([address], cancellationToken: cancellationToken);
        string path = file.Paths[0];
        var info = new FileInfo(path);
        if (!info.Exists)
            return Load(path, address);   // which says what is wrong
        var key = (info.FullName, info.Length, info.LastWriteTimeUtc);
        Lazy<ModelDescription>? description;
        lock (gate)
        {
            if (!known.TryGetValue(key, out description))
            {
                if (known.Count >= Most)
                    known.Clear();
                known.Add(key, description = new(() => Load(path, address)));
            }
        }

        try
        {
            return description.Value;
        }
        catch
        {
            // Tried afresh the next time.
            lock (gate)
                known.Remove(key);
            throw;
        }
    }

    private static ModelDescription Load(string path, string address)
    {
        using var model = StainModel.Load(path, name: BlobAddress.Show(address));
        if (ModelRegistry.HashOf(address) is { } hash && hash != model.Sha256)
            throw new ModelFileException(BlobAddress.Show(address), $"the registry's file is damaged: its hash is {model.Sha256}. Delete it, and push the model again.");
        return new ModelDescription(model.Metadata, model.Sha256);
    }
}

/// <summary>A model without its weights.</summary>
/// <param name="Metadata">What its file says.</param>
/// <param name="Sha256">SHA-256 of the file, lower-case hexadecimal.</param>
public sealed record ModelDescription(ModelMetadata Metadata, string Sha256);

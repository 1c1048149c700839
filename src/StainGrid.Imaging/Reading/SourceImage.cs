using StainGrid.Imaging.Reading;
using StainGrid.Tiling;

namespace StainGrid.Imaging;

/// <summary>An open image with its local copies, where it came from blobs.</summary>
public sealed class SourceImage : IPlaneImage
{
    private readonly IPlaneImage _image;
    private readonly IReadOnlyList<ImageSource> _sources;
    private readonly BlobLease _lease;

    internal SourceImage(IPlaneImage image, IReadOnlyList<ImageSource> sources, IReadOnlyList<string> versions, BlobLease lease)
    {
        _image = image;
        _sources = sources;
        _lease = lease;
        Versions = versions;
    }

    /// <inheritdoc/>
    public ImageInfo Info => _image.Info;

    /// <summary>For each of the addresses its blob's version; empty for a local file, and for OME-Zarr, whose chunks are blobs of
    /// their own.</summary>
    public IReadOnlyList<string> Versions { get; }

    /// <inheritdoc/>
    public void Read(int plane, Region region, Span<float> destination) => _image.Read(plane, region, destination);

    /// <summary>What <see cref="ImageHash.ComputeAsync(IReadOnlyList{string}, CancellationToken)"/> gives for the same image in local
    /// files; of the bytes that this image is read from.</summary>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="ImageException">A file cannot be read.</exception>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public Task<string> HashAsync(CancellationToken cancellationToken = default) => ImageHash.ComputeAsync(_sources, cancellationToken);

    /// <summary>Closes the image and lets go of the copies.</summary>
    public void Dispose()
    {
        _image.Dispose();
        _lease.Dispose();
    }
}

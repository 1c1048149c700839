namespace StainGrid.Imaging.Reading;

/// <summary>What an address of an image leads to: a file, or the folder of an OME-Zarr image.</summary>
/// <param name="Shown">The address for people.</param>
/// <param name="File">The local file; empty for a folder.</param>
/// <param name="Folder">The OME-Zarr image; null for a file.</param>
/// <param name="Channel">Which of the OME-Zarr image's channels; null for the first.</param>
internal sealed record ImageSource(string Shown, string File, SourceFolder? Folder, string? Channel)
{
    public static ImageSource OfPath(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var (folder, channel) = ImagePath.Split(path);
        return Directory.Exists(folder) ? new ImageSource(path, "", new DiskFolder(folder), channel) : new ImageSource(path, path, null, null);
    }

    /// <summary>As <see cref="OfPath"/>, also of blobs; a blob's file is still to be fetched.</summary>
    public static async Task<ImageSource> FindAsync(string address, BlobFiles blobs, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(address);
        if (!BlobAddress.IsBlob(address))
            return OfPath(address);
        var (place, channel) = ImagePath.Split(address);
        string shown = BlobAddress.Show(address);

        // PNG and TIFF, as nearly all are, need not be asked for twice.
        bool file = channel is null && Path.GetExtension(shown).ToUpperInvariant() is ".PNG" or ".TIF" or ".TIFF";
        return !file && await new BlobFolder(place, blobs).FindAsync(".zattrs", cancellationToken) is not null
            ? new ImageSource(shown, "", new BlobFolder(place, blobs), channel)
            : new ImageSource(shown, "", null, null);
    }
}

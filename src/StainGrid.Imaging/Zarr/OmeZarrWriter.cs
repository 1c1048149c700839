using System.Runtime.InteropServices;
using System.Security.Cryptography;
using StainGrid.Imaging.Zarr;

namespace StainGrid.Imaging;

/// <summary>Writes an OME-Zarr 0.4 image chunk by chunk, from any number of writers on any number of machines: it holds no
/// state but the image's description. An image is made by <see cref="WriteArrayMetadataAsync"/>, every chunk of level 0,
/// <see cref="BuildPyramidAsync"/>, and <see cref="CompleteAsync"/>, which writes the group's attributes last: without them
/// no reader opens it, so an image that was not finished is not taken for one. The same image gives the same bytes.</summary>
public sealed class OmeZarrWriter
{
    private readonly IBlobStore _store;

    /// <summary>A writer for an image.</summary>
    /// <param name="store">Where the image goes; its keys start at the store's root (see <see cref="BlobStores.Within"/>).</param>
    /// <param name="image">What is written.</param>
    /// <exception cref="ArgumentException">The image cannot be written.</exception>
    public OmeZarrWriter(IBlobStore store, OmeZarrImage image)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(image);
        image.Check();
        _store = store;
        Image = image;
    }

    /// <summary>What is written.</summary>
    public OmeZarrImage Image { get; }

    /// <summary>Writes the group and the description of every level, and takes back an earlier completion. Chunks that are
    /// there stay, so that a run that was stopped can go on.</summary>
    /// <param name="cancellationToken">Stops the writing.</param>
    public async Task WriteArrayMetadataAsync(CancellationToken cancellationToken = default)
    {
        await _store.DeleteAsync(OmeZarrMetadata.AttributesKey, null, cancellationToken);
        await _store.WriteAsync(OmeZarrMetadata.GroupKey, OmeZarrMetadata.Group(), cancellationToken);
        for (int level = 0; level < Image.Levels; level++)
            await _store.WriteAsync(OmeZarrMetadata.ArrayKey(level), OmeZarrMetadata.Array(Image, level), cancellationToken);
    }

    /// <summary>Writes one chunk.</summary>
    /// <param name="level">0 for the full size.</param>
    /// <param name="channel">The channel's number.</param>
    /// <param name="row">The chunk's row.</param>
    /// <param name="column">The chunk's column.</param>
    /// <param name="pixels">ChunkSize x ChunkSize values, row by row; what lies beyond the image must be 0.</param>
    /// <param name="cancellationToken">Stops the writing.</param>
    /// <returns>SHA-256 of the blob, lower-case hexadecimal.</returns>
    /// <exception cref="ArgumentException">There are more or fewer pixels than a chunk has.</exception>
    public async Task<string> WriteChunkAsync(int level, int channel, int row, int column, ReadOnlyMemory<ushort> pixels, CancellationToken cancellationToken = default)
    {
        if (pixels.Length != Image.ChunkSize * Image.ChunkSize)
            throw new ArgumentException($"A chunk has {Image.ChunkSize}x{Image.ChunkSize} pixels; {pixels.Length} were given.", nameof(pixels));
        string key = Image.ChunkKey(level, channel, row, column);
        byte[] frame = BloscFrame.Compress(LittleEndian(pixels.Span), sizeof(ushort));
        await _store.WriteAsync(key, frame, cancellationToken);
        return Convert.ToHexStringLower(SHA256.HashData(frame));
    }

    /// <summary>Reads a chunk back.</summary>
    /// <param name="level">0 for the full size.</param>
    /// <param name="channel">The channel's number.</param>
    /// <param name="row">The chunk's row.</param>
    /// <param name="column">The chunk's column.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <returns>ChunkSize x ChunkSize values, row by row, 0 beyond the image.</returns>
    /// <exception cref="ImageException">The chunk is missing or damaged.</exception>
    public Task<ushort[]> ReadChunkAsync(int level, int channel, int row, int column, CancellationToken cancellationToken = default) =>
        OmeZarrReader.ReadChunkAsync(_store, Image, level, channel, row, column, cancellationToken);

    /// <summary>Makes levels 1 and up from level 0: each pixel is the mean of the two by two below it, rounded half up; at
    /// an odd edge, of those that are there. Holds five chunks a processor in memory.</summary>
    /// <param name="progress">Told the share that is done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops between chunks.</param>
    /// <exception cref="ImageException">A chunk of level 0 is missing or damaged.</exception>
    public async Task BuildPyramidAsync(IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        long total = 0, done = 0;
        for (int level = 1; level < Image.Levels; level++)
        {
            var (rows, columns) = Image.ChunkGrid(level);
            total += (long)rows * columns * Image.Channels.Count;
        }

        var options = new ParallelOptions { CancellationToken = cancellationToken, MaxDegreeOfParallelism = Environment.ProcessorCount };
        for (int level = 1; level < Image.Levels; level++)
        {
            var (rows, columns) = Image.ChunkGrid(level);
            int target = level;
            var places = from channel in Enumerable.Range(0, Image.Channels.Count)
                         from row in Enumerable.Range(0, rows)
                         from column in Enumerable.Range(0, columns)
                         select (channel, row, column);
            await Parallel.ForEachAsync(places, options, async (place, stop) =>
            {
                var pixels = await ShrinkAsync(target, place.channel, place.row, place.column, stop);
                await WriteChunkAsync(target, place.channel, place.row, place.column, pixels, stop);
                progress?.Report((double)Interlocked.Increment(ref done) / total);
            });
        }

        if (total == 0)
            progress?.Report(1);
    }

    /// <summary>Writes the group's attributes, which make the image readable.</summary>
    /// <param name="cancellationToken">Stops the writing.</param>
    /// <exception cref="ImageException">A chunk is missing; the message names it.</exception>
    public async Task CompleteAsync(CancellationToken cancellationToken = default)
    {
        for (int level = 0; level < Image.Levels; level++)
        {
            var (rows, columns) = Image.ChunkGrid(level);
            var written = new HashSet<string>(StringComparer.Ordinal);
            await foreach (string key in _store.ListAsync(string.Create(CultureInfo.InvariantCulture, $"{level}/"), cancellationToken))
                written.Add(key);
            for (int channel = 0; channel < Image.Channels.Count; channel++)
            {
                for (int row = 0; row < rows; row++)
                {
                    for (int column = 0; column < columns; column++)
                    {
                        if (!written.Contains(Image.ChunkKey(level, channel, row, column)))
                            throw OmeZarrReader.Missing(_store, Image, level, channel, row, column);
                    }
                }
            }
        }

        await _store.WriteAsync(OmeZarrMetadata.AttributesKey, OmeZarrMetadata.Attributes(Image), cancellationToken);
    }

    private async Task<ushort[]> ShrinkAsync(int level, int channel, int row, int column, CancellationToken cancellationToken)
    {
        int side = Image.ChunkSize;
        var (width, height) = Image.LevelSize(level);
        var (belowWidth, belowHeight) = Image.LevelSize(level - 1);
        var (belowRows, belowColumns) = Image.ChunkGrid(level - 1);
        ushort[] pixels = new ushort[side * side];
        var below = new ushort[2, 2][];
        for (int r = 0; r < 2 && 2 * row + r < belowRows; r++)
        {
            for (int c = 0; c < 2 && 2 * column + c < belowColumns; c++)
                below[r, c] = await ReadChunkAsync(level - 1, channel, 2 * row + r, 2 * column + c, cancellationToken);
        }

        // Two rows below, over both chunks, then make one of them.
        int right = Math.Min(side, width - column * side), bottom = Math.Min(side, height - row * side);
        int belowRight = Math.Min(2 * side, belowWidth - 2 * column * side), belowBottom = Math.Min(2 * side, belowHeight - 2 * row * side);
        ushort[] upper = new ushort[belowRight], lower = new ushort[belowRight];
        for (int y = 0; y < bottom; y++)
        {
            CopyRow(2 * y, upper);
            bool last = 2 * y + 1 == belowBottom;
            if (!last)
                CopyRow(2 * y + 1, lower);
            Shrinking.Halve(upper, last ? [] : lower, pixels.AsSpan(y * side, right));
        }

        return pixels;

        void CopyRow(int y, ushort[] row)
        {
            var (down, inside) = Math.DivRem(y, side);
            for (int across = 0, from = 0; from < row.Length; across++, from += side)
                below[down, across].AsSpan(inside * side, Math.Min(side, row.Length - from)).CopyTo(row.AsSpan(from));
        }
    }

    private static ReadOnlySpan<byte> LittleEndian(ReadOnlySpan<ushort> pixels)
    {
        if (BitConverter.IsLittleEndian)
            return MemoryMarshal.AsBytes(pixels);
        ushort[] swapped = new ushort[pixels.Length];
        System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(pixels, swapped);
        return MemoryMarshal.AsBytes<ushort>(swapped);
    }
}

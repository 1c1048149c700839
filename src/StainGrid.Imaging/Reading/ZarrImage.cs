using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using StainGrid.Imaging.Zarr;
using StainGrid.Tiling;
using ZstdSharp;

namespace StainGrid.Imaging.Reading;

/// <summary>One channel of level 0 of an OME-Zarr 0.4 image (Zarr v2), decoded chunk by chunk. A missing chunk is an error.</summary>
internal sealed class ZarrImage : PlaneImage
{
    private const long MaxMetadataBytes = 16L << 20;

    private readonly SourceFolder _level;
    private readonly string _separator;
    private readonly string _axes;
    private readonly long[] _shape, _chunks;
    private readonly JsonObject? _compressor;
    private readonly bool _swap;
    private readonly int _channel;
    private readonly DecodedCache _cache;

    private ZarrImage(ImageInfo info, SourceFolder level, string axes, long[] shape, long[] chunks, JsonObject array, int channel, DecodedCache cache)
        : base(info)
    {
        _level = level;
        _axes = axes;
        _shape = shape;
        _chunks = chunks;
        _separator = (string?)array["dimension_separator"] ?? ".";
        _compressor = array["compressor"] as JsonObject;
        _swap = ((string)array["dtype"]!)[0] == '>' == BitConverter.IsLittleEndian;
        _channel = channel;
        _cache = cache;
    }

    public int Channels => _axes.Contains('c') ? (int)_shape[_axes.IndexOf('c')] : 1;

    /// <summary>The files that the pixels of level 0 stand in, and its description, by their paths below the image.</summary>
    public static async IAsyncEnumerable<SourceFile> FilesAsync(SourceFolder folder, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var file in folder.FilesAsync((await Level0Async(folder, cancellationToken)).Path, cancellationToken))
            yield return file;
    }

    /// <summary>Opens a channel (by its number or name; the first where null) of the image in a folder. Completes at once where the
    /// folder is of the file system.</summary>
    public static async Task<ZarrImage> OpenAsync(
        SourceFolder folder, string? wanted, ImageLimits limits, DecodedCache cache, CancellationToken cancellationToken = default)
    {
        string name = Path.GetFileName(folder.Name);
        try
        {
            var (path, multiscale, attributes) = await Level0Async(folder, cancellationToken);
            var level = folder.Within(path)!;
            var (found, node) = await level.JsonAsync(".zarray", MaxMetadataBytes, cancellationToken);
            var array = node as JsonObject ?? throw Refused(found ? "has a .zarray that is no object" : "lacks the .zarray of level 0");
            string axes = string.Concat((multiscale["axes"] as JsonArray ?? []).Select(axis => (string?)axis?["name"]));
            long[] shape = Numbers("shape"), chunks = Numbers("chunks");
            if (!axes.EndsWith("yx", StringComparison.Ordinal) || axes.Length != shape.Length || axes.Length != chunks.Length || !Subsequence(axes, "tczyx"))
                throw Refused($"has the axes \"{axes}\" for {shape.Length} dimensions; some of t, c, z, y, x in this order are read");
            if (shape.Any(extent => extent is < 1 or > int.MaxValue) || chunks.Any(extent => extent is < 1 or > int.MaxValue))
                throw Refused($"has the shape {string.Join('x', shape)} in chunks of {string.Join('x', chunks)}");
            if ((int?)array["zarr_format"] != 2 || (string?)array["order"] == "F" || array["filters"] is JsonArray { Count: > 0 })
                throw Refused("is not Zarr v2 in C order without filters");
            if ((string?)array["dimension_separator"] is not (null or "." or "/"))
                throw Refused("has an unknown dimension_separator");
            var type = (string?)array["dtype"] switch
            {
                "|u1" or "<u1" or ">u1" => PixelType.UInt8,
                "<u2" or ">u2" => PixelType.UInt16,
                "<f4" or ">f4" => PixelType.Float32,
                var other => throw Refused($"has {other} pixels; u1, u2 and f4 are read"),
            };
            if (array["compressor"] is { } compressor && (string?)compressor["id"] is not ("zlib" or "gzip" or "zstd" or "blosc"))
                throw Refused($"is compressed with {compressor["id"]}; none, zlib, gzip, zstd and blosc are read");
            if ((string?)array["compressor"]?["id"] == "blosc" && BloscFrame.Unread((string?)array["compressor"]!["cname"],
                (int?)array["compressor"]!["shuffle"] ?? 1, type.Bytes()) is { } unread)
            {
                throw Refused($"is compressed with {unread}; blosc with lz4, lz4hc, zlib or zstd is read, with bytes shuffled or none");
            }

            long bytes = type.Bytes();
            foreach (long extent in chunks)
                bytes = bytes > long.MaxValue / extent ? long.MaxValue : bytes * extent;
            limits.CheckPlane(name, shape[^1], shape[^2]);
            limits.CheckDecoded(name, "a chunk", bytes, "Rechunk the image.");
            if (axes[0] == 't' && shape[0] != 1)
                throw Refused($"has {shape[0]} time points; one is read");
            long planes = axes.Contains('z') ? shape[axes.IndexOf('z')] : 1;
            long channels = axes.Contains('c') ? shape[axes.IndexOf('c')] : 1;
            if (planes > 65_536 || channels > 10_000)
                throw Refused($"has {planes} planes and {channels} channels");
            string?[] labels = [.. (attributes["omero"]?["channels"] as JsonArray ?? []).Select(item => (string?)item?["label"])];
            int channel = wanted is null ? 0 : Array.IndexOf(labels, wanted);
            if (channel < 0 && int.TryParse(wanted, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
                channel = number;
            if (channel < 0 || channel >= channels)
                throw Refused($"has no channel {wanted}; it has {channels}: {string.Join(", ", labels)}");
            var info = new ImageInfo(ImagePath.Join(folder.Name, wanted), "OME-Zarr", (int)shape[^1], (int)shape[^2], (int)planes, type)
            {
                ChannelName = channel < labels.Length ? labels[channel] : null,
                PhysicalSizeX = Micrometres(axes.Length - 1),
                PhysicalSizeY = Micrometres(axes.Length - 2),
                PhysicalSizeZ = axes.Contains('z') ? Micrometres(axes.IndexOf('z')) : null,
            };
            return new ZarrImage(info, level, axes, shape, chunks, array, channel, cache);

            long[] Numbers(string member) => array[member] is JsonArray { Count: >= 2 and <= 5 } list ? [.. list.Select(item => (long)item!)] : throw Refused($"has no {member} of 2 to 5 numbers");

            double? Micrometres(int axis) => (string?)multiscale["axes"]?[axis]?["unit"] == "micrometer"
                ? (double?)multiscale["datasets"]?[0]?["coordinateTransformations"]?[0]?["scale"]?[axis] : null;
        }
        catch (Exception exception) when (exception is InvalidOperationException or FormatException or ArgumentException or NullReferenceException)
        {
            throw new ImageException($"{folder.Name} has metadata that are not OME-Zarr 0.4: {exception.Message} Export it again.", exception);
        }

        ImageException Refused(string what) => new($"{folder.Name} {what}. Export it as OME-Zarr 0.4.");
    }

    protected override void ReadInside(int plane, Region region, Span<float> destination)
    {
        int height = (int)_chunks[^2], width = (int)_chunks[^1], size = Info.PixelType.Bytes();
        for (int row = region.Y / height; row <= (region.Bottom - 1) / height; row++)
        {
            for (int column = region.X / width; column <= (region.Right - 1) / width; column++)
            {
                long[] index = new long[_axes.Length];
                long inside = 0, piece = 0;
                for (int axis = 0; axis < index.Length; axis++)
                {
                    long at = _axes[axis] switch { 'c' => _channel, 'z' => plane, _ => 0 };
                    index[axis] = _axes[axis] switch { 'y' => row, 'x' => column, _ => at / _chunks[axis] };
                    inside = inside * _chunks[axis] + at % _chunks[axis];
                    piece = piece * ((_shape[axis] - 1) / _chunks[axis] + 1) + index[axis];
                }

                byte[] samples = _cache.GetOrDecode(this, piece, _ => Chunk(string.Join(_separator, index)));
                var part = region.Intersect(new Region(column * width, row * height,
                    Math.Min(width, Info.Width - column * width), Math.Min(height, Info.Height - row * height)));
                for (int y = part.Y; y < part.Bottom; y++)
                {
                    long start = inside + (long)(y - row * height) * width + (part.X - column * width);
                    var target = destination.Slice((y - region.Y) * region.Width + (part.X - region.X), part.Width);
                    if (Samples.ToFloats(samples.AsSpan((int)(start * size), part.Width * size), Info.PixelType, false, target) is >= 0 and int bad)
                        throw new ImageException($"{Info.Path} is not finite at x {part.X + bad}, y {y}, plane {plane}. Replace such values.");
                }
            }
        }
    }

    protected override void Close() => _cache.Clear();

    private byte[] Chunk(string key)
    {
        string name = $"{Info.Path}: the chunk {Path.GetFileName(_level.Name)}/{key}";
        byte[] samples;
        try
        {
            long size = _chunks.Aggregate((long)Info.PixelType.Bytes(), (product, extent) => product * extent);

            // Pixels are asked for on threads that may wait: of the pool or a test, never a grain's.
            byte[] data = _level.ReadAsync(key, 2 * size + 4096).AsTask().GetAwaiter().GetResult()
                ?? throw new ImageException($"{name} is missing. Copy the image again.");
            samples = new byte[size];
            switch ((string?)_compressor?["id"])
            {
                case null:
                    if (data.Length != samples.Length)
                        throw new InvalidDataException($"it has {data.Length} of {samples.Length} bytes");
                    samples = data;
                    break;
                case "zlib":
                    Fill(new ZLibStream(new MemoryStream(data), CompressionMode.Decompress));
                    break;
                case "gzip":
                    Fill(new GZipStream(new MemoryStream(data), CompressionMode.Decompress));
                    break;
                case "zstd":
                    using (var decompressor = new Decompressor())
                    {
                        if (decompressor.Unwrap(data, samples) is var got && got != samples.Length)
                            throw new InvalidDataException($"it has {got} of {samples.Length} bytes");
                    }

                    break;
                default:
                    BloscFrame.Decompress(data, samples);
                    break;
            }
        }
        catch (Exception exception) when (exception is (IOException and not BlobStoreException) or InvalidDataException or UnauthorizedAccessException or ZstdException or ArgumentException)
        {
            throw new ImageException($"{name} is damaged: {exception.Message.TrimEnd('.')}. Copy the image again.", exception);
        }

        if (_swap)
            Samples.Swap(samples, Info.PixelType);
        return samples;

        void Fill(Stream stream)
        {
            using (stream)
            {
                stream.ReadExactly(samples);
                if (stream.ReadByte() >= 0)
                    throw new InvalidDataException($"it has more than {samples.Length} bytes");
            }
        }
    }

    private static async Task<(string Path, JsonObject Multiscale, JsonObject Attributes)> Level0Async(SourceFolder folder, CancellationToken cancellationToken)
    {
        var (found, node) = await folder.JsonAsync(".zattrs", MaxMetadataBytes, cancellationToken);
        if (!found)
            throw new ImageException($"{folder.Name} is a folder, not an image: it has no .zattrs of an OME-Zarr 0.4 image. Name the image files in it.");
        if (node is not JsonObject attributes || attributes["multiscales"] is not (JsonArray and [JsonObject multiscale, ..]))
            throw new ImageException($"{folder.Name} is not an OME-Zarr 0.4 image: its .zattrs has no multiscales. Check the path.");
        string path = multiscale["datasets"] is JsonArray and [JsonObject dataset, ..] ? dataset["path"]?.ToString() ?? "" : "";
        return folder.Below(path) is not null
            ? (path, multiscale, attributes)
            : throw new ImageException($"{folder.Name} has level 0 at \"{path}\", which is not below it. Export it again.");
    }

    private static bool Subsequence(string part, string whole)
    {
        int at = -1;
        return part.All(letter => (at = whole.IndexOf(letter, at + 1)) >= 0);
    }
}

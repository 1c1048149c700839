using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// A safetensors file in memory: named tensors on the CPU and strings of metadata. Layout: eight bytes, the header's length
/// in little-endian; the header, JSON, {"name":{"dtype","shape","data_offsets"}, "__metadata__":{...}}; the tensors' bytes,
/// little-endian, without gaps. Nothing in it is executed, unlike a torch pickle.
/// </summary>
/// <remarks>A file is read in one pass and every claim of its header is checked against the file's length before anything
/// is allocated for it.</remarks>
public sealed class SafetensorsFile : IDisposable
{
    /// <summary>The longest header that is read: 100 MB, the format's own limit.</summary>
    public const long MaximumHeaderBytes = 100_000_000;

    /// <summary>The longest file that is read: 2 GiB.</summary>
    public const long MaximumFileBytes = 1L << 31;

    /// <summary>The most tensors that are read.</summary>
    public const int MaximumTensors = 65_536;

    private const int LengthBytes = sizeof(ulong);
    private const int MaximumDimensions = 8;
    private const int MaximumNameLength = 256;
    private const string Damaged = "Get the file again: it is damaged or was not written by safetensors.";

    private readonly Dictionary<string, Tensor> tensors;

    private SafetensorsFile(Dictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string> metadata, string sha256)
    {
        this.tensors = tensors;
        Metadata = metadata;
        Sha256 = sha256;
    }

    /// <summary>The tensors by name, contiguous, on the CPU, float32, bfloat16, float16 or int64. They live as long as this
    /// object.</summary>
    public IReadOnlyDictionary<string, Tensor> Tensors => tensors;

    /// <summary>The header's strings by name.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>SHA-256 of the whole file, 64 lower-case hexadecimal digits.</summary>
    public string Sha256 { get; }

    /// <summary>Reads and checks a whole file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="name">What errors call the file; its path if null.</param>
    /// <exception cref="ModelFileException">The file cannot be read, is cut off, or its header is not one that the bytes
    /// bear out.</exception>
    public static SafetensorsFile Read(string path, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        name ??= path;
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16);
            return Read(name, stream);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ModelFileException(name, "there is no such file. Check the path.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ModelFileException(name, $"the file cannot be read ({e.Message}) Check that it is a file and its permissions.", e);
        }
    }

    /// <summary>
    /// Writes a file, whole or not at all: to a temporary file beside it first, then renamed. The same tensors and metadata
    /// give the same bytes: wide types first, then by name, metadata by name, the header padded to eight bytes.
    /// </summary>
    /// <param name="path">The file, which is replaced if it is there.</param>
    /// <param name="tensors">Tensors of any device; float32, bfloat16, float16 or int64.</param>
    /// <param name="metadata">Strings by name.</param>
    /// <returns>SHA-256 of the file, 64 lower-case hexadecimal digits.</returns>
    /// <exception cref="ModelFileException">The file cannot be written.</exception>
    /// <exception cref="ArgumentException">A tensor has another type.</exception>
    public static string Write(string path, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        ArgumentNullException.ThrowIfNull(path);
        string partial = $"{path}.{Guid.NewGuid():N}.partial";
        try
        {
            string hash;
            using (var stream = new FileStream(partial, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                hash = Write(stream, tensors, metadata);
                stream.Flush(flushToDisk: true);
            }

            File.Move(partial, path, overwrite: true);
            return hash;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelFileException(path, $"the file cannot be written ({e.Message}) Check the folder, its permissions and the free space.", e);
        }
        finally
        {
            if (File.Exists(partial))
                File.Delete(partial);
        }
    }

    /// <summary>Writes to a stream; see <see cref="Write(string, IReadOnlyDictionary{string, Tensor}, IReadOnlyDictionary{string, string})"/>.</summary>
    /// <param name="stream">The stream, which stays open.</param>
    /// <param name="tensors">Tensors of any device; float32, bfloat16, float16 or int64.</param>
    /// <param name="metadata">Strings by name.</param>
    /// <returns>SHA-256 of what was written, 64 lower-case hexadecimal digits.</returns>
    public static string Write(Stream stream, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentNullException.ThrowIfNull(metadata);
        var ordered = tensors.OrderByDescending(pair => pair.Value.element_size()).ThenBy(pair => pair.Key, StringComparer.Ordinal).ToList();
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

        byte[] header = Header(ordered, metadata);
        byte[] length = new byte[LengthBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
        Put(length);
        Put(header);
        foreach (var (_, tensor) in ordered)
        {
            using var scope = NewDisposeScope();
            using var gradients = no_grad();
            Put(tensor.detach().cpu().contiguous().bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());

        void Put(ReadOnlySpan<byte> bytes)
        {
            hash.AppendData(bytes);
            stream.Write(bytes);
        }
    }

    /// <summary>Frees the tensors.</summary>
    public void Dispose()
    {
        foreach (var tensor in tensors.Values)
            tensor.Dispose();
        tensors.Clear();
    }

    private static byte[] Header(List<KeyValuePair<string, Tensor>> ordered, IReadOnlyDictionary<string, string> metadata)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            foreach (var (name, text) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                json.WriteString(name, text);
            json.WriteEndObject();
            long offset = 0;
            foreach (var (name, tensor) in ordered)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", NameOf(tensor.dtype));
                json.WriteStartArray("shape");
                foreach (long side in tensor.shape)
                    json.WriteNumberValue(side);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.numel() * tensor.element_size());
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        byte[] header = new byte[(buffer.WrittenCount + LengthBytes - 1) / LengthBytes * LengthBytes];
        header.AsSpan().Fill((byte)' ');
        buffer.WrittenSpan.CopyTo(header);
        return header;
    }

    private static SafetensorsFile Read(string path, FileStream stream)
    {
        long fileLength = stream.Length;
        if (fileLength > MaximumFileBytes)
            throw new ModelFileException(path, $"the file has {fileLength:N0} bytes; {MaximumFileBytes:N0} is the most that is read. Give a model file.");
        if (fileLength < LengthBytes)
            throw new ModelFileException(path, $"the file has {fileLength} bytes, which is no safetensors file. {Damaged}");

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] lengthBytes = new byte[LengthBytes];
        Fill(path, stream, lengthBytes, hash);
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(lengthBytes);
        if (headerLength > MaximumHeaderBytes)
            throw new ModelFileException(path, $"the header would have {headerLength:N0} bytes; {MaximumHeaderBytes:N0} is the most there can be. {Damaged}");
        if ((long)headerLength > fileLength - LengthBytes)
            throw new ModelFileException(path, $"the header would have {headerLength:N0} bytes, and the file only {fileLength:N0}. {Damaged}");

        byte[] header = new byte[(int)headerLength];
        Fill(path, stream, header, hash);
        var (entries, metadata) = ParseHeader(path, header);
        CheckLayout(path, entries, fileLength - LengthBytes - (long)headerLength);

        var tensors = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        try
        {
            foreach (var entry in entries)
            {
                var tensor = empty(entry.Shape, entry.Type).DetachFromDisposeScope();
                tensors.Add(entry.Name, tensor);
                Fill(path, stream, tensor.bytes, hash);
            }

            return new SafetensorsFile(tensors, metadata, Convert.ToHexStringLower(hash.GetHashAndReset()));
        }
        catch
        {
            foreach (var tensor in tensors.Values)
                tensor.Dispose();
            throw;
        }
    }

    private static void Fill(string path, FileStream stream, Span<byte> bytes, IncrementalHash hash)
    {
        try
        {
            stream.ReadExactly(bytes);
        }
        catch (EndOfStreamException e)
        {
            throw new ModelFileException(path, $"the file became shorter while it was read. {Damaged}", e);
        }

        hash.AppendData(bytes);
    }

    private static (List<Entry> Entries, Dictionary<string, string> Metadata) ParseHeader(string path, byte[] header)
    {
        if (header.Length == 0 || header[0] != (byte)'{' || !Utf8.IsValid(header))
            throw new ModelFileException(path, $"the header is not a JSON object. {Damaged}");
        var entries = new List<Entry>();
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            // Depth 3 is a shape's number; anything deeper is refused by the parser.
            using var json = JsonDocument.Parse(header, new JsonDocumentOptions { MaxDepth = 4, AllowDuplicateProperties = false });
            foreach (var member in json.RootElement.EnumerateObject())
            {
                if (member.Name == "__metadata__")
                    ParseMetadata(path, member.Value, metadata);
                else if (entries.Count == MaximumTensors)
                    throw new ModelFileException(path, $"the header lists more than {MaximumTensors:N0} tensors. {Damaged}");
                else
                    entries.Add(ParseEntry(path, member));
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new ModelFileException(path, $"the header is not valid JSON ({e.Message}) {Damaged}", e);
        }

        entries.Sort((a, b) => (a.Begin, a.End).CompareTo((b.Begin, b.End)));
        return (entries, metadata);
    }

    private static void ParseMetadata(string path, JsonElement element, Dictionary<string, string> metadata)
    {
        if (element.ValueKind != JsonValueKind.Object)
            throw new ModelFileException(path, $"the header's metadata is not an object. {Damaged}");
        foreach (var member in element.EnumerateObject())
        {
            if (member.Value.ValueKind != JsonValueKind.String)
                throw new ModelFileException(path, $"the metadata '{Shorten(member.Name)}' is not a string. {Damaged}");
            metadata.Add(member.Name, member.Value.GetString()!);
        }
    }

    private static Entry ParseEntry(string path, JsonProperty member)
    {
        string name = Shorten(member.Name);
        if (member.Name.Length is 0 or > MaximumNameLength)
            throw Wrong($"has a name of {member.Name.Length} characters; 1 to {MaximumNameLength} are allowed");
        if (member.Value.ValueKind != JsonValueKind.Object || member.Value.GetPropertyCount() != 3
            || !member.Value.TryGetProperty("dtype", out var dtype) || dtype.ValueKind != JsonValueKind.String
            || !member.Value.TryGetProperty("shape", out var shape) || shape.ValueKind != JsonValueKind.Array
            || !member.Value.TryGetProperty("data_offsets", out var offsets) || offsets.ValueKind != JsonValueKind.Array)
        {
            throw Wrong("is not described by dtype, shape and data_offsets");
        }

        if (TypeOf(dtype.GetString()!) is not { } type)
            throw Wrong($"has the type '{Shorten(dtype.GetString()!)}'; F32, BF16, F16 and I64 are read");
        if (shape.GetArrayLength() > MaximumDimensions)
            throw Wrong($"has {shape.GetArrayLength()} dimensions; {MaximumDimensions} are the most");
        if (offsets.GetArrayLength() != 2 || Number(offsets[0]) is not { } begin || Number(offsets[1]) is not { } end || begin > end)
            throw Wrong("has data_offsets that are not two rising whole numbers");

        var sides = new long[shape.GetArrayLength()];
        long size = type.Size;
        for (int i = 0; i < sides.Length; i++)
        {
            sides[i] = Number(shape[i]) ?? throw Wrong("has a shape that is not of whole numbers of 0 and up");
            if (sides[i] > 0 && size > MaximumFileBytes / sides[i])
                throw Wrong("has a shape larger than any file that is read");
            size *= sides[i];
        }

        return size == end - begin
            ? new Entry(member.Name, type.Type, sides, begin, end)
            : throw Wrong($"needs {size:N0} bytes for its shape and has {end - begin:N0}");

        ModelFileException Wrong(string what) => new(path, $"the tensor '{name}' {what}. {Damaged}");
        static long? Number(JsonElement element) =>
            element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out long value) && value >= 0 ? value : null;
    }

    private static void CheckLayout(string path, List<Entry> entries, long dataBytes)
    {
        long end = 0;
        foreach (var entry in entries)
        {
            if (entry.Begin != end)
            {
                string what = entry.Begin < end ? "overlaps the one before it" : "leaves a gap after the one before it";
                throw new ModelFileException(path, $"the tensor '{Shorten(entry.Name)}' {what}. {Damaged}");
            }

            end = entry.End;
        }

        if (end > dataBytes)
            throw new ModelFileException(path, $"the file ends {end - dataBytes:N0} bytes too early. The copy was cut off; get the file again.");
        if (end < dataBytes)
            throw new ModelFileException(path, $"the file has {dataBytes - end:N0} bytes after the last tensor. {Damaged}");
    }

    private static string NameOf(ScalarType type) => type switch
    {
        ScalarType.Float32 => "F32",
        ScalarType.BFloat16 => "BF16",
        ScalarType.Float16 => "F16",
        ScalarType.Int64 => "I64",
        _ => throw new ArgumentException($"A tensor of type {type}; float32, bfloat16, float16 and int64 are written."),
    };

    private static (ScalarType Type, int Size)? TypeOf(string name) => name switch
    {
        "F32" => (ScalarType.Float32, 4),
        "BF16" => (ScalarType.BFloat16, 2),
        "F16" => (ScalarType.Float16, 2),
        "I64" => (ScalarType.Int64, 8),
        _ => null,
    };

    // Names come from the file: short, and without what would disturb a terminal.
    private static string Shorten(string text)
    {
        string head = text.Length <= 80 ? text : text[..77] + "...";
        return string.Concat(head.Select(c => char.IsControl(c) ? '?' : c));
    }

    private sealed record Entry(string Name, ScalarType Type, long[] Shape, long Begin, long End);
}

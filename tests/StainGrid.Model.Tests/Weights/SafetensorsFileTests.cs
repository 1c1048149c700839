using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using StainGrid.TestSupport;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests;

public sealed class SafetensorsFileTests : IDisposable
{
    private const string Good = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}}""";

    private readonly TemporaryFolder folder = new();

    /// <summary>Headers over twelve bytes of data, and a word of what must be said of each.</summary>
    public static TheoryData<string, string> BadHeaders => new()
    {
        { "", "not a JSON object" },
        { "[]", "not a JSON object" },
        { " {}", "not a JSON object" },
        { "{", "not valid JSON" },
        { "{}", "12 bytes after the last tensor" },
        { Good + "x", "not valid JSON" },
        { "\0\0\0\0", "not a JSON object" },
        { """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", "not valid JSON" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", "overlaps" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "overlaps" },
        { """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""", "gap" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", "gap" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "4 bytes after the last tensor" },
        { """{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", "4 bytes too early" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}""", "needs 8 bytes" },
        { """{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,12]}}""", "needs 6 bytes" },
        { """{"a":{"dtype":"F32","shape":[-3],"data_offsets":[0,12]}}""", "shape" },
        { """{"a":{"dtype":"F32","shape":[-1,-3],"data_offsets":[0,12]}}""", "shape" },
        { """{"a":{"dtype":"F32","shape":[1.5,2],"data_offsets":[0,12]}}""", "shape" },
        { """{"a":{"dtype":"F32","shape":["3"],"data_offsets":[0,12]}}""", "shape" },
        { """{"a":{"dtype":"F32","shape":[null],"data_offsets":[0,12]}}""", "shape" },
        { """{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,12]}}""", "larger than any file" },
        { """{"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,12]}}""", "larger than any file" },
        { """{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,12]}}""", "shape" },
        { """{"a":{"dtype":"F32","shape":[0,9223372036854775807,4],"data_offsets":[0,12]}}""", "larger than any file|needs 0 bytes" },
        { """{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,3],"data_offsets":[0,12]}}""", "9 dimensions" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":[12,0]}}""", "data_offsets" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":[-12,0]}}""", "data_offsets" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":[0]}}""", "data_offsets" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12,12]}}""", "data_offsets" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":{"0":12}}}""", "data_offsets" },
        { """{"a":{"dtype":"F32","shape":3,"data_offsets":[0,12]}}""", "described" },
        { """{"a":{"dtype":"F32","data_offsets":[0,12]}}""", "described" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12],"more":1}}""", "described" },
        { """{"a":{"dtype":4,"shape":[3],"data_offsets":[0,12]}}""", "described" },
        { """{"a":12}""", "described" },
        { """{"a":null}""", "described" },
        { """{"a":{"dtype":"F33","shape":[3],"data_offsets":[0,12]}}""", "type 'F33'" },
        { """{"a":{"dtype":"F64","shape":[3],"data_offsets":[0,12]}}""", "type 'F64'" },
        { """{"":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "name" },
        { """{"a":{"dtype":"F32","shape":[[[[3]]]],"data_offsets":[0,12]}}""", "not valid JSON" },
        { """{"\ud800":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "not valid JSON" },
        { """{"__metadata__":[],"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "metadata" },
        { """{"__metadata__":{"x":1},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "not a string" },
        { """{"__metadata__":{"x":"1","x":"2"},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}""", "not valid JSON" },
    };

    public void Dispose() => folder.Dispose();

    [Fact]
    public void What_is_written_is_read_back_bit_for_bit()
    {
        using var scope = NewDisposeScope();
        var tensors = new Dictionary<string, Tensor>
        {
            ["z"] = randn(3, 5, 7),
            ["odd"] = randn(3).to(ScalarType.BFloat16),
            ["half"] = randn(2, 2).to(ScalarType.Float16),
            ["count"] = tensor(long.MaxValue),
            ["empty"] = zeros(0, 4),
            ["strided"] = arange(6, dtype: ScalarType.Float32).reshape(2, 3).t(),
            ["special"] = tensor(new[] { float.NaN, float.PositiveInfinity, -0f, float.Epsilon }),
            ["µ \"quoted\""] = ones(1),
        };
        var metadata = new Dictionary<string, string> { ["b"] = "{\"x\": \"\u00e9\n\"}", ["a"] = "" };
        string path = folder.File("m.safetensors");
        string hash = SafetensorsFile.Write(path, tensors, metadata);

        using var read = SafetensorsFile.Read(path);
        Assert.Equal(hash, read.Sha256);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(path))), hash);
        Assert.Equal(metadata, read.Metadata.ToDictionary());
        Assert.Equal(tensors.Keys.Order(StringComparer.Ordinal), read.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (var (name, tensor) in tensors)
        {
            Assert.Equal(tensor.dtype, read.Tensors[name].dtype);
            Assert.Equal(tensor.shape, read.Tensors[name].shape);
            Assert.Equal(tensor.contiguous().bytes.ToArray(), read.Tensors[name].bytes.ToArray());
        }

        Assert.Equal(0L, (BinaryPrimitives.ReadInt64LittleEndian(File.ReadAllBytes(path)) + 8) % 8);
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void The_order_in_which_tensors_and_metadata_are_given_does_not_change_the_bytes()
    {
        using var scope = NewDisposeScope();
        Tensor a = randn(3), b = randn(2, 2).to(ScalarType.BFloat16), c = randn(4);
        SafetensorsFile.Write(folder.File("1"), new Dictionary<string, Tensor> { ["a"] = a, ["b"] = b, ["c"] = c }, new Dictionary<string, string> { ["x"] = "1", ["y"] = "2" });
        SafetensorsFile.Write(folder.File("2"), new Dictionary<string, Tensor> { ["c"] = c, ["b"] = b, ["a"] = a }, new Dictionary<string, string> { ["y"] = "2", ["x"] = "1" });
        Assert.Equal(File.ReadAllBytes(folder.File("1")), File.ReadAllBytes(folder.File("2")));
    }

    [Fact]
    public void A_file_made_by_hand_is_read()
    {
        using var file = SafetensorsFile.Read(Write(Good + "   "));
        Assert.Equal([1f, 2f], file.Tensors["a"].data<float>());
        Assert.Equal([3f], file.Tensors["b"].data<float>());
        Assert.Empty(file.Metadata);
    }

    [Theory]
    [MemberData(nameof(BadHeaders))]
    public void A_header_that_the_bytes_do_not_bear_out_is_refused_in_one_line(string header, string words) => AssertRefused(Write(header), words);

    [Fact]
    public void A_header_that_is_not_text_is_refused() => AssertRefused(Write([(byte)'{', 0xff, 0xfe, (byte)'}']), "not a JSON object");

    [Fact]
    public void Deep_nesting_is_refused()
    {
        AssertRefused(Write("{\"a\":" + new string('[', 100_000) + new string(']', 100_000) + "}"), "not valid JSON");
        AssertRefused(Write("{\"a\":" + string.Concat(Enumerable.Repeat("{\"a\":", 100_000))), "not valid JSON");
    }

    [Fact]
    public void More_tensors_than_any_model_has_are_refused()
    {
        var header = new StringBuilder("{");
        for (int i = 0; i <= SafetensorsFile.MaximumTensors; i++)
            header.Append(i == 0 ? "" : ",").Append('"').Append(i).Append("\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}");
        AssertRefused(Write(header.Append('}').ToString()), "lists more than");
    }

    [Theory]
    [InlineData(100_000_001UL)]
    [InlineData(ulong.MaxValue)]
    [InlineData(0x8000000000000000UL)]
    [InlineData(1000UL)]
    public void A_header_length_beyond_the_file_or_the_limit_is_refused(ulong length)
    {
        byte[] bytes = File.ReadAllBytes(Write(Good));
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        File.WriteAllBytes(folder.File("bad"), bytes);
        AssertRefused(folder.File("bad"), "the header would have");
    }

    [Fact]
    public void A_file_cut_off_at_any_byte_is_refused()
    {
        byte[] bytes = File.ReadAllBytes(Write(Good));
        for (int length = 0; length < bytes.Length; length++)
        {
            File.WriteAllBytes(folder.File("cut"), bytes[..length]);
            AssertRefused(folder.File("cut"), "");
        }
    }

    [Fact]
    public void A_file_with_any_byte_of_its_header_changed_is_read_or_refused_but_never_breaks()
    {
        byte[] good = File.ReadAllBytes(Write(Good));
        var random = new Random(4);
        for (int round = 0; round < 3000; round++)
        {
            byte[] bytes = [.. good];
            for (int i = random.Next(1, 4); i > 0; i--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            File.WriteAllBytes(folder.File("changed"), bytes);
            try
            {
                SafetensorsFile.Read(folder.File("changed")).Dispose();
            }
            catch (ModelFileException)
            {
            }
        }
    }

    [Fact]
    public void What_is_not_a_file_is_refused()
    {
        AssertRefused(folder.File("none"), "no such file");
        AssertRefused(folder.File("none", "none"), "no such file");
        AssertRefused(folder.Path, "cannot be read");
        File.WriteAllText(folder.File("text"), "this is a text and no safetensors file, though a long one");
        AssertRefused(folder.File("text"), "header would have");
        File.WriteAllBytes(folder.File("huge"), []);
        using (var stream = File.OpenWrite(folder.File("huge")))
            stream.SetLength(SafetensorsFile.MaximumFileBytes + 1);   // sparse
        AssertRefused(folder.File("huge"), "the most that is read");
    }

    [Fact]
    public void A_failed_write_leaves_the_old_file_and_nothing_else()
    {
        using var scope = NewDisposeScope();
        string path = folder.File("m");
        File.WriteAllText(path, "old");
        var bad = new Dictionary<string, Tensor> { ["a"] = zeros(2), ["b"] = zeros(2).to(ScalarType.ComplexFloat32) };
        Assert.Throws<ArgumentException>(() => SafetensorsFile.Write(path, bad, new Dictionary<string, string>()));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Single(Directory.GetFiles(folder.Path));

        var good = new Dictionary<string, Tensor> { ["a"] = zeros(2) };
        AssertOneLine(Assert.Throws<ModelFileException>(() => SafetensorsFile.Write(folder.File("no", "m"), good, new Dictionary<string, string>())), "cannot be written");
        Directory.CreateDirectory(folder.File("d"));
        AssertOneLine(Assert.Throws<ModelFileException>(() => SafetensorsFile.Write(folder.File("d"), good, new Dictionary<string, string>())), "cannot be written");
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    private string Write(string header) => Write(Encoding.UTF8.GetBytes(header));

    private string Write(byte[] header)
    {
        string path = folder.File("hand.safetensors");
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        float[] data = [1, 2, 3];
        byte[] bytes = new byte[12];
        Buffer.BlockCopy(data, 0, bytes, 0, 12);
        File.WriteAllBytes(path, [.. length, .. header, .. bytes]);
        return path;
    }

    private static void AssertRefused(string path, string words)
    {
        var error = Assert.Throws<ModelFileException>(() => SafetensorsFile.Read(path));
        Assert.Equal(path, error.Path);
        AssertOneLine(error, words);
    }

    private static void AssertOneLine(ModelFileException error, string words)
    {
        Assert.StartsWith(error.Path + ": ", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        Assert.True(error.Message.Length < error.Path.Length + 500, error.Message);
        Assert.True(words.Split('|').Any(word => error.Message.Contains(word, StringComparison.Ordinal)), error.Message);
    }
}

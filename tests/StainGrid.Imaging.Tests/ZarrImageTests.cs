using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json.Nodes;
using K4os.Compression.LZ4;
using StainGrid.Imaging.Zarr;
using StainGrid.TestSupport;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests;

public sealed class ZarrImageTests : IDisposable
{
    // Frames of c-blosc 1.21.3, deflated: 90,001 values 1000 + i / 1500 (2,000 where the codec is not read), in blocks of 65,536
    // bytes where the first three are.
    private const string Lz4 = "eNrF0DtOAlEYhuH/zIwICig3L4AcB+jZyuyCxVBI6VpIjCuwI7E0FCQiNxEEQRHmcHkrWuCtnuQ03/kt5Vr5Z0tElLiOSNZXVYmEbZGGb/2uZGF60S30gd"
        + "qog7qoh/roEw3QFxqiEfpGYzRBP2iKZugX/aH5Wm/e3FQxn7Q3j0es7NmmppnjL6zrfwYvkCCFLGQjB52gADpFQRRCZ+gchVEERdEFukQxFEeJlcZewvSw"
        + "4+6PDD9sNc8x+ZtlNfJJJxmdQlfoGt2gW5RGGZRFdyiHNLpHLsqjwlal4v4P9bo+yhL9xOjP",
        Lz4Unshuffled = "eNpd0UlOwzAUxvFnx9AwdkiZCy5t97mKT8aKK7BDlBULQEKcgQ1HYC4NUMoQWqcskvz9Nv5Jn6VPz1q1dedKi4iSnhFp+duhEqkHImf+Ht8FWib5ObH3Jf"
        + "ftA/wIP8HP8As8gF/hIZwUfe2CxM951jzxzW/sG+Lv8Ac8gj/hMfwFf8M/8C+cFnzrgtTPrH2a7f3S/iE+KTsWg+9ReKDh8nf2q6rIUzuH+DxcgcPcA2dC"
        + "PxdZ+3BW68guIL4IL8HL8Aq8ClfhGlyHG3CUu+JM5McvROLof6sHton8GrwOb8Cb8Ba8De/ALXgX3oMt3Ib34Q7cLfnYma7pmSnls+kj",
        Zlib = "eNpjYkxkUtrPxMDAwMhwhpGBQQbI2gXEcUB2IpCuiHt7sF2wCcja+Nf8aFMS45Gi53L+kxIZFjxjcDgn2DBHmMEynaHIjaFIj+FJDOOJmQwndjJOKGZXeM"
        + "7ocE64YY5kwxzWhjmiDXPEGSylGSzzGYrsGJ7UMJ74yfjmhDzHN9spplBLFIEWMjQsePD/vBwjFwN+IPEgqkEgCaqRnekgkGV4ZYWU6b//V8TeW3hOe2q/"
        + "BmgJw4mbDBM2syqkszucA7pVrmEOM4OlO0ORH8OTHoYncyBuZZhQzKrwnM3hnCzYrewMlv4MRXEMT/Yw1u0LdztcawW1xRDoPB6mBc6/082OlTFwMjAc4G"
        + "fF48IGZ+Ygjc8FWVDdFyWdgGIHxaUnCE3c8r/n24/9u6XdvdQYiuQYnpxheGLDeKKSccJmhgmf2RTSgQ5mVnjO7HCOz+EcMAzFgUHcMEeewRIYgP8ZcVjX"
        + "lXdMa/M8ALMOhCk=",
        Lz4Bits = "eNpd0UlSAkEQheGsohoR0GZolNHShj1X4Z4M7Q04jtiATKKIQhOygfozIhdfvMjcPK06Ohxr+d84JRKIyJsS6U5SWpLLjOy748jG8BSewXP4A17AS3gFr+"
        + "EN/Alv4S/4G97BP/Ae/oX/4AN8hBPXXTEoQOFAw25hka+u+Wo9J+73POOZ9Llqk3aiob3B5wx8C2fhHJyH7+B72IcLcBEuwWU4gCvwA/wIV+EaXIcbcBNu"
        + "wU+whZ/hFziE244HPdM2HXMCmNbhfA==",
        BloscLz = "eNpjYmRkWsDPwADC7gwMDCJALAHEyi+A4MF/ELjMzPji5YP/LxiYXr58KQySYwYCiNz//8eZmYA8AE/jHJI=",
        Snappy = "eNpjYnRkWsDPwADCzxgYGESAOA2IL/AzvPjHyEA5ymJkYHiJVeYUI0MKxCZmqtiEC1kxMgAADj1FLw==";

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string> Compressors => new()
    {
        { "null", "" },
        { """{"id":"zlib","level":1}""", "zlib" },
        { """{"id":"gzip","level":5}""", "gzip" },
        { """{"id":"zstd","level":1}""", "zstd" },
        { """{"id":"blosc","cname":"lz4","clevel":5,"shuffle":1,"blocksize":0}""", "blosc-lz4" },
        { """{"id":"blosc","cname":"zstd","clevel":5,"shuffle":1}""", "blosc-zstd" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Compressors))]
    public void Every_type_order_and_separator_reads_as_it_was_written(string compressor, string encoding)
    {
        foreach (string dtype in (string[])["|u1", "<u2", ">u2", "<f4", ">f4"])
        {
            foreach (string? separator in (string?[])[".", "/", null])
            {
                Write("czyx", [2, 3, 21, 34], [1, 2, 16, 16], dtype, compressor, encoding, separator);
                Check("czyx", [2, 3, 21, 34]);
            }
        }
    }

    [Theory]
    [InlineData("yx", new[] { 21, 34 }, new[] { 8, 40 })]
    [InlineData("zyx", new[] { 5, 21, 34 }, new[] { 2, 16, 16 })]
    [InlineData("cyx", new[] { 3, 21, 34 }, new[] { 2, 16, 16 })]
    [InlineData("czyx", new[] { 3, 5, 21, 34 }, new[] { 3, 5, 21, 34 })]
    [InlineData("tczyx", new[] { 1, 3, 5, 21, 34 }, new[] { 1, 2, 3, 7, 9 })]
    [InlineData("tyx", new[] { 1, 21, 34 }, new[] { 4, 16, 16 })]
    public void Every_set_of_axes_is_read_in_any_chunks(string axes, int[] shape, int[] chunks)
    {
        Write(axes, shape, chunks, "<u2", "null", "", "/");
        Check(axes, shape);
    }

    [Fact]
    public void Channels_are_chosen_by_number_and_name_and_sizes_are_told()
    {
        Write("czyx", [2, 3, 21, 34], [1, 1, 16, 16], "<u2", "null", "", "/");
        using var named = ImageReader.Open(_folder.File("a.zarr") + "#channel=L1");
        Assert.Equal(("L1", 0.5, 0.25, 2.0), (named.Info.ChannelName, named.Info.PhysicalSizeX, named.Info.PhysicalSizeY, named.Info.PhysicalSizeZ));
        Assert.Equal((34, 21, 3, PixelType.UInt16), (named.Info.Width, named.Info.Height, named.Info.Planes, named.Info.PixelType));
        Refused("has no channel 2", "#channel=2");
        Refused("has no channel x", "#channel=x");
    }

    [Fact]
    public void Frames_of_c_blosc_are_read_with_split_blocks_too()
    {
        byte[] values = new byte[180_002], back = new byte[values.Length];
        for (int i = 0; i < values.Length / 2; i++)
            BinaryPrimitives.WriteUInt16LittleEndian(values.AsSpan(2 * i), (ushort)(1000 + i / 1500));
        foreach (string text in (string[])[Lz4, Lz4Unshuffled, Zlib])
        {
            byte[] frame = Inflate(text);
            Assert.Equal((0, 65_536), (frame[2] & 0x10, BinaryPrimitives.ReadInt32LittleEndian(frame.AsSpan(8))));
            Array.Clear(back);
            BloscFrame.Decompress(frame, back);
            Assert.Equal(values, back);
            for (int length = 0; length < frame.Length; length++)
                Assert.Throws<InvalidDataException>(() => BloscFrame.Decompress(frame.AsSpan(0, length), back));

            // Damage ends in values or in a refusal, never in another exception.
            for (int i = 0; i < frame.Length; i++)
            {
                foreach (byte flip in (byte[])[1, 0x80, 0xFF])
                {
                    byte[] copy = [.. frame];
                    copy[i] ^= flip;
                    Assert.True(Record.Exception(() => BloscFrame.Decompress(copy, back)) is null or InvalidDataException);
                }
            }
        }

        Assert.Contains("bitshuffle", Assert.Throws<InvalidDataException>(() => BloscFrame.Decompress(Inflate(Lz4Bits), back)).Message, StringComparison.Ordinal);
        foreach (var (text, name) in new[] { (BloscLz, "blosclz"), (Snappy, "snappy") })
            Assert.Contains(name, Assert.Throws<InvalidDataException>(() => BloscFrame.Decompress(Inflate(text), new byte[4000])).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("compressor", """{"id":"blosc","cname":"blosclz","shuffle":1}""", "blosc with blosclz")]
    [InlineData("compressor", """{"id":"blosc","cname":"snappy","shuffle":1}""", "blosc with snappy")]
    [InlineData("compressor", """{"id":"blosc","cname":"lz4","shuffle":2}""", "blosc with lz4 and bitshuffle")]
    [InlineData("compressor", """{"id":"blosc"}""", "blosc with no codec")]
    [InlineData("compressor", """{"id":"blosc","cname":"lz4","shuffle":9}""", "unknown shuffle 9")]
    [InlineData("compressor", """{"id":"blosc","cname":7}""", "not OME-Zarr 0.4")]
    [InlineData("compressor", """{"id":"lzma"}""", "compressed with lzma")]
    [InlineData("compressor", "3", "not OME-Zarr 0.4")]
    [InlineData("dtype", "\"<i2\"", "<i2 pixels")]
    [InlineData("dtype", "[[\"a\",\"<u2\"]]", "not OME-Zarr 0.4")]
    [InlineData("dtype", "null", "pixels; u1, u2 and f4")]
    [InlineData("shape", "[2,2,3,21,34]", "2 time points")]
    [InlineData("shape", "[1,2,3,21]", "4 dimensions")]
    [InlineData("shape", "[1,2,3,0,34]", "the shape 1x2x3x0x34")]
    [InlineData("shape", "[1,2,3,-5,34]", "the shape 1x2x3x-5x34")]
    [InlineData("shape", "[1,2,3,1e30,34]", "not OME-Zarr 0.4")]
    [InlineData("shape", "[1,2,3,null,34]", "not OME-Zarr 0.4")]
    [InlineData("shape", "[1,2,3,2000000000,2000000000]", "more than the")]
    [InlineData("shape", "[1,2,2000000000,21,34]", "2000000000 planes")]
    [InlineData("shape", "[1,2000000000,3,21,34]", "2000000000 channels")]
    [InlineData("chunks", "[1,2147483647,2147483647,2147483647,2147483647]", "bytes when decoded")]
    [InlineData("chunks", "[1,1,1,65536,65536]", "bytes when decoded")]
    [InlineData("chunks", "\"all\"", "has no chunks")]
    [InlineData("order", "\"F\"", "C order")]
    [InlineData("filters", """[{"id":"delta"}]""", "without filters")]
    [InlineData("zarr_format", "3", "not Zarr v2")]
    [InlineData("dimension_separator", "\"..\"", "unknown dimension_separator")]
    public void Arrays_of_another_kind_are_refused_at_open(string member, string json, string why)
    {
        Write("tczyx", [1, 2, 3, 21, 34], [1, 1, 1, 16, 16], "<u2", "null", "", "/");
        string path = _folder.File("a.zarr", "0", ".zarray");
        var array = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        array[member] = JsonNode.Parse(json);
        File.WriteAllText(path, array.ToJsonString());
        Refused(why);
    }

    [Theory]
    [InlineData("0/.zarray", "[", "not readable as JSON")]
    [InlineData("0/.zarray", "[]", "is no object")]
    [InlineData("0/.zarray", """{"shape":[1],"shape":[2]}""", "not readable as JSON")]
    [InlineData("0/.zarray", null, "lacks the .zarray")]
    [InlineData(".zattrs", null, "no .zattrs")]
    [InlineData(".zattrs", "3", "no multiscales")]
    [InlineData(".zattrs", """{"multiscales":[]}""", "no multiscales")]
    [InlineData(".zattrs", """{"multiscales":{"0":1}}""", "no multiscales")]
    [InlineData(".zattrs", """{"multiscales":[{"datasets":[{"path":"../b"}]}]}""", "not below it")]
    [InlineData(".zattrs", """{"multiscales":[{"datasets":[{"path":"/etc"}]}]}""", "not below it")]
    [InlineData(".zattrs", """{"multiscales":[{"datasets":[{"path":"link"}]}]}""", "not below it")]
    [InlineData(".zattrs", """{"multiscales":[{"datasets":3}]}""", "not below it")]
    [InlineData(".zattrs", """{"multiscales":[{"axes":[{"name":"x"},{"name":"y"}],"datasets":[{"path":"0"}]}]}""", "the axes \"xy\"")]
    [InlineData(".zattrs", """{"multiscales":[{"axes":["y","x"],"datasets":[{"path":"0"}]}]}""", "not OME-Zarr 0.4")]
    public void Hostile_metadata_are_refused(string file, string? text, string why)
    {
        Write("yx", [21, 34], [16, 16], "<u2", "null", "", "/");
        Directory.CreateSymbolicLink(_folder.File("a.zarr", "link"), _folder.File("a.zarr", "0"));
        string path = _folder.File(["a.zarr", .. file.Split('/')]);
        File.Delete(path);
        if (text is not null)
            File.WriteAllText(path, text);
        Refused(why);
    }

    [Fact]
    public void Large_metadata_take_little_memory()
    {
        Write("yx", [21, 34], [16, 16], "<u2", "null", "", "/");
        foreach (string file in (string[])["0/.zarray", ".zattrs"])
        {
            string path = _folder.File(["a.zarr", .. file.Split('/')]);
            byte[] before = File.ReadAllBytes(path);
            using (var stream = File.OpenWrite(path))
                stream.SetLength(40L << 20);
            long held = GC.GetAllocatedBytesForCurrentThread();
            Refused("is larger than 16 MB");
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - held, 0, 1 << 20);
            File.WriteAllBytes(path, before);
        }

        // A name of a megabyte is not repeated to the user as a whole.
        File.WriteAllText(_folder.File("a.zarr", ".zattrs"), $$"""{"multiscales":[{"datasets":[{"path":"{{new string('p', 1 << 20)}}"}]}]}""");
        Assert.InRange(Refused("not below it").Length, 0, 2000);
    }

    [Theory]
    [MemberData(nameof(Compressors))]
    public void A_missing_or_damaged_chunk_is_named(string compressor, string encoding)
    {
        Write("zyx", [2, 21, 34], [1, 16, 16], "<u2", compressor, encoding, ".");
        string path = _folder.File("a.zarr", "0", "1.1.2");
        byte[] chunk = File.ReadAllBytes(path);
        var random = new Random(1);
        float[] pixels = new float[2 * 5];

        // Where only the checksum at the end and the mark before it are cut off, the values are still whole.
        int whole = chunk.Length - (encoding switch { "zlib" => 4 + 2, "gzip" => 8 + 2, _ => 0 });
        for (int length = 0; length < whole; length++)
            Damaged(chunk[..length], "1.1.2 is damaged");
        Damaged([.. chunk, .. chunk], encoding == "zlib" ? null : "1.1.2 is damaged");
        Damaged(new byte[100_000], "far larger");
        for (int i = 0; i < 300; i++)
        {
            byte[] copy = [.. chunk];
            copy[random.Next(copy.Length)] ^= (byte)random.Next(1, 256);
            Damaged(copy, null);
        }

        File.Delete(path);
        Damaged(null, "1.1.2 is missing");
        File.CreateSymbolicLink(path, _folder.File("a.zarr", "0", "0.1.2"));
        Damaged(null, "1.1.2 is missing");
        File.Delete(path);
        Directory.CreateDirectory(path);
        Damaged(null, "1.1.2 is missing");

        void Damaged(byte[]? content, string? why)
        {
            if (content is not null)
                File.WriteAllBytes(path, content);

            // A chunk without a checksum may decode to other values; nothing but an ImageException may come.
            using var again = ImageReader.Open(_folder.File("a.zarr"));
            var exception = Record.Exception(() => again.Read(1, new Region(32, 16, 2, 5), pixels));
            if (why is null && exception is null)
                return;
            string message = Assert.IsType<ImageException>(exception).Message;
            Assert.Contains(why ?? "1.1.2 is damaged", message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', message);
        }
    }

    [Fact]
    public void A_chunk_that_swells_stops_at_its_size()
    {
        Write("yx", [16, 16], [16, 16], "<u2", """{"id":"gzip"}""", "gzip", "/");
        string path = _folder.File("a.zarr", "0", "0", "0");
        byte[] bomb = Encode(new byte[4 << 20], 2, "gzip");
        Assert.InRange(bomb.Length, 0, 2 * 512 + 4096);
        File.WriteAllBytes(path, bomb);
        using var image = ImageReader.Open(_folder.File("a.zarr"));
        float[] pixels = new float[256];
        long held = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("more than 512 bytes", Assert.Throws<ImageException>(() => image.Read(0, new Region(0, 0, 16, 16), pixels)).Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - held, 0, 1 << 20);
    }

    [Fact]
    public void A_float_that_is_no_number_is_refused()
    {
        Write("yx", [16, 16], [16, 16], "<f4", "null", "", "/");
        string path = _folder.File("a.zarr", "0", "0", "0");
        byte[] chunk = File.ReadAllBytes(path);
        BinaryPrimitives.WriteSingleLittleEndian(chunk.AsSpan(4 * (16 * 3 + 5)), float.NaN);
        File.WriteAllBytes(path, chunk);
        using var image = ImageReader.Open(_folder.File("a.zarr"));
        Assert.Contains("x 5, y 3", Assert.Throws<ImageException>(() => image.Read(0, new Region(0, 0, 16, 16), new float[256])).Message, StringComparison.Ordinal);
    }

    private static int Value(string axes, int[] at) =>
        axes.Zip(at).Sum(axis => axis.Second * axis.First switch { 'c' => 61, 'z' => 29, 'y' => 5, 'x' => 1, _ => 0 }) % 251;

    private void Check(string axes, int[] shape)
    {
        int channels = axes.Contains('c') ? shape[axes.IndexOf('c')] : 1, planes = axes.Contains('z') ? shape[axes.IndexOf('z')] : 1;
        for (int channel = 0; channel < channels; channel++)
        {
            using var image = ImageReader.Open(_folder.File("a.zarr") + $"#channel={channel}");
            Assert.Equal(planes, image.Info.Planes);
            for (int plane = 0; plane < planes; plane++)
            {
                foreach (var region in new[] { new Region(0, 0, image.Info.Width, image.Info.Height), new Region(7, 5, 20, 13), new Region(33, 20, 1, 1) })
                {
                    float[] pixels = new float[region.Area];
                    image.Read(plane, region, pixels);
                    Assert.Equal(
                        from y in Enumerable.Range(region.Y, region.Height)
                        from x in Enumerable.Range(region.X, region.Width)
                        select (float)Value(axes, [.. axes.Select(axis => axis switch { 'c' => channel, 'z' => plane, 'y' => y, 'x' => x, _ => 0 })]), pixels);
                }
            }
        }
    }

    private string Refused(string why, string channel = "")
    {
        string message = Assert.Throws<ImageException>(() => ImageReader.Open(_folder.File("a.zarr") + channel)).Message;
        Assert.Contains(why, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
        return message;
    }

    private void Write(string axes, int[] shape, int[] chunks, string dtype, string compressor, string encoding, string? separator)
    {
        string folder = _folder.File("a.zarr");
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.CreateDirectory(Path.Combine(folder, "0"));
        double[] scale = [.. axes.Select(axis => axis switch { 'x' => 0.5, 'y' => 0.25, 'z' => 2, _ => 1 })];
        File.WriteAllText(Path.Combine(folder, ".zattrs"), new JsonObject
        {
            ["multiscales"] = new JsonArray(new JsonObject
            {
                ["version"] = "0.4",
                ["axes"] = new JsonArray([.. axes.Select(axis => new JsonObject { ["name"] = axis.ToString(), ["unit"] = axis is 'c' or 't' ? null : "micrometer" })]),
                ["datasets"] = new JsonArray(new JsonObject
                {
                    ["path"] = "0",
                    ["coordinateTransformations"] = new JsonArray(new JsonObject { ["type"] = "scale", ["scale"] = new JsonArray([.. scale.Select(value => (JsonNode)value)]) }),
                }),
            }),
            ["omero"] = new JsonObject { ["channels"] = new JsonArray(new JsonObject { ["label"] = "L0" }, new JsonObject { ["label"] = "L1" }) },
        }.ToJsonString());
        var array = new JsonObject
        {
            ["zarr_format"] = 2,
            ["shape"] = new JsonArray([.. shape.Select(value => (JsonNode)value)]),
            ["chunks"] = new JsonArray([.. chunks.Select(value => (JsonNode)value)]),
            ["dtype"] = dtype,
            ["compressor"] = JsonNode.Parse(compressor),
            ["fill_value"] = 0,
            ["order"] = "C",
            ["filters"] = null,
        };
        if (separator is not null)
            array["dimension_separator"] = separator;
        File.WriteAllText(Path.Combine(folder, "0", ".zarray"), array.ToJsonString());
        int size = dtype[2] - '0';
        foreach (int[] index in Indices([.. shape.Zip(chunks, (extent, chunk) => (extent - 1) / chunk + 1)]))
        {
            byte[] raw = new byte[size * chunks.Aggregate(1, (product, extent) => product * extent)];
            int place = 0;
            foreach (int[] inside in Indices(chunks))
            {
                var target = raw.AsSpan(size * place++, size);
                int value = Value(axes, [.. inside.Select((at, axis) => index[axis] * chunks[axis] + at)]);
                if (size == 1)
                    target[0] = (byte)value;
                else if (size == 2)
                    BinaryPrimitives.WriteUInt16LittleEndian(target, (ushort)value);
                else
                    BinaryPrimitives.WriteSingleLittleEndian(target, value);
                if (dtype[0] == '>')
                    target.Reverse();
            }

            string path = Path.Combine(folder, "0", string.Join(separator ?? ".", index.Select(i => i.ToString(CultureInfo.InvariantCulture))));
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes(path, Encode(raw, size, encoding));
        }
    }

    private static IEnumerable<int[]> Indices(int[] extents)
    {
        for (int i = 0; i < extents.Aggregate(1, (product, extent) => product * extent); i++)
        {
            int[] index = new int[extents.Length];
            for (int axis = extents.Length - 1, rest = i; axis >= 0; rest /= extents[axis--])
                index[axis] = rest % extents[axis];
            yield return index;
        }
    }

    private static byte[] Encode(byte[] raw, int size, string encoding)
    {
        using var memory = new MemoryStream();
        switch (encoding)
        {
            case "":
                return raw;
            case "zlib":
                using (var zlib = new ZLibStream(memory, CompressionLevel.Optimal, leaveOpen: true))
                    zlib.Write(raw);
                return memory.ToArray();
            case "gzip":
                using (var gzip = new GZipStream(memory, CompressionLevel.Optimal, leaveOpen: true))
                    gzip.Write(raw);
                return memory.ToArray();
            case "zstd":
                using (var zstd = new ZstdSharp.Compressor())
                    return zstd.Wrap(raw).ToArray();
            case "blosc-zstd":
                return BloscFrame.Compress(raw, size);
            default:
                // As c-blosc writes lz4 by default: one block, each byte plane on its own.
                byte[] header = [2, 1, (1 << 5) | 1, (byte)size, .. new byte[16]];
                BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(4), raw.Length);
                BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(8), raw.Length);
                BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(16), header.Length);
                memory.Write(header);
                for (int plane = 0; plane < size; plane++)
                {
                    byte[] bytes = [.. raw.Where((_, i) => i % size == plane)], packed = new byte[LZ4Codec.MaximumOutputSize(bytes.Length)];
                    int length = LZ4Codec.Encode(bytes, packed);
                    byte[] stream = length < bytes.Length ? packed[..length] : bytes;
                    memory.Write(BitConverter.GetBytes(stream.Length));
                    memory.Write(stream);
                }

                byte[] frame = memory.ToArray();
                BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(12), frame.Length);
                return frame;
        }
    }

    private static byte[] Inflate(string text)
    {
        using var zlib = new ZLibStream(new MemoryStream(Convert.FromBase64String(text)), CompressionMode.Decompress);
        using var memory = new MemoryStream();
        zlib.CopyTo(memory);
        return memory.ToArray();
    }
}

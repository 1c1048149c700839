using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using StainGrid.Imaging.Zarr;
using StainGrid.TestSupport;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests;

public sealed class OmeZarrTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1, 1, 64)]
    [InlineData(64, 64, 64)]
    [InlineData(65, 63, 64)]
    [InlineData(301, 157, 64)]
    [InlineData(129, 257, 32)]
    public async Task A_pyramid_is_what_plain_loops_make_and_what_other_readers_read(int width, int height, int chunk)
    {
        var image = Image(width, height, chunk, channels: 3);
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        ushort[][] planes = [.. Enumerable.Range(0, 3).Select(c => Noise(width, height, c))];
        await WriteAsync(store, image, planes);

        var read = await Conformance.ReadOmeZarrAsync(store.Root, Stop);
        var zarrita = read.GetProperty("zarrita");
        Assert.Empty(zarrita.GetProperty("missing").EnumerateArray());
        Assert.Equal(image.Levels, zarrita.GetProperty("levels").GetArrayLength());
        var reader = await OmeZarrReader.OpenAsync(store, Stop);
        for (int level = 0; level < image.Levels; level++)
        {
            if (level > 0)
                planes = [.. planes.Select(plane => Half(plane, ref width, ref height, last: plane == planes[^1]))];
            (width, height) = image.LevelSize(level);
            string expected = Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes<ushort>(planes.SelectMany(plane => plane).ToArray())));
            foreach (string kind in new[] { "zarrita", "omeZarr" })
            {
                var theirs = read.GetProperty(kind).GetProperty("levels")[level];
                Assert.Equal([1, 3, 1, height, width], theirs.GetProperty("shape").EnumerateArray().Select(extent => extent.GetInt32()));
                Assert.Equal(expected, theirs.GetProperty("sha256").GetString());
            }

            for (int channel = 0; channel < 3; channel++)
                Assert.Equal(planes[channel], await reader.ReadAsync(level, channel, new Region(0, 0, width, height), Stop));
        }

        static ushort[] Half(ushort[] plane, ref int width, ref int height, bool last)
        {
            int toWidth = (width + 1) / 2, toHeight = (height + 1) / 2;
            ushort[] half = new ushort[toWidth * toHeight];
            for (int y = 0; y < toHeight; y++)
            {
                for (int x = 0; x < toWidth; x++)
                {
                    var below = new List<int>();
                    for (int dy = 0; dy < 2; dy++)
                    {
                        for (int dx = 0; dx < 2; dx++)
                        {
                            if (2 * x + dx < width && 2 * y + dy < height)
                                below.Add(plane[(2 * y + dy) * width + 2 * x + dx]);
                        }
                    }

                    half[y * toWidth + x] = (ushort)Math.Floor(below.Average() + 0.5);
                }
            }

            if (last)
                (width, height) = (toWidth, toHeight);
            return half;
        }
    }

    [Fact]
    public async Task Other_readers_see_names_colours_windows_and_pixel_size()
    {
        var image = Image(100, 80, 64, channels: 2) with
        {
            PhysicalSizeX = 0.325,
            PhysicalSizeY = 0.5,
            Attributes = new JsonObject { ["model"] = "m", ["stride"] = 64 },
        };
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        await WriteAsync(store, image, [Noise(100, 80, 0), Noise(100, 80, 1)]);
        var read = await Conformance.ReadOmeZarrAsync(store.Root, Stop);
        var zarrita = read.GetProperty("zarrita");
        Assert.Equal("0.4", zarrita.GetProperty("version").GetString());
        Assert.Equal("t:time: c:channel: z:space: y:space:micrometer x:space:micrometer", string.Join(' ', zarrita.GetProperty("axes").EnumerateArray().Select(
            axis => $"{axis.GetProperty("name")}:{axis.GetProperty("type")}:{(axis.TryGetProperty("unit", out var unit) ? unit.GetString() : "")}")));
        Assert.Equal([1, 1, 1, 0.5, 0.325], Scale(0));
        Assert.Equal([1, 1, 1, 1, 0.65], Scale(1));
        var second = zarrita.GetProperty("channels")[1];
        Assert.Equal("LABEL_1", second.GetProperty("label").GetString());
        Assert.Equal("00FF7F", second.GetProperty("color").GetString());
        Assert.Equal("{\"min\":0,\"max\":65535,\"start\":10,\"end\":1001}", second.GetProperty("window").GetRawText());
        Assert.Equal("{\"model\":\"m\",\"stride\":64}", zarrita.GetProperty("staingrid").GetRawText());
        Assert.Equal(["LABEL_0", "LABEL_1"], read.GetProperty("omeZarr").GetProperty("labels").EnumerateArray().Select(label => label.GetString()));

        double[] Scale(int level) => [.. zarrita.GetProperty("levels")[level].GetProperty("scale").EnumerateArray().Select(factor => factor.GetDouble())];
    }

    [Fact]
    public async Task A_reader_gives_back_what_was_written()
    {
        var image = Image(300, 200, 64, channels: 2) with { PhysicalSizeX = 0.25, PhysicalSizeY = 0.25, Attributes = new JsonObject { ["a"] = 1 } };
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        ushort[] plane = Noise(300, 200, 1);
        await WriteAsync(store, image, [Noise(300, 200, 0), plane]);
        var reader = await OmeZarrReader.OpenAsync(store, Stop);
        Assert.Equal(image.Channels, reader.Image.Channels);
        Assert.Equal((300, 200, 64, image.Levels, 0.25, 0.25, "image"), (reader.Image.Width, reader.Image.Height, reader.Image.ChunkSize,
            reader.Image.Levels, reader.Image.PhysicalSizeX, reader.Image.PhysicalSizeY, reader.Image.Name));
        Assert.Equal("{\"a\":1}", reader.Image.Attributes!.ToJsonString());
        foreach (var region in TestImages.Regions(300, 200))
        {
            Assert.Equal(Enumerable.Range(0, (int)region.Area).Select(i => plane[(region.Y + i / region.Width) * 300 + region.X + i % region.Width]),
                await reader.ReadAsync(0, 1, region, Stop));
        }

        Assert.Equal(Enumerable.Range(0, 50 * 60).Select(i => plane[(70 + i / 60) * 300 + 100 + i % 60]),
            await Conformance.ReadRegionAsync(store.Root, 0, 1, 100, 70, 60, 50, Stop));
    }

    [Fact]
    public async Task The_same_image_gives_the_same_bytes_in_a_folder_and_in_a_blob_service()
    {
        var image = Image(200, 150, 64, channels: 2);
        ushort[][] planes = [Noise(200, 150, 0), Noise(200, 150, 1)];
        await using var azurite = await AzuriteServer.StartAsync(Stop);
        var container = new Azure.Storage.Blobs.BlobContainerClient(azurite.ConnectionString, "images");
        await container.CreateAsync(cancellationToken: Stop);
        var folder = new FolderBlobStore(_folder.File("a.zarr"));
        var azure = new AzureBlobStore(container, "a.zarr");
        await WriteAsync(folder, image, planes);
        await WriteAsync(azure, image, planes);
        var keys = new List<string>();
        await foreach (string key in folder.ListAsync("", Stop))
        {
            keys.Add(key);
            Assert.Equal((await folder.ReadAsync(key, Stop))!.Value.ToArray(), (await azure.ReadAsync(key, Stop))!.Value.ToArray());
        }

        Assert.Equal(2 + 3 + 2 * (4 * 3 + 2 * 2 + 1), keys.Count);
        Assert.Equal(planes[1], await (await OmeZarrReader.OpenAsync(azure, Stop)).ReadAsync(0, 1, new Region(0, 0, 200, 150), Stop));
    }

    [Fact]
    public async Task An_image_that_was_not_finished_cannot_be_opened()
    {
        var image = Image(100, 80, 64, channels: 1);
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        var writer = new OmeZarrWriter(store, image);
        await WriteAsync(store, image, [Noise(100, 80, 0)]);
        await OmeZarrReader.OpenAsync(store, Stop);

        // Begun again: the former completion is taken back, the chunks stay.
        await writer.WriteArrayMetadataAsync(Stop);
        Assert.Contains("is incomplete", (await Assert.ThrowsAsync<ImageException>(() => OmeZarrReader.OpenAsync(store, Stop))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(() => Conformance.ReadOmeZarrAsync(store.Root, Stop));
        Assert.NotEmpty(await writer.ReadChunkAsync(0, 0, 1, 1, Stop));

        File.Delete(_folder.File("a.zarr", "0", "0", "0", "0", "1", "1"));
        foreach (var action in new Func<Task>[] { () => writer.CompleteAsync(Stop), () => writer.BuildPyramidAsync(null, Stop) })
            Assert.Contains("0/0/0/0/1/1 (LABEL_0, level 0, row 1, column 1) is missing", (await Assert.ThrowsAsync<ImageException>(action)).Message, StringComparison.Ordinal);
        Assert.False(await store.ExistsAsync(".zattrs", Stop));
    }

    [Fact]
    public async Task Chunks_with_flipped_bits_are_found()
    {
        var image = Image(64, 64, 64, channels: 1);
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        ushort[] smooth = [.. Enumerable.Range(0, 64 * 64).Select(i => (ushort)(1000 + i / 7))];
        await WriteAsync(store, image, [smooth]);
        var reader = await OmeZarrReader.OpenAsync(store, Stop);
        string path = _folder.File("a.zarr", "0", "0", "0", "0", "0", "0");
        byte[] frame = File.ReadAllBytes(path);
        int harmless = 0;
        for (int i = 0; i < frame.Length; i++)
        {
            byte[] copy = [.. frame];
            copy[i] ^= (byte)(1 << i % 8);
            File.WriteAllBytes(path, copy);
            try
            {
                Assert.Equal(smooth, await reader.ReadAsync(0, 0, new Region(0, 0, 64, 64), Stop));
                harmless++;
            }
            catch (ImageException exception)
            {
                Assert.Contains("0/0/0/0/0/0 is damaged", exception.Message, StringComparison.Ordinal);
            }
        }

        // A few bits of the headers (the codec's version) say nothing about the pixels.
        Assert.InRange(harmless, 0, 6);
        for (int length = 0; length < frame.Length; length++)
        {
            File.WriteAllBytes(path, frame.AsSpan(0, length));
            await Assert.ThrowsAsync<ImageException>(() => reader.ReadAsync(0, 0, new Region(0, 0, 64, 64), Stop));
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(1000)]
    [InlineData(65_537 * 2)]
    public void Blosc_frames_come_back_as_they_went(int length)
    {
        byte[] noise = new byte[length], back = new byte[length];
        new Random(1).NextBytes(noise);
        foreach (byte[] values in new[] { noise, new byte[length], [.. Enumerable.Range(0, length).Select(i => (byte)(i / 100))] })
        {
            byte[] frame = BloscFrame.Compress(values, 2);
            Assert.Equal(frame, BloscFrame.Compress(values, 2));
            Assert.InRange(frame.Length, 16, length + 24 + 16);
            BloscFrame.Decompress(frame, back);
            Assert.Equal(values, back);
        }
    }

    [Theory]
    [InlineData(".zattrs", "\"version\": \"0.4\"", "\"version\": \"0.5\"", "version 0.5")]
    [InlineData(".zattrs", "\"name\": \"z\"", "\"name\": \"q\"", "axes tcqyx")]
    [InlineData(".zattrs", "\"path\": \"0\"", "\"path\": \"../x\"", "level 0 at ../x")]
    [InlineData(".zattrs", "{", "", "not valid JSON")]
    [InlineData("0/.zarray", "\"<u2\"", "\"<f8\"", "dtype")]
    [InlineData("0/.zarray", "\"zstd\"", "\"lz4\"", "compressor")]
    [InlineData("0/.zarray", "\"C\"", "\"F\"", "order")]
    [InlineData("0/.zarray", "100", "2000000000", "2000000000")]
    [InlineData("0/.zarray", "64", "2000000000", "2000000000")]
    [InlineData("0/.zarray", "100", "1e99", "not OME-Zarr 0.4")]
    [InlineData("1/.zarray", "50", "51", "shape")]
    public async Task Metadata_of_another_kind_are_refused(string file, string from, string to, string said)
    {
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        await WriteAsync(store, Image(100, 80, 64, channels: 1), [Noise(100, 80, 0)]);
        string path = _folder.File(["a.zarr", .. file.Split('/')]);
        string text = File.ReadAllText(path);
        int at = text.IndexOf(from, StringComparison.Ordinal);
        File.WriteAllText(path, text[..at] + to + text[(at + from.Length)..]);
        var refused = await Assert.ThrowsAsync<ImageException>(() => OmeZarrReader.OpenAsync(store, Stop));
        Assert.Contains(said, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public async Task Images_that_cannot_be_are_not_written()
    {
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        var image = Image(100, 80, 64, channels: 1);
        Assert.Throws<ArgumentException>(() => new OmeZarrWriter(store, image with { Width = 0 }));
        Assert.Throws<ArgumentException>(() => new OmeZarrWriter(store, image with { Channels = [] }));
        Assert.Throws<ArgumentException>(() => new OmeZarrWriter(store, image with { PhysicalSizeX = 0 }));
        Assert.Throws<ArgumentException>(() => new OmeZarrWriter(store, image with { Channels = [new OmeZarrChannel("a", "#FF000")] }));
        Assert.Throws<ArgumentException>(() => new OmeZarrWriter(store, image with { Channels = [new OmeZarrChannel("a", End: double.NaN)] }));
        var writer = new OmeZarrWriter(store, image);
        await Assert.ThrowsAsync<ArgumentException>(() => writer.WriteChunkAsync(0, 0, 0, 0, new ushort[64 * 63], Stop));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => writer.WriteChunkAsync(0, 0, 2, 0, new ushort[64 * 64], Stop));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => writer.WriteChunkAsync(0, 1, 0, 0, new ushort[64 * 64], Stop));
        Assert.False(Directory.Exists(store.Root));
    }

    private static OmeZarrImage Image(int width, int height, int chunk, int channels) =>
        new("image", width, height, [.. Enumerable.Range(0, channels).Select(c => new OmeZarrChannel($"LABEL_{c}", c == 0 ? "0000FF" : "00FF7F", 0, 65_535, 10, 1000 + c))])
        {
            ChunkSize = chunk,
            Levels = OmeZarrImage.LevelsFor(width, height, chunk),
        };

    private static ushort[] Noise(int width, int height, int seed) =>
        [.. TestImages.Plane(width, height, 16, seed).Select((value, i) => i % 97 == 0 ? ushort.MaxValue : (ushort)value)];

    private static async Task WriteAsync(IBlobStore store, OmeZarrImage image, ushort[][] planes)
    {
        var writer = new OmeZarrWriter(store, image);
        await writer.WriteArrayMetadataAsync(Stop);
        var (rows, columns) = image.ChunkGrid(0);
        int side = image.ChunkSize;
        for (int channel = 0; channel < planes.Length; channel++)
        {
            for (int row = 0; row < rows; row++)
            {
                for (int column = 0; column < columns; column++)
                {
                    ushort[] chunk = new ushort[side * side];
                    for (int y = 0; y < Math.Min(side, image.Height - row * side); y++)
                    {
                        for (int x = 0; x < Math.Min(side, image.Width - column * side); x++)
                            chunk[y * side + x] = planes[channel][(row * side + y) * image.Width + column * side + x];
                    }

                    await writer.WriteChunkAsync(0, channel, row, column, chunk, Stop);
                }
            }
        }

        await writer.BuildPyramidAsync(null, Stop);
        await writer.CompleteAsync(Stop);
    }
}

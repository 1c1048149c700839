using NetVips;
using StainGrid.Imaging.Reading;
using StainGrid.TestSupport;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests;

public sealed class ReadingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> RealFiles =>
    [
        "phase16_be_deflate.tif", "phase16_be_strip_none.tif", "phase16_bigtiff.tif", "phase16_bigtiff_tiled_deflate.tif",
        "phase16_bigtiff_tiled_lzw_pred2.tif", "phase16_deflate_predictor2.tif", "phase16_le_strip_none.tif", "phase16_lzw.tif",
        "phase16_lzw_predictor2.tif", "phase16_miniswhite.tif", "phase16_packbits.tif", "phase16_tiled64_deflate.tif",
        "phase16_tiled64_none.tif",
    ];

    /// <summary>Byte order, kind, depth, compression and predictor, strips and tiles, each with each.</summary>
    public static TheoryData<bool, bool, int, int, int, int, int> Flavours()
    {
        bool[] both = [false, true];
        int[] depths = [8, 16, 32];
        (int, int)[] methods = [(1, 1), (8, 1), (8, 2), (8, 3), (32946, 1), (32773, 1)];
        (int, int)[] layouts = [(1, 0), (7, 0), (61, 0), (0, 16), (0, 96)];
        var rows = new TheoryData<bool, bool, int, int, int, int, int>();
        foreach (bool bigEndian in both)
        {
            foreach (bool big in both)
            {
                foreach (int bits in depths)
                {
                    foreach (var (compression, predictor) in methods)
                    {
                        foreach (var (rowsPerStrip, tile) in layouts)
                        {
                            if (predictor != 3 || bits == 32)
                                rows.Add(bigEndian, big, bits, compression, predictor, rowsPerStrip, tile);
                        }
                    }
                }
            }
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(RealFiles))]
    public void One_real_image_in_every_format_has_the_same_pixels(string name)
    {
        float[] expected = TestImages.Vips(SharedData.File("formats", "phase16.png"));
        using var image = ImageReader.Open(SharedData.File("formats", name));
        Assert.Equal((256, 256, 1, PixelType.UInt16), (image.Info.Width, image.Info.Height, image.Info.Planes, image.Info.PixelType));
        Assert.Equal(name.Contains("bigtiff", StringComparison.Ordinal) ? "BigTIFF" : "TIFF", image.Info.Format);
        TestImages.AssertRegionsEqual(image, 0, expected);
    }

    [Fact]
    public void A_real_png_has_the_pixels_of_another_decoder()
    {
        string path = SharedData.File("formats", "phase16.png");
        using var image = ImageReader.Open(path);
        TestImages.AssertRegionsEqual(image, 0, TestImages.Vips(path));
    }

    [Fact]
    public void A_real_z_stack_has_thirteen_planes_as_another_decoder_reads_them()
    {
        string path = SharedData.File("formats", "phase16_zstack13_multipage_plain.tif");
        using var image = ImageReader.Open(path);
        Assert.Equal(13, image.Info.Planes);
        for (int plane = 0; plane < 13; plane++)
            TestImages.AssertRegionsEqual(image, plane, TestImages.Vips(path, plane));
    }

    [Theory]
    [MemberData(nameof(Flavours))]
    public void Every_flavour_has_the_pixels_that_were_written_and_that_another_decoder_reads(
        bool bigEndian, bool big, int bits, int compression, int predictor, int rowsPerStrip, int tile)
    {
        const int width = 83, height = 61;
        double[] plane = TestImages.Plane(width, height, bits);
        var builder = new TiffBuilder(width, height)
        {
            BigEndian = bigEndian,
            Big = big,
            Bits = bits,
            SampleFormat = bits == 32 ? 3 : 1,
            Compression = compression,
            Predictor = predictor,
            RowsPerStrip = tile == 0 ? rowsPerStrip : null,
            Tile = tile == 0 ? null : (tile, 32),
        };
        string path = _folder.File("made.tif");
        File.WriteAllBytes(path, builder.Build(plane));
        using var image = ImageReader.Open(path);
        float[] expected = [.. plane.Select(value => (float)value)];
        TestImages.AssertRegionsEqual(image, 0, expected);
        Assert.Equal(expected, TestImages.Vips(path));
    }

    [Theory]
    [InlineData(Enums.BandFormat.Uchar, Enums.ForeignTiffCompression.Lzw, Enums.ForeignTiffPredictor.None, false, false)]
    [InlineData(Enums.BandFormat.Uchar, Enums.ForeignTiffCompression.Lzw, Enums.ForeignTiffPredictor.Horizontal, true, false)]
    [InlineData(Enums.BandFormat.Ushort, Enums.ForeignTiffCompression.Lzw, Enums.ForeignTiffPredictor.Horizontal, true, true)]
    [InlineData(Enums.BandFormat.Ushort, Enums.ForeignTiffCompression.Deflate, Enums.ForeignTiffPredictor.Horizontal, false, true)]
    [InlineData(Enums.BandFormat.Ushort, Enums.ForeignTiffCompression.Packbits, Enums.ForeignTiffPredictor.None, true, false)]
    [InlineData(Enums.BandFormat.Float, Enums.ForeignTiffCompression.Lzw, Enums.ForeignTiffPredictor.Float, true, false)]
    [InlineData(Enums.BandFormat.Float, Enums.ForeignTiffCompression.Deflate, Enums.ForeignTiffPredictor.Float, false, false)]
    [InlineData(Enums.BandFormat.Float, Enums.ForeignTiffCompression.None, Enums.ForeignTiffPredictor.None, false, true)]
    public void Files_of_libvips_have_the_pixels_that_were_written(
        Enums.BandFormat format, Enums.ForeignTiffCompression compression, Enums.ForeignTiffPredictor predictor, bool tile, bool big)
    {
        const int width = 301, height = 157;
        int bits = format == Enums.BandFormat.Uchar ? 8 : format == Enums.BandFormat.Ushort ? 16 : 32;
        float[] expected = [.. TestImages.Plane(width, height, bits).Select(value => (float)value)];
        using var floats = Image.NewFromMemory(expected, width, height, 1, Enums.BandFormat.Float);
        using var typed = floats.Cast(format);
        using var grey = typed.Copy(interpretation: bits == 16 ? Enums.Interpretation.Grey16 : Enums.Interpretation.Bw);
        string path = _folder.File("vips.tif");
        grey.Tiffsave(path, compression: compression, predictor: predictor, tile: tile, bigtiff: big, tileWidth: 64, tileHeight: 48);
        using var image = ImageReader.Open(path);
        TestImages.AssertRegionsEqual(image, 0, expected);
    }

    [Fact]
    public void Pyramid_levels_beside_the_image_are_not_planes()
    {
        double[] plane = TestImages.Plane(40, 30, 16);
        File.WriteAllBytes(_folder.File("a.tif"), new TiffBuilder(40, 30) { Reduced = [1] }.Build(plane, plane));
        using var image = ImageReader.Open(_folder.File("a.tif"));
        Assert.Equal(1, image.Info.Planes);
    }

    [Theory]
    [InlineData("0.325", "", 0.325)]
    [InlineData("325", "nm", 0.325)]
    [InlineData("0.000325", "mm", 0.325)]
    [InlineData("1", "pixel", null)]
    [InlineData("-1", "", null)]
    [InlineData("NaN", "", null)]
    public void Ome_xml_gives_pixel_size_and_planes(string size, string unit, double? expected)
    {
        string unitX = unit.Length > 0 ? $"PhysicalSizeXUnit=\"{unit}\"" : "";
        File.WriteAllBytes(_folder.File("a.ome.tif"), new TiffBuilder(40, 30)
        {
            Description = Ome(40, 30, 3, attributes: $"PhysicalSizeX=\"{size}\" {unitX} PhysicalSizeY=\"0.5\" PhysicalSizeYUnit=\"µm\""),
        }.Build(TestImages.Plane(40, 30, 16, 1), TestImages.Plane(40, 30, 16, 2), TestImages.Plane(40, 30, 16, 3)));
        using var image = ImageReader.Open(_folder.File("a.ome.tif"));
        Assert.Equal(("OME-TIFF", 3), (image.Info.Format, image.Info.Planes));
        Assert.Equal(expected, image.Info.PhysicalSizeX is { } x ? Math.Round(x, 9) : null);
        Assert.Equal(0.5, image.Info.PhysicalSizeY);
        Assert.Equal("Phase", image.Info.ChannelName);
    }

    [Fact]
    public void Ome_xml_may_put_planes_on_pages_in_another_order()
    {
        double[][] planes = [.. Enumerable.Range(0, 3).Select(i => TestImages.Plane(40, 30, 16, i))];
        File.WriteAllBytes(_folder.File("a.ome.tif"), new TiffBuilder(40, 30)
        {
            Description = Ome(40, 30, 3, data: """<TiffData IFD="0" FirstZ="2"/><TiffData IFD="1" FirstZ="0" PlaneCount="1"/><TiffData IFD="2" FirstZ="1"/>"""),
        }.Build(planes));
        using var image = ImageReader.Open(_folder.File("a.ome.tif"));
        for (int plane = 0; plane < 3; plane++)
            Assert.Equal(planes[(plane + 1) % 3].Select(value => (float)value), TestImages.ReadAll(image, plane));
    }

    [Theory]
    [InlineData(5, "", "", "5 planes")]
    [InlineData(2, "", "", "2 planes")]
    [InlineData(3, "SizeC=\"2\"", "", "2 channels")]
    [InlineData(3, "SizeT=\"4\"", "", "4 time points")]
    [InlineData(3, "", "<TiffData IFD=\"2\" FirstZ=\"0\" PlaneCount=\"3\"/>", "page 4 of 3")]
    [InlineData(3, "", "<TiffData IFD=\"2147483647\" FirstZ=\"0\"/>", "page 2147483648 of 3")]
    [InlineData(3, "", "<TiffData IFD=\"0\" FirstZ=\"0\"/>", "plane 2 of 3 on no page")]
    [InlineData(3, "SizeX=\"41\"", "", "41x30")]
    [InlineData(3, "SizeX=\"many\"", "", "SizeX is many")]
    public void Ome_xml_that_does_not_fit_the_pages_is_refused(int sizeZ, string change, string data, string said)
    {
        string ome = Ome(40, 30, sizeZ, data: data);
        if (change.Length > 0)
            ome = System.Text.RegularExpressions.Regex.Replace(ome, change.Split('=')[0] + "=\"\\d+\"", change);
        double[] plane = TestImages.Plane(40, 30, 16);
        File.WriteAllBytes(_folder.File("a.ome.tif"), new TiffBuilder(40, 30) { Description = ome }.Build(plane, plane, plane));
        Assert.Contains(said, TestImages.Refusal(_folder.File("a.ome.tif")), StringComparison.Ordinal);
    }

    [Fact]
    public void ImageJ_stacks_give_pixel_size_and_planes()
    {
        double[] plane = TestImages.Plane(40, 30, 16);
        File.WriteAllBytes(_folder.File("a.tif"), new TiffBuilder(40, 30)
        {
            Description = "ImageJ=1.53\nimages=2\nslices=2\nunit=micron\nspacing=0.75\n",
            Resolution = (4_000_000, 1_000_000),
        }.Build(plane, plane));
        using var image = ImageReader.Open(_folder.File("a.tif"));
        Assert.Equal((2, 0.25, 0.25, 0.75), (image.Info.Planes, image.Info.PhysicalSizeX, image.Info.PhysicalSizeY, image.Info.PhysicalSizeZ));
    }

    [Theory]
    [InlineData("images=13\nslices=13\n", "1 of the 13 pages")]
    [InlineData("images=1\nchannels=3\n", "3 channels")]
    [InlineData("images=1\nframes=9\n", "9 time points")]
    public void ImageJ_stacks_that_one_page_stands_for_are_refused(string description, string said)
    {
        File.WriteAllBytes(_folder.File("a.tif"), new TiffBuilder(40, 30) { Description = "ImageJ=1.53\n" + description }.Build(TestImages.Plane(40, 30, 16)));
        Assert.Contains(said, TestImages.Refusal(_folder.File("a.tif")), StringComparison.Ordinal);
    }

    [Fact]
    public void Files_of_one_plane_each_make_a_stack()
    {
        string[] paths = [.. Enumerable.Range(0, 3).Select(i => _folder.File($"z{i}.png"))];
        for (int i = 0; i < 3; i++)
            PngWriter.WriteGrey16(paths[i], [.. TestImages.Plane(40, 30, 16, i).Select(value => (ushort)value)], 40, 30);
        using var image = ImageReader.OpenStack(paths);
        Assert.Equal(3, image.Info.Planes);
        Assert.Equal(paths, image.Info.Files);
        for (int i = 0; i < 3; i++)
            TestImages.AssertRegionsEqual(image, i, [.. TestImages.Plane(40, 30, 16, i).Select(value => (float)value)]);
    }

    [Fact]
    public void A_file_that_does_not_fit_its_stack_is_named()
    {
        PngWriter.WriteGrey16(_folder.File("a.png"), new ushort[1200], 40, 30);
        PngWriter.WriteGrey16(_folder.File("wide.png"), new ushort[1230], 41, 30);
        PngWriter.WriteGrey8(_folder.File("eight.png"), new byte[1200], 40, 30);
        double[] plane = TestImages.Plane(40, 30, 16);
        File.WriteAllBytes(_folder.File("pages.tif"), new TiffBuilder(40, 30).Build(plane, plane));
        Assert.Contains("wide.png is 41x30", Refused("a.png", "wide.png"), StringComparison.Ordinal);
        Assert.Contains("eight.png has UInt8", Refused("a.png", "eight.png"), StringComparison.Ordinal);
        Assert.Contains("pages.tif has 2 planes", Refused("pages.tif", "a.png"), StringComparison.Ordinal);
        Assert.Contains("gone.png", Refused("a.png", "gone.png"), StringComparison.Ordinal);

        string Refused(params string[] names) =>
            Assert.Throws<ImageException>(() => ImageReader.OpenStack([.. names.Select(name => _folder.File(name))])).Message;
    }

    [Fact]
    public void Decoded_pieces_are_held_up_to_the_capacity_and_the_last_used_stay()
    {
        var cache = new DecodedCache(capacity: 30);
        var decoded = new List<long>();
        object first = new(), second = new();
        Get(first, 0);
        Get(first, 1);
        Get(second, 0);
        Get(first, 0);
        Assert.Equal(30, cache.Held);
        Assert.Equal([0, 1, 0], decoded);
        Get(second, 1);
        Assert.Equal(30, cache.Held);
        Get(first, 0);
        Get(first, 1);
        Assert.Equal([0, 1, 0, 1, 1], decoded);

        // A piece larger than all of the capacity is held alone.
        cache.GetOrDecode(first, 9, _ => new byte[50]);
        Assert.Equal(50, cache.Held);
        Assert.Throws<ImageException>(() => cache.GetOrDecode(first, 10, _ => throw new ImageException("damaged")));
        Get(first, 10);
        Assert.Equal(10, cache.Held);

        void Get(object owner, long piece) => cache.GetOrDecode(owner, piece, number =>
        {
            decoded.Add(number);
            return new byte[10];
        });
    }

    [Fact]
    public void A_stack_of_files_that_does_not_fit_in_memory_reads_right()
    {
        string[] paths = [.. Enumerable.Range(0, 6).Select(i => _folder.File($"z{i}.png"))];
        for (int i = 0; i < paths.Length; i++)
            PngWriter.WriteGrey16(paths[i], [.. Enumerable.Repeat((ushort)i, 200 * 100)], 200, 100);
        using var image = ImageReader.OpenStack(paths, new ImageLimits { CacheBytes = 80_000 });
        for (int round = 0; round < 2; round++)
        {
            for (int plane = 0; plane < paths.Length; plane++)
                Assert.All(TestImages.ReadAll(image, plane), value => Assert.Equal(plane, value));
        }
    }

    [Fact]
    public void Regions_outside_the_image_are_refused()
    {
        File.WriteAllBytes(_folder.File("a.tif"), new TiffBuilder(40, 30).Build(TestImages.Plane(40, 30, 16)));
        using var image = ImageReader.Open(_folder.File("a.tif"));
        float[] pixels = new float[10_000];
        foreach (var region in new Region[] { new(-1, 0, 2, 2), new(0, -1, 2, 2), new(39, 0, 2, 1), new(0, 29, 1, 2), new(0, 0, -1, 1), new(int.MaxValue, 0, int.MaxValue, 1) })
            Assert.Throws<ArgumentOutOfRangeException>(() => image.Read(0, region, pixels));
        Assert.Throws<ArgumentOutOfRangeException>(() => image.Read(1, new Region(0, 0, 1, 1), pixels));
        Assert.Throws<ArgumentOutOfRangeException>(() => image.Read(-1, new Region(0, 0, 1, 1), pixels));
        Assert.Throws<ArgumentException>(() => image.Read(0, new Region(0, 0, 4, 4), pixels.AsSpan(0, 15)));
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(8, 0)]
    [InlineData(8, 16)]
    public void Threads_that_read_at_once_all_get_the_right_pixels(int compression, int tile)
    {
        double[] plane = TestImages.Plane(200, 150, 16);
        File.WriteAllBytes(_folder.File("a.tif"), new TiffBuilder(200, 150)
        {
            Compression = compression,
            RowsPerStrip = tile == 0 ? 7 : null,
            Tile = tile == 0 ? null : (tile, tile),
        }.Build(plane));
        float[] expected = [.. plane.Select(value => (float)value)];
        using var image = ImageReader.Open(_folder.File("a.tif"), new ImageLimits { CacheBytes = 4_000 });
        Parallel.For(0, 8, _ => TestImages.AssertRegionsEqual(image, 0, expected));
    }

    [Fact]
    public void A_region_of_a_large_tiled_image_decodes_only_its_tiles()
    {
        // All tiles but four are garbage: decoding any of them would throw.
        const int side = 640, tile = 64;
        byte[] file = new TiffBuilder(side, side) { Compression = 8, Tile = (tile, tile) }.Build(TestImages.Plane(side, side, 16));
        string whole = _folder.File("whole.tif"), broken = _folder.File("broken.tif");
        File.WriteAllBytes(whole, file);
        float[] expected = TestImages.Vips(whole);
        int start = 8 + (file.Length - 8) / 2;
        file.AsSpan(start, (file.Length - start) / 2).Fill(0xAA);
        File.WriteAllBytes(broken, file);
        using var image = ImageReader.Open(broken);
        float[] pixels = new float[128 * 128];
        image.Read(0, new Region(0, 0, 128, 128), pixels);
        Assert.Equal(Enumerable.Range(0, 128 * 128).Select(i => expected[i / 128 * side + i % 128]), pixels);
        Assert.Throws<ImageException>(() => TestImages.ReadAll(image));
    }

    [Fact]
    public async Task The_hash_of_files_is_that_of_their_bytes()
    {
        File.WriteAllText(_folder.File("a"), "ab");
        File.WriteAllText(_folder.File("b"), "c");
        var stop = TestContext.Current.CancellationToken;
        Assert.Equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", await ImageHash.ComputeAsync([_folder.File("a"), _folder.File("b")], stop));
        await Assert.ThrowsAsync<ImageException>(() => ImageHash.ComputeAsync([_folder.File("gone")], stop));
    }

    internal static string Ome(int width, int height, int planes, string attributes = "", string data = "") => $"""
        <?xml version="1.0" encoding="UTF-8"?>
        <OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT"
        Type="uint16" SizeX="{width}" SizeY="{height}" SizeZ="{planes}" SizeC="1" SizeT="1" {attributes}><Channel ID="Channel:0:0" Name="Phase"/>{data}</Pixels></Image></OME>
        """;
}

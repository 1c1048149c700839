using System.Diagnostics;
using NetVips;
using StainGrid.TestSupport;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests;

public sealed class BadInputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_that_is_missing_empty_or_no_image_is_refused()
    {
        Assert.Contains("does not exist", TestImages.Refusal(_folder.File("gone.tif")), StringComparison.Ordinal);
        Assert.Contains("is empty", TestImages.Refusal(Write("empty.tif", [])), StringComparison.Ordinal);
        Assert.Contains("is a folder", TestImages.Refusal(_folder.Path), StringComparison.Ordinal);
        Assert.Contains("is not an image", TestImages.Refusal(Write("text.tif", "hello"u8.ToArray())), StringComparison.Ordinal);
        Assert.Contains("full of zeros", TestImages.Refusal(Write("zeros.tif", new byte[100])), StringComparison.Ordinal);
        Assert.Contains("a JPEG", TestImages.Refusal(Write("photo.tif", [0xFF, 0xD8, 0xFF, 0xE0, 0, 0])), StringComparison.Ordinal);
    }

    [Fact]
    public void A_device_that_never_ends_is_refused() => Assert.Contains("is empty", TestImages.Refusal("/dev/zero"), StringComparison.Ordinal);

    [Fact]
    public async Task A_pipe_that_nobody_writes_is_refused_and_not_waited_for()
    {
        await Conformance.RunAsync("mkfifo", ["pipe.tif"], _folder.Path, TestContext.Current.CancellationToken);
        Assert.Contains("is empty", TestImages.Refusal(_folder.File("pipe.tif")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_may_not_be_read_is_refused()
    {
        Assert.SkipWhen(Environment.IsPrivilegedProcess || OperatingSystem.IsWindows(), "root may read everything.");
        if (OperatingSystem.IsWindows())
            return;
        string path = Write("secret.tif", new TiffBuilder(4, 4).Build(new double[16]));
        File.SetUnixFileMode(path, UnixFileMode.None);
        Assert.Contains("cannot be opened", TestImages.Refusal(path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("phase16_le_strip_none.tif", 400)]
    [InlineData("phase16_be_deflate.tif", 300)]
    [InlineData("phase16_bigtiff_tiled_lzw_pred2.tif", 300)]
    [InlineData("phase16_packbits.tif", 300)]
    [InlineData("phase16_tiled64_none.tif", 300)]
    [InlineData("phase16_zstack13_multipage_plain.tif", 300)]
    [InlineData("phase16.png", 300)]
    public void A_file_cut_off_anywhere_is_refused_unless_all_its_pixels_are_there(string name, int cuts)
    {
        byte[] file = File.ReadAllBytes(SharedData.File("formats", name));
        List<float[]> whole = Planes(SharedData.File("formats", name));
        var random = new Random(3);
        string path = _folder.File(name);
        int refused = 0;
        for (int i = 0; i < cuts; i++)
        {
            // Every early byte, then anywhere, then the very last ones.
            int length = i < 60 ? i + 1 : i > cuts - 20 ? file.Length - (cuts - i) : random.Next(file.Length);
            File.WriteAllBytes(path, file.AsSpan(0, length));
            try
            {
                // Tags that are not read may stand last: the file decodes right without them.
                Assert.Equal(whole, Planes(path));
            }
            catch (ImageException)
            {
                refused++;
                TestImages.Refusal(path);
            }
        }

        Assert.InRange(refused, cuts - 20, cuts);

        static List<float[]> Planes(string path)
        {
            using var image = ImageReader.Open(path);
            return [.. Enumerable.Range(0, image.Info.Planes).Select(plane => TestImages.ReadAll(image, plane))];
        }
    }

    [Fact]
    public void A_cut_off_file_says_where_it_ends()
    {
        byte[] file = File.ReadAllBytes(SharedData.File("formats", "phase16_le_strip_none.tif"));
        string said = TestImages.Refusal(Write("plate.tif", file.AsSpan(0, 60_000).ToArray()));
        Assert.Matches("plate.tif ends at byte 60,000 of at least [0-9,]+. The copy was cut off", said);
    }

    [Theory]
    [InlineData(277, 3, "3 channels")]
    [InlineData(277, 2, "2 channels")]
    [InlineData(262, 2, "RGB")]
    [InlineData(262, 3, "palette")]
    [InlineData(262, 6, "YCbCr")]
    [InlineData(258, 12, "12-bit unsigned")]
    [InlineData(258, 1, "1-bit")]
    [InlineData(339, 2, "16-bit signed")]
    [InlineData(339, 3, "16-bit floating-point")]
    [InlineData(259, 7, "JPEG")]
    [InlineData(259, 50000, "Zstandard")]
    [InlineData(259, 34925, "LZMA")]
    [InlineData(259, 4, "CCITT")]
    [InlineData(259, 12345, "unknown method (12345)")]
    [InlineData(266, 2, "FillOrder")]
    [InlineData(274, 6, "Orientation 6")]
    [InlineData(256, 0, "0x30")]
    [InlineData(257, 0, "40x0")]
    [InlineData(256, 4_000_000_000, "4000000000x30 pixels")]
    [InlineData(278, 0, "40x0")]
    [InlineData(273, 0, "strip 1 of 1 is absent")]
    [InlineData(279, 0, "strip 1 of 1 is absent")]
    [InlineData(279, 5, "has 5 bytes where its pixels take 2400")]
    [InlineData(279, 4_000_000_000, "ends at byte")]
    [InlineData(273, 4_000_000_000, "ends at byte")]
    public void A_tiff_that_is_not_read_is_refused_by_name(int tag, long value, string said)
    {
        string path = Write("odd.tif", new TiffBuilder(40, 30) { Override = { [tag] = value } }.Build(TestImages.Plane(40, 30, 16)));
        Assert.Contains(said, TestImages.Refusal(path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("rgb.png", 3, Enums.Interpretation.Srgb, "3 channels")]
    [InlineData("rgb.tif", 3, Enums.Interpretation.Srgb, "3 channels")]
    [InlineData("alpha.png", 2, Enums.Interpretation.Bw, "2 channels")]
    [InlineData("two.tif", 2, Enums.Interpretation.Bw, "2 channels")]
    [InlineData("rgba.png", 4, Enums.Interpretation.Srgb, "4 channels")]
    public void Colour_and_several_channels_are_refused(string name, int bands, Enums.Interpretation interpretation, string said)
    {
        using var image = Image.NewFromMemory(new byte[20 * 10 * bands], 20, 10, bands, Enums.BandFormat.Uchar);
        using var typed = image.Copy(interpretation: interpretation);
        typed.WriteToFile(_folder.File(name));
        Assert.Contains(said, TestImages.Refusal(_folder.File(name)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_palette_png_is_refused()
    {
        using var image = Image.NewFromMemory(new byte[20 * 10 * 3], 20, 10, 3, Enums.BandFormat.Uchar);
        using var typed = image.Copy(interpretation: Enums.Interpretation.Srgb);
        typed.Pngsave(_folder.File("p.png"), palette: true);
        Assert.Contains("palette", TestImages.Refusal(_folder.File("p.png")), StringComparison.Ordinal);
    }

    [Fact]
    public void Pages_of_different_sizes_are_refused()
    {
        byte[] first = new TiffBuilder(40, 30).Build(TestImages.Plane(40, 30, 16), TestImages.Plane(40, 30, 16));
        string path = Write("pages.tif", first);
        using (var image = ImageReader.Open(path))
            Assert.Equal(2, image.Info.Planes);

        // The second page's width, in its directory: 39 of the 40 columns, whose bytes are all there.
        byte[] entry = [0, 1, 4, 0, 1, 0, 0, 0, 40, 0, 0, 0];
        int at = first.AsSpan().LastIndexOf(entry);
        first[at + 8] = 39;
        Assert.Contains("pages that differ", TestImages.Refusal(Write("pages.tif", first)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void A_value_that_is_not_finite_is_refused_with_its_place(float value)
    {
        double[] plane = TestImages.Plane(40, 30, 32);
        plane[17 * 40 + 23] = value;
        string path = Write("nan.tif", new TiffBuilder(40, 30) { Bits = 32, SampleFormat = 3 }.Build(TestImages.Plane(40, 30, 32), plane));
        Assert.Contains("x 23, y 17 of plane 1", TestImages.Refusal(path), StringComparison.Ordinal);
        using var image = ImageReader.Open(path);
        image.Read(1, new Region(0, 18, 40, 12), new float[480]);
    }

    [Fact]
    public void Images_over_the_limit_are_refused_before_memory_is_taken()
    {
        string tiff = Write("large.tif", new TiffBuilder(400, 300) { Compression = 8 }.Build(TestImages.Plane(400, 300, 16)));
        string png = _folder.File("large.png");
        PngWriter.WriteGrey16(png, new ushort[400 * 300], 400, 300);
        foreach (string path in new[] { tiff, png })
        {
            Assert.Contains("more than the 119,999 allowed", TestImages.Refusal(path, new ImageLimits { MaxPixels = 119_999 }), StringComparison.Ordinal);
            Assert.Contains("takes 240,000 bytes when decoded", TestImages.Refusal(path, new ImageLimits { MaxDecodedBytes = 239_999 }), StringComparison.Ordinal);
            using var image = ImageReader.Open(path, new ImageLimits { MaxPixels = 120_000, MaxDecodedBytes = 240_000 });
            TestImages.ReadAll(image);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(8)]
    [InlineData(32773)]
    public void A_header_that_claims_a_vast_image_takes_no_memory(int compression)
    {
        foreach (var (width, height) in new[] { (100_000, 100_000), (2_000_000_000, 2_000_000_000), (65_000, 65_000) })
        {
            string path = Write("vast.tif", new TiffBuilder(40, 30)
            {
                Compression = compression == 5 ? 1 : compression,
                Override = { [256] = width, [257] = height, [278] = height, [259] = compression },
            }.Build(TestImages.Plane(40, 30, 16)));
            long before = GC.GetAllocatedBytesForCurrentThread();
            TestImages.Refusal(path);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4_000_000);
        }
    }

    [Fact]
    public void A_png_header_that_claims_a_vast_image_takes_no_memory()
    {
        string path = _folder.File("vast.png");
        PngWriter.WriteGrey16(path, new ushort[400 * 300], 400, 300);
        byte[] file = File.ReadAllBytes(path);
        file[16] = file[20] = 0x7F;
        File.WriteAllBytes(path, file);
        Assert.Contains("more than the", TestImages.Refusal(path), StringComparison.Ordinal);
        (file[16], file[17], file[20]) = (0, 1, 0);
        File.WriteAllBytes(path, file);
        TestImages.Refusal(path);
    }

    [Fact]
    public void A_list_of_pages_that_comes_back_to_itself_is_refused()
    {
        double[] plane = TestImages.Plane(40, 30, 16);
        foreach (bool big in new[] { false, true })
        {
            string path = Write("loop.tif", new TiffBuilder(40, 30) { Loop = true, Big = big }.Build(plane, plane));
            Assert.Contains("endless loop", TestImages.Refusal(path), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("phase16_deflate_predictor2.tif")]
    [InlineData("phase16.png")]
    public void Flipped_bits_in_checksummed_pixels_are_found(string name)
    {
        byte[] file = File.ReadAllBytes(SharedData.File("formats", name));
        for (int i = 0; i < 40; i++)
        {
            byte[] copy = [.. file];
            copy[file.Length / 4 + i * file.Length / 100] ^= (byte)(1 << i % 8);
            TestImages.Refusal(Write(name, copy));
        }
    }

    [Theory]
    [InlineData("phase16_le_strip_none.tif")]
    [InlineData("phase16_be_deflate.tif")]
    [InlineData("phase16_bigtiff_tiled_lzw_pred2.tif")]
    [InlineData("phase16_lzw.tif")]
    [InlineData("phase16_packbits.tif")]
    [InlineData("phase16_zstack13_multipage_plain.tif")]
    [InlineData("phase16.png")]
    public void A_damaged_file_is_decoded_or_refused_in_bounded_time_and_memory(string name)
    {
        byte[] file = File.ReadAllBytes(SharedData.File("formats", name));
        var random = new Random(11);
        var limits = new ImageLimits { MaxDecodedBytes = 16 << 20, CacheBytes = 16 << 20 };
        string path = _folder.File(name);
        int refused = 0;
        for (int i = 0; i < 250; i++)
        {
            byte[] copy = [.. file];
            for (int flips = 1 + random.Next(4); flips > 0; flips--)
            {
                // Headers stand at both ends: most flips go there, some into the pixels.
                int at = random.Next(5) switch
                {
                    0 => random.Next(copy.Length),
                    1 or 2 => random.Next(Math.Min(200, copy.Length)),
                    _ => copy.Length - 1 - random.Next(Math.Min(600, copy.Length)),
                };
                copy[at] = random.Next(2) == 0 ? (byte)(copy[at] ^ (1 << random.Next(8))) : (byte)random.Next(256);
            }

            File.WriteAllBytes(path, copy);
            long allocated = GC.GetAllocatedBytesForCurrentThread();
            var watch = Stopwatch.StartNew();
            try
            {
                using var image = ImageReader.Open(path, limits);
                int width = Math.Min(image.Info.Width, 600), height = Math.Min(image.Info.Height, 600);
                float[] pixels = new float[width * height];
                for (int plane = 0; plane < Math.Min(image.Info.Planes, 3); plane++)
                    image.Read(plane, new Region(image.Info.Width - width, image.Info.Height - height, width, height), pixels);
            }
            catch (ImageException exception)
            {
                refused++;
                Assert.DoesNotContain('\n', exception.Message);
            }

            Assert.InRange(watch.Elapsed.TotalSeconds, 0, 60);   // none hangs
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - allocated, 0, 120L << 20);
        }

        Assert.True(refused > 20, $"Only {refused} of 250 damaged files were refused: the flips miss what matters.");
    }

    private string Write(string name, byte[] bytes)
    {
        string path = _folder.File(name);
        File.WriteAllBytes(path, bytes);
        return path;
    }
}

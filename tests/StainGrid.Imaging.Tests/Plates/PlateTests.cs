using System.Text.Json.Nodes;
using StainGrid.TestSupport;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests.Plates;

public sealed class PlateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static BlobFiles Blobs { get; } = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("isl", "lab-X,condition-Y,well-B7,tile_computation-STITCHED,z_depth-{0},channel-PHASE_CONTRAST,is_mask-false.png", 0)]
    [InlineData("isl", "lab,value-X,well,value-B7,z_depth,value-{0},channel,value-BRIGHTFIELD,is_mask-false,kind,value-ORIGINAL.png", 0)]
    [InlineData("phenix", "Images/r02c07f04p0{0}-ch1sk1fk1fl1.tiff", 1)]
    [InlineData("imagexpress", "TimePoint_1/ZStep_{0}/Exp1_B07_s2_w1.TIF", 1)]
    [InlineData("imagexpress", "ZStep_{0}/Exp1_B07_s2_w10A1B2C3D-0A1B-2C3D-4E5F-0A1B2C3D4E5F.tif", 1)]
    [InlineData("imagexpress", "Exp1_B07_s2_z{0}_w1.TIF", 1)]
    [InlineData("cv8000", "Plate_B07_T0001F002L01A01Z0{0}C01.tif", 1)]
    [InlineData(@"(?<row>[A-P])-(?<column>\d+)-(?<field>\d)-(?<plane>\d)", "B-7-0-{0}.png", 0)]
    public async Task A_naming_tells_well_and_planes(string pattern, string name, int first)
    {
        for (int plane = first; plane < first + 3; plane++)
            Touch(string.Format(System.Globalization.CultureInfo.InvariantCulture, name, plane));
        bool preset = !pattern.StartsWith('(');
        foreach (string? asked in preset ? new string?[] { pattern, null } : [pattern])
        {
            var layout = await PlateDiscovery.DiscoverAsync(_folder.Path, asked, Blobs, Stop);
            var field = Assert.Single(layout.Fields);
            Assert.Null(field.Problem);
            Assert.Equal(("B07", "B/7/0", 3), (field.Well, field.Path, field.Files.Count));
            Assert.Contains(string.Format(System.Globalization.CultureInfo.InvariantCulture, name, first + 1), field.Files[1], StringComparison.Ordinal);
            Assert.Equal((8, 12, 0), (layout.Rows.Count, layout.Columns.Count, layout.Unmatched.Count));
        }
    }

    [Fact]
    public async Task The_real_names_of_In_Silico_Labeling_are_one_field_of_13_planes()
    {
        var layout = await PlateDiscovery.DiscoverAsync(SharedData.File("isl-condition-b"), null, Blobs, Stop);
        var field = Assert.Single(layout.Fields);
        Assert.Equal(("A04", 13, null), (field.Well, field.Files.Count, field.Problem));
        Assert.Equal(0, layout.Unmatched.Count);
        for (int plane = 0; plane < 13; plane++)
            Assert.Contains($"z_depth-{plane},", field.Files[plane], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Problems_stay_with_their_field_and_are_named()
    {
        foreach (string well in (string[])["r01c01", "r01c02", "r32c48"])
        {
            for (int plane = 1; plane <= 3; plane++)
                Touch($"{well}f01p0{plane}-ch1sk1.tiff");
        }

        Touch("r02c01f01p01-ch1sk1.tiff");
        Touch("r02c01f01p03-ch1sk1.tiff");
        Touch("r02c02f01p01-ch1sk1.tiff");
        Touch("r02c02f01p02-ch1sk1.tiff");
        Touch("again/r02c03f01p01-ch1sk1.tiff");
        Touch("r02c03f01p01-ch1sk1.tiff");
        Touch("r01c01f01p01-ch2sk1.tiff");
        Touch("strange.tif");
        var layout = await PlateDiscovery.DiscoverAsync(_folder.Path, null, Blobs, Stop);
        Assert.Equal(["A01", "A02", "B01", "B02", "B03", "AF48"], layout.Fields.Select(field => field.Well));
        string?[] problems = [.. layout.Fields.Select(field => field.Problem)];
        Assert.Equal([null, null, "plane 2 is missing", "plane 3 is missing (2 of 3 planes)"], problems[..4]);
        Assert.StartsWith("plane 1 is there twice", problems[4], StringComparison.Ordinal);
        Assert.Equal((32, 48, "AF"), (layout.Rows.Count, layout.Columns.Count, layout.Rows[^1]));
        Assert.Equal(["strange.tif"], layout.Unmatched.Examples);
        Assert.Contains(layout.Notes, note => note.Contains("Channel 1 of 1, 2", StringComparison.Ordinal));
        Assert.Single((await PlateDiscovery.DiscoverAsync(_folder.Path, "phenix#channel=2", Blobs, Stop)).Fields);

        string hash = layout.ContentHash(Stop);
        Assert.Equal(hash, (layout with { Fields = [.. layout.Fields.Reverse()] }).ContentHash(Stop));
        File.AppendAllText(layout.Fields[0].Files[0], "x");
        Assert.NotEqual(hash, layout.ContentHash(Stop));
    }

    [Theory]
    [InlineData("(", "neither a preset")]
    [InlineData(@"(?<field>\d)", "cannot tell wells")]
    [InlineData(@"(?<well>(a+)+)$", "takes more than")]
    [InlineData("cv8000", "none matches")]
    [InlineData(null, "none matches")]
    public async Task A_folder_that_cannot_be_read_as_a_plate_is_refused(string? pattern, string why)
    {
        Touch(new string('a', 60) + "!.tif");
        await RefusedAsync(_folder.Path, pattern, why);
    }

    [Fact]
    public async Task A_source_without_images_is_refused()
    {
        await RefusedAsync(_folder.Path, null, "no image");
        await RefusedAsync(_folder.File("absent"), null, "does not exist");
    }

    [Theory]
    [InlineData("m.csv", "well,field,plane,file\nB07,3,0,../x.png", "points out")]
    [InlineData("m.csv", "well,field,plane,file\nB07,3,0,/etc/passwd", "points out")]
    [InlineData("m.csv", "well,field,plane,file\nB07,3,0,link/x.png", "points out")]
    [InlineData("m.csv", "well,field,plane,file\nQQQ1,3,0,x.png", "names no place")]
    [InlineData("m.csv", "field,plane,file\n3,0,x.png", "no column \"well\"")]
    [InlineData("m.csv", "", "is empty")]
    [InlineData("m.csv", "well,field,plane,file", "names no image")]
    [InlineData("m.json", "{}", "not a JSON array")]
    [InlineData("m.json", "[3]", "no object")]
    [InlineData("m.json", "[", "not readable as JSON")]
    [InlineData("m.json", "[{\"well\":\"B07\",\"file\":\"a/../../x\"}]", "points out")]
    public async Task A_bad_manifest_is_refused(string name, string text, string why)
    {
        Directory.CreateSymbolicLink(_folder.File("link"), "/etc");
        File.WriteAllText(_folder.File(name), text);
        await RefusedAsync(_folder.File(name), null, why);
    }

    [Theory]
    [InlineData("m.csv", "Well,field,plane,file\nB07,3,0,a.png\nB07,3,1,b.png\nB07,9,0,a.png\nB07,9,0,b.png\nC1,,,absent.png\n")]
    [InlineData("m.json", "[{\"well\":\"B07\",\"field\":3,\"plane\":0,\"file\":\"a.png\"},{\"well\":\"B07\",\"field\":\"3\",\"plane\":1,\"file\":\"b.png\"},"
        + "{\"well\":\"B07\",\"field\":9,\"plane\":0,\"file\":\"a.png\"},{\"well\":\"B07\",\"field\":9,\"plane\":0,\"file\":\"b.png\"},{\"well\":\"C1\",\"file\":\"absent.png\"}]")]
    public async Task A_manifest_lists_fields(string name, string text)
    {
        Touch("a.png");
        Touch("b.png");
        File.WriteAllText(_folder.File(name), text);
        var fields = (await PlateDiscovery.DiscoverAsync(_folder.File(name), null, Blobs, Stop)).Fields;
        Assert.Equal(["B/7/0", "B/7/1", "C/1/0"], fields.Select(field => field.Path));
        Assert.Null(fields[0].Problem);
        Assert.Contains("twice", fields[1].Problem, StringComparison.Ordinal);
        Assert.Contains("does not exist", fields[2].Problem, StringComparison.Ordinal);

        // The manifest itself may be a link.
        string link = _folder.File("link" + Path.GetExtension(name));
        File.CreateSymbolicLink(link, _folder.File(name));
        Assert.Equal(3, (await PlateDiscovery.DiscoverAsync(link, null, Blobs, Stop)).Fields.Count);
    }

    [Fact]
    public async Task A_growing_plate_is_read_by_ome_zarr_js_and_by_our_own_discovery()
    {
        var store = new FolderBlobStore(_folder.File("out.zarr"));
        PlateField[] fields = [new("B", 7, 0, []), new("B", 7, 1, []), new("AF", 48, 0, [])];
        var (rows, columns) = PlateLayout.Format(32, 48);
        using var writer = new HcsPlateWriter(store, new PlateLayout("out", "", rows, columns, fields), new JsonObject { ["model"] = "m" });
        await writer.WriteAsync([], Stop);
        for (int i = 0; i < fields.Length; i++)
        {
            await WriteImageAsync(fields[i].Path, (ushort)(1000 * i));
            await writer.WriteAsync([fields[i]], Stop);
            var layout = await PlateDiscovery.DiscoverAsync(store.Root, null, Blobs, Stop);
            Assert.Equal(fields[..(i + 1)].Select(field => field.Path), layout.Fields.Select(field => field.Path));
            Assert.All(layout.Fields, field => Assert.Null(field.Problem));
        }

        byte[] once = await File.ReadAllBytesAsync(_folder.File("out.zarr", ".zattrs"), Stop);
        using var again = new HcsPlateWriter(store, new PlateLayout("out", "", rows, columns, fields), new JsonObject { ["model"] = "m" });
        await again.WriteAsync([.. fields.Reverse()], Stop);
        Assert.Equal(once, await File.ReadAllBytesAsync(_folder.File("out.zarr", ".zattrs"), Stop));

        string seen = await Conformance.RunAsync("node", ["read-hcs.mjs", store.Root], await Conformance.FolderAsync(Stop), Stop);
        Assert.Equal("{\"version\":\"0.4\",\"rows\":32,\"columns\":48,\"fieldCount\":2,\"images\":[{\"path\":\"B/7/0\",\"shape\":[1,2,1,40,70],\"first\":[0,1,2]},"
            + "{\"path\":\"B/7/1\",\"shape\":[1,2,1,40,70],\"first\":[1000,1001,1002]},{\"path\":\"AF/48/0\",\"shape\":[1,2,1,40,70],\"first\":[2000,2001,2002]}]}", seen.Trim());

        var read = (await PlateDiscovery.DiscoverAsync(store.Root, "#channel=two", Blobs, Stop)).Fields[1];
        using var image = ImageReader.OpenStack(read.Files);
        float[] pixels = new float[6];
        image.Read(0, new Region(31, 31, 3, 2), pixels);
        Assert.Equal([3208, 3209, 3210, 3278, 3279, 3280], pixels);
        string hash = await ImageHash.ComputeAsync(read.Files, Stop);
        File.Delete(_folder.File("out.zarr", "B", "7", "1", "0", "0", "1", "0", "1", "1"));
        Assert.NotEqual(hash, await ImageHash.ComputeAsync(read.Files, Stop));
        using var lacking = ImageReader.OpenStack(read.Files);
        Assert.Contains("0/0/1/0/1/1 is missing", Assert.Throws<ImageException>(() => lacking.Read(0, new Region(32, 32, 1, 1), pixels)).Message, StringComparison.Ordinal);

        async Task WriteImageAsync(string path, ushort offset)
        {
            var description = new OmeZarrImage(path, 70, 40, [new OmeZarrChannel("one"), new OmeZarrChannel("two")]) { ChunkSize = 32, Levels = 1 };
            var target = new OmeZarrWriter(new FolderBlobStore(_folder.File("out.zarr", path)), description);
            await target.WriteArrayMetadataAsync(Stop);
            for (int channel = 0; channel < 2; channel++)
            {
                for (int row = 0; row < 2; row++)
                {
                    for (int column = 0; column < 3; column++)
                    {
                        ushort[] chunk = [.. Enumerable.Range(0, 1024).Select(i => (ushort)(offset + 7 * channel + (row * 32 + i / 32) * 70 + column * 32 + i % 32))];
                        await target.WriteChunkAsync(0, channel, row, column, chunk, Stop);
                    }
                }
            }

            await target.CompleteAsync(Stop);
        }
    }

    [Theory]
    [InlineData("[{\"path\":\"../x\"}]", "the well \"../x\"")]
    [InlineData("[{\"path\":\"B/..\"}]", "the well \"B/..\"")]
    [InlineData("[{\"path\":\"/B/7\"}]", "the well \"/B/7\"")]
    [InlineData("[{\"path\":\"B/7/../8\"}]", "the well \"B/7/../8\"")]
    [InlineData("[{\"path\":\"C/1\"}]", "the well \"C/1\"")]
    [InlineData("[{\"path\":\"B/7\"},{\"path\":\"B/7\"}]", "the well B/7 twice")]
    [InlineData("[{\"path\":\"B/7\"},{\"path\":\"B/07\"}]", "the well B/07 twice")]
    [InlineData("[{\"path\":\"B/7\"},{\"path\":\"b/7\"}]", "the well b/7 twice")]
    [InlineData("[{\"path\":7}]", "the well \"7\"")]
    [InlineData("[3]", "the well \"\"")]
    [InlineData("[]", "without any image")]
    [InlineData("{}", "lists no wells")]
    [InlineData("[],\"wells\":[]", "not readable as JSON")]
    public async Task A_plate_whose_wells_lead_astray_is_refused(string wells, string why)
    {
        await WritePlateAsync();
        Directory.CreateSymbolicLink(_folder.File("p.zarr", "C"), _folder.File("p.zarr", "B"));
        File.WriteAllText(_folder.File("p.zarr", ".zattrs"), "{\"plate\":{\"wells\":" + wells + "}}");
        await RefusedAsync(_folder.File("p.zarr"), null, why);
    }

    [Theory]
    [InlineData("3", "without a plate")]
    [InlineData("[{\"plate\":{}}]", "without a plate")]
    [InlineData("{\"plate\":[]}", "without a plate")]
    [InlineData("", "not readable as JSON")]
    public async Task A_plate_with_other_attributes_is_refused(string text, string why)
    {
        await WritePlateAsync();
        File.WriteAllText(_folder.File("p.zarr", ".zattrs"), text);
        await RefusedAsync(_folder.File("p.zarr"), null, why);
        using (var stream = File.OpenWrite(_folder.File("p.zarr", ".zattrs")))
            stream.SetLength(40L << 20);
        long held = GC.GetAllocatedBytesForCurrentThread();
        await RefusedAsync(_folder.File("p.zarr"), null, "larger than 16 MB");
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - held, 0, 1 << 20);
        File.Delete(_folder.File("p.zarr", ".zattrs"));
        File.CreateSymbolicLink(_folder.File("p.zarr", ".zattrs"), _folder.File("p.zarr", "B", "7", ".zattrs"));
        await RefusedAsync(_folder.File("p.zarr"), null, "without a plate");
    }

    [Theory]
    [InlineData("{\"well\":{\"images\":[{\"path\":\"../8/0\"}]}}", "leads out of it")]
    [InlineData("{\"well\":{\"images\":[{\"path\":\"/etc\"}]}}", "leads out of it")]
    [InlineData("{\"well\":{\"images\":[{\"path\":\"link\"}]}}", "leads out of it")]
    [InlineData("{\"well\":{\"images\":[{}]}}", "leads out of it")]
    [InlineData("{\"well\":{\"images\":[{\"path\":\"9\"}]}}", "no .zattrs")]
    [InlineData("{\"well\":{\"images\":3}}", "lists no images")]
    [InlineData("{\"well\":[]}", "lists no images")]
    [InlineData("[]", "lists no images")]
    [InlineData("{\"well\":3,\"well\":4}", "not readable as JSON")]
    [InlineData("{", "not readable as JSON")]
    [InlineData(null, "larger than 16 MB")]
    public async Task A_bad_well_is_a_problem_of_its_own(string? text, string why)
    {
        await WritePlateAsync();
        string well = _folder.File("p.zarr", "B", "7");
        Directory.CreateSymbolicLink(Path.Combine(well, "link"), _folder.File("p.zarr", "B", "8", "0"));
        if (text is not null)
            File.WriteAllText(Path.Combine(well, ".zattrs"), text);
        else
            using (var stream = File.OpenWrite(Path.Combine(well, ".zattrs")))
                stream.SetLength(40L << 20);
        var fields = (await PlateDiscovery.DiscoverAsync(_folder.File("p.zarr"), null, Blobs, Stop)).Fields;
        Assert.Equal(["B/7/0", "B/8/0"], fields.Select(field => field.Path));
        Assert.Contains(why, fields[0].Problem, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', fields[0].Problem!);
        Assert.Null(fields[1].Problem);
    }

    [Fact]
    public void A_pattern_that_takes_too_long_is_refused_wherever_it_is_asked()
    {
        var slow = new NamePattern("slow", "never^", "(a+)+$");
        string name = new string('a', 60) + "!";
        Assert.Null(slow.Match(name));
        Assert.Contains("takes more than 3 s", Assert.Throws<ImageException>(() => slow.Ignores(name)).Message, StringComparison.Ordinal);
        Assert.All(NamePattern.Presets, preset => Assert.False(preset.Ignores(new string('_', 4000))));
    }

    [Fact]
    public async Task A_preflight_names_empty_unsharp_missing_and_odd_fields()
    {
        var noise = new Random(1);
        foreach (var (well, side, kind) in new[] { ("A1", 40, 0), ("A2", 40, 0), ("A3", 48, 0), ("B1", 40, 1), ("B3", 40, 2) })
        {
            ushort[] pixels = [.. Enumerable.Range(0, side * side).Select(i => (ushort)(kind == 1 ? 7 : kind == 2 ? 30_000 + i : noise.Next(65_536)))];
            PngWriter.WriteGrey16(_folder.File($"{well}.png"), pixels, side, side);
        }

        File.WriteAllText(_folder.File("C1.png"), "no image");
        var layout = await PlateDiscovery.DiscoverAsync(_folder.Path, @"^(?<well>\w+)\.png", Blobs, Stop);
        var report = await PlatePreflight.RunAsync(layout, Blobs, null, Stop);
        Assert.Equal(["B02", "C02", "C03"], report.MissingWells);
        Assert.Equal([0], report.Fields[3].EmptyPlanes);
        Assert.Equal([false, false, false, true, true, false], report.Fields.Select(field => field.OutOfFocus));
        Assert.Contains("C1.png", report.Fields[5].Problem, StringComparison.Ordinal);
        Assert.Equal([("40x40, 1 planes, UInt16", 4), ("48x48, 1 planes, UInt16", 1)], report.Shapes);
    }

    [Fact]
    public async Task A_table_of_quality_is_CSV_and_Parquet()
    {
        QualityRow[] rows = [new() { Well = "B07", State = "Complete", Tiles = 9, Channel = "DAPI", Mean = 1.5 }, new() { Well = "B08", State = "Failed", Reason = "a, \"b\"" }];
        string[] lines = System.Text.Encoding.UTF8.GetString(QualityTable.ToCsv(rows)).Split("\r\n");
        Assert.StartsWith("Well,Field,State,Reason,Width", lines[0], StringComparison.Ordinal);
        Assert.Equal("B08,0,Failed,\"a, \"\"b\"\"\",0,0,0,,0,0,0,,,,", lines[2]);
        byte[] parquet = await QualityTable.ToParquetAsync(rows, Stop);
        using var stream = new MemoryStream(parquet);
        var back = await Parquet.Serialization.ParquetSerializer.DeserializeAsync<QualityRow>(stream, cancellationToken: Stop);
        Assert.Equal(rows, back.Data);
    }

    [Fact]
    public async Task What_is_listed_is_not_written_again_unless_its_writing_failed()
    {
        var store = new FolderBlobStore(_folder.File("out.zarr"));
        PlateField[] fields = [new("B", 7, 0, []), new("B", 8, 0, []), new("B", 8, 1, [])];
        using var writer = new HcsPlateWriter(store, new PlateLayout("out", "", ["A", "B"], ["7", "8"], fields));
        string root = _folder.File("out.zarr", ".zattrs"), first = _folder.File("out.zarr", "B", "7", ".zattrs"), second = _folder.File("out.zarr", "B", "8", ".zattrs");
        await writer.WriteAsync(fields[..2], Stop);
        foreach (string written in (string[])[root, first, second])
            File.Delete(written);
        await writer.WriteAsync(fields[..2], Stop);
        Assert.False(File.Exists(root) || File.Exists(first) || File.Exists(second));

        // In the way of a well, then of the plate.
        Directory.CreateDirectory(second);
        await Assert.ThrowsAsync<BlobStoreException>(() => writer.WriteAsync(fields, Stop));
        Directory.Delete(second);
        Directory.CreateDirectory(root);
        await Assert.ThrowsAsync<BlobStoreException>(() => writer.WriteAsync(fields, Stop));
        Assert.True(File.Exists(second));
        Directory.Delete(root);
        await writer.WriteAsync(fields, Stop);
        Assert.True(File.Exists(root));
        Assert.False(File.Exists(first));
    }

    /// <summary>p.zarr with a field each in B/7 and B/8, without pixels.</summary>
    private async Task WritePlateAsync()
    {
        PlateField[] fields = [new("B", 7, 0, []), new("B", 8, 0, [])];
        var store = new FolderBlobStore(_folder.File("p.zarr"));
        using var writer = new HcsPlateWriter(store, new PlateLayout("p", "", ["A", "B"], ["1"], fields));
        foreach (var field in fields)
        {
            var image = new OmeZarrImage(field.Path, 16, 16, [new OmeZarrChannel("one")]) { ChunkSize = 16, Levels = 1 };
            var target = new OmeZarrWriter(new FolderBlobStore(_folder.File("p.zarr", field.Path)), image);
            await target.WriteArrayMetadataAsync(Stop);
            await target.WriteChunkAsync(0, 0, 0, 0, new ushort[256], Stop);
            await target.CompleteAsync(Stop);
        }

        await writer.WriteAsync(fields, Stop);
    }

    private static async Task RefusedAsync(string source, string? pattern, string why)
    {
        var exception = await Assert.ThrowsAsync<ImageException>(() => PlateDiscovery.DiscoverAsync(source, pattern, Blobs, Stop));
        Assert.Contains(why, exception.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', exception.Message);
    }

    private void Touch(string name)
    {
        string path = _folder.File(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, "1");
    }
}

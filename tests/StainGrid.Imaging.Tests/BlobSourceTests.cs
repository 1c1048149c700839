using StainGrid.TestSupport;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests;

/// <summary>Images and plates in a real blob service are the same as in folders.</summary>
public sealed class BlobSourceTests : IClassFixture<BlobInputs>, IDisposable
{
    private readonly BlobInputs _inputs;
    private readonly TemporaryFolder _folder = new();
    private readonly BlobFiles _files;
    private readonly string _prefix = Guid.NewGuid().ToString("N");

    public BlobSourceTests(BlobInputs inputs)
    {
        _inputs = inputs;
        _files = inputs.Files(new BlobFilesOptions { Folder = Directory.CreateDirectory(_folder.File("kept")).FullName });
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _files.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Images_have_the_same_pixels_and_hash(bool signed)
    {
        string source = Directory.CreateDirectory(_folder.File("images")).FullName;
        for (int z = 0; z < 3; z++)
            Png(Path.Combine(source, $"z {z} #50%?.png"), z);
        double[][] planes = [TestImages.Plane(70, 50, 16), TestImages.Plane(70, 50, 16, 2)];
        await File.WriteAllBytesAsync(Path.Combine(source, "stack.tif"), new TiffBuilder(70, 50) { Compression = 8, Tile = (32, 32) }.Build(planes), Stop);
        await ZarrAsync(Path.Combine(source, "image.zarr"), 3);
        await _inputs.UploadAsync(source, $"{_prefix}/images");
        string[][] images =
        [
            [.. Enumerable.Range(0, 3).Select(z => $"z {z} #50%?.png")],
            ["stack.tif"],
            ["image.zarr"],
            ["image.zarr#channel=two"],
        ];
        foreach (string[] image in images)
        {
            string[] paths = [.. image.Select(name => Path.Combine(source, name))];
            string[] addresses = [.. image.Select(name => Address(name, signed))];
            using var local = ImageReader.OpenStack(paths);
            using var blob = await ImageReader.OpenStackAsync(addresses, _files, cancellationToken: Stop);
            Assert.Equal(local.Info with { Path = "", Files = [] }, blob.Info with { Path = "", Files = [] });
            Assert.Equal(local.Info.Name, blob.Info.Name);
            Assert.Equal(image, blob.Info.Files.Select(Path.GetFileName));
            for (int plane = 0; plane < local.Info.Planes; plane++)
                Assert.Equal(TestImages.ReadAll(local, plane), TestImages.ReadAll(blob, plane));
            Assert.Equal(await ImageHash.ComputeAsync(paths, Stop), await blob.HashAsync(Stop));
            Assert.All(blob.Info.Files, file => Assert.DoesNotContain("sig=", file, StringComparison.Ordinal));
            Assert.Equal(image[0].Contains("zarr", StringComparison.Ordinal), blob.Versions[0].Length == 0);
        }

        Assert.DoesNotContain(_inputs.Requests, request => request.StartsWith("PUT", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Damage_and_absence_are_named_by_the_address()
    {
        string png = _folder.File("a.png");
        Png(png, 1);
        await File.WriteAllBytesAsync(_folder.File("cut.png"), (await File.ReadAllBytesAsync(png, Stop))[..^100], Stop);
        await ZarrAsync(_folder.File("image.zarr"), 1);
        File.Delete(_folder.File("image.zarr", "0", "0", "0", "0", "1", "1"));
        await _inputs.UploadAsync(_folder.File("cut.png"), $"{_prefix}/cut.png");
        await _inputs.UploadAsync(_folder.File("image.zarr"), $"{_prefix}/image.zarr");
        string signed = _inputs.Signed(_prefix + "/");
        var cut = await Assert.ThrowsAsync<ImageException>(() => ImageReader.OpenStackAsync([signed.Replace("/?", "/cut.png?", StringComparison.Ordinal)], _files, cancellationToken: Stop));
        Assert.StartsWith("cut.png ends at byte", cut.Message, StringComparison.Ordinal);
        using var image = await ImageReader.OpenStackAsync([signed.Replace("/?", "/image.zarr?", StringComparison.Ordinal)], _files, cancellationToken: Stop);
        var lacking = Assert.Throws<ImageException>(() => image.Read(0, new Region(40, 40, 1, 1), new float[1]));
        Assert.Equal($"https://account.example/plates/{_prefix}/image.zarr: the chunk 0/0/0/0/1/1 is missing. Copy the image again.", lacking.Message);
        var absent = await Assert.ThrowsAsync<BlobStoreException>(() => ImageReader.OpenStackAsync([$"azure://plates/{_prefix}/image"], _files, cancellationToken: Stop));
        Assert.Contains($"azure://plates/{_prefix}/image does not exist", absent.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("folder", null, false)]
    [InlineData("folder", "phenix#channel=2", true)]
    [InlineData("plate.zarr", null, false)]
    [InlineData("plate.zarr", "#channel=two", true)]
    [InlineData("folder/manifest.csv", null, false)]
    [InlineData("folder/manifest.json", null, true)]
    public async Task A_plate_has_the_same_fields_as_in_a_folder(string name, string? pattern, bool signed)
    {
        await PlateAsync();
        var local = await PlateDiscovery.DiscoverAsync(_folder.File("images", name), pattern, _files, Stop);
        var blob = await PlateDiscovery.DiscoverAsync(Address(name, signed), pattern, _files, Stop);
        Assert.Equal((local.Name, string.Join(',', local.Rows), local.Columns.Count), (blob.Name, string.Join(',', blob.Rows), blob.Columns.Count));
        Assert.Equal(local.Notes, blob.Notes);
        Assert.Equal((local.Unmatched.Count, string.Join(',', local.Unmatched.Examples)), (blob.Unmatched.Count, string.Join(',', blob.Unmatched.Examples)));
        Assert.Equal(
            local.Fields.Select(field => (field.Path, field.Problem?.Replace(_folder.File("images"), "", StringComparison.Ordinal))),
            blob.Fields.Select(field => (field.Path, field.Problem?.Replace(BlobAddress.Show(Address("", signed)).TrimEnd('/'), "", StringComparison.Ordinal))));
        Assert.True(local.Fields.Count >= 3);
        Assert.DoesNotContain("sig=", blob.Source, StringComparison.Ordinal);
        foreach (var (mine, theirs) in blob.Fields.Zip(local.Fields))
        {
            Assert.Equal(theirs.Files.Select(file => Path.GetRelativePath(_folder.File("images"), file)), mine.Files.Select(file => BlobAddress.Show(file).Split(_prefix + "/images/")[1]));
            if (mine.Problem is not null)
                continue;
            using var here = ImageReader.OpenStack(theirs.Files);
            using var there = await ImageReader.OpenStackAsync(mine.Files, _files, cancellationToken: Stop);
            Assert.Equal(TestImages.ReadAll(here), TestImages.ReadAll(there));
        }

        var seen = await PlatePreflight.RunAsync(blob, _files, null, Stop);
        Assert.Equal((await PlatePreflight.RunAsync(local, _files, null, Stop)).Shapes, seen.Shapes);
    }

    [Theory]
    [InlineData("folder", "folder/r01c01f01p01-ch1.tiff")]
    [InlineData("plate.zarr", "plate.zarr/B/7/0/0/0/0/0/1/1")]
    [InlineData("folder/manifest.csv", "folder/r01c02f01p01-ch1.tiff")]
    public async Task The_content_hash_downloads_no_image_and_notices_a_blob_that_was_written_again(string name, string changed)
    {
        await PlateAsync();
        string hash = await HashAsync(false);
        Assert.Equal(hash, await HashAsync(false));
        Assert.DoesNotContain(_inputs.Requests, request => request.StartsWith($"GET {_prefix}/images/{changed}", StringComparison.Ordinal));

        // The same bytes, but who can tell without reading them.
        await _inputs.UploadAsync(_folder.File("images", changed), $"{_prefix}/images/{changed}");
        string after = await HashAsync(false);
        Assert.NotEqual(hash, after);
        Assert.Equal(after, await HashAsync(true));
        await _inputs.Container.DeleteBlobAsync($"{_prefix}/images/{changed}", cancellationToken: Stop);
        Assert.NotEqual(after, await HashAsync(false));

        async Task<string> HashAsync(bool signed) => (await PlateDiscovery.DiscoverAsync(Address(name, signed), null, _files, Stop)).ContentHash(Stop);
    }

    [Theory]
    [InlineData("m.csv", "well,field,plane,file\nB07,3,0,../x.png", "points out")]
    [InlineData("m.csv", "well,field,plane,file\nB07,3,0,a/..\\..\\x.png", "points out")]
    [InlineData("m.csv", "well,field,plane,file\nB07,3,0,/plates/x.png", "points out")]
    [InlineData("m.csv", "well,field,plane,file\nB07,3,0,azure://plates/x.png", "points out")]
    [InlineData("m.json", "{}", "not a JSON array")]
    [InlineData("p.zarr/.zattrs", "{\"plate\":{\"wells\":[{\"path\":\"../x\"}]}}", "the well \"../x\"")]
    [InlineData("none/readme.txt", "x", "no image")]
    [InlineData(null, "", "does not exist")]
    public async Task What_leads_out_of_a_source_is_refused(string? name, string text, string why)
    {
        if (name is not null)
            await _inputs.Container.GetBlobClient($"{_prefix}/images/{name}").UploadAsync(BinaryData.FromString(text), overwrite: true, Stop);
        string source = name is null ? "absent.csv" : name.Split('/')[0];
        var exception = await Assert.ThrowsAsync<ImageException>(() => PlateDiscovery.DiscoverAsync(Address(source, true), null, _files, Stop));
        Assert.Contains(why, exception.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("sig=", exception.Message, StringComparison.Ordinal);
    }

    private string Address(string name, bool signed)
    {
        string[] parts = name.Split("#channel=");
        string key = string.Join('/', $"{_prefix}/images/{parts[0]}".Split('/').Select(Uri.EscapeDataString));
        return (signed ? _inputs.Signed(key) : $"azure://plates/{key}") + (parts.Length > 1 ? "#channel=" + parts[1] : "");
    }

    /// <summary>images/folder with a Phenix plate of two channels and two manifests, images/plate.zarr; and their copies.</summary>
    private async Task PlateAsync()
    {
        string folder = Directory.CreateDirectory(_folder.File("images", "folder")).FullName;
        foreach (int column in (int[])[1, 2, 3])
        {
            foreach (int channel in (int[])[1, 2])
            {
                for (int plane = 1; plane <= (column == 3 ? 1 : 2); plane++)
                {
                    byte[] tiff = new TiffBuilder(60, 40).Build(TestImages.Plane(60, 40, 16, column * 100 + channel * 10 + plane));
                    await File.WriteAllBytesAsync(Path.Combine(folder, $"r01c0{column}f01p0{plane}-ch{channel}.tiff"), tiff, Stop);
                }
            }
        }

        await File.WriteAllBytesAsync(Path.Combine(folder, "strange.tif"), new TiffBuilder(6, 4).Build(TestImages.Plane(6, 4, 16)), Stop);
        await File.WriteAllTextAsync(Path.Combine(folder, "manifest.csv"),
            "well,field,plane,file\nA1,0,0,r01c01f01p01-ch1.tiff\nA1,0,1,r01c01f01p02-ch1.tiff\nA2,,0,r01c02f01p01-ch1.tiff\nA2,,1,r01c02f01p02-ch1.tiff\nA3,,0,absent.tiff\n", Stop);
        await File.WriteAllTextAsync(Path.Combine(folder, "manifest.json"),
            "[{\"well\":\"A1\",\"file\":\"r01c01f01p01-ch1.tiff\"},{\"well\":\"A2\",\"file\":\"r01c02f01p01-ch1.tiff\"},{\"well\":\"A3\",\"file\":\"absent.tiff\"}]", Stop);
        var store = new FolderBlobStore(_folder.File("images", "plate.zarr"));
        PlateField[] fields = [new("B", 7, 0, []), new("B", 7, 1, []), new("C", 1, 0, [])];
        var (rows, columns) = PlateLayout.Format(3, 7);
        using var writer = new HcsPlateWriter(store, new PlateLayout("plate", "", rows, columns, fields));
        await writer.WriteAsync(fields, Stop);
        for (int i = 0; i < 2; i++)
            await ZarrAsync(Path.Combine(store.Root, fields[i].Path), i);
        await File.WriteAllTextAsync(Path.Combine(Directory.CreateDirectory(Path.Combine(store.Root, "C", "1", "0")).FullName, ".zattrs"), "{}", Stop);
        await _inputs.UploadAsync(_folder.File("images"), $"{_prefix}/images");
    }

    private static void Png(string path, int seed) =>
        PngWriter.WriteGrey16(path, [.. TestImages.Plane(70, 50, 16, seed + 1).Select(value => (ushort)value)], 70, 50);

    private static async Task ZarrAsync(string folder, int seed)
    {
        var description = new OmeZarrImage("image", 70, 50, [new OmeZarrChannel("one"), new OmeZarrChannel("two")]) { ChunkSize = 32, Levels = 1, PhysicalSizeX = 0.5 };
        var writer = new OmeZarrWriter(new FolderBlobStore(folder), description);
        await writer.WriteArrayMetadataAsync(Stop);
        var random = new Random(seed);
        for (int channel = 0; channel < 2; channel++)
        {
            for (int chunk = 0; chunk < 6; chunk++)
                await writer.WriteChunkAsync(0, channel, chunk / 3, chunk % 3, Enumerable.Range(0, 1024).Select(_ => (ushort)random.Next(65_536)).ToArray(), Stop);
        }

        await writer.CompleteAsync(Stop);
    }
}

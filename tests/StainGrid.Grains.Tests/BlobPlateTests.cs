using System.Security.Cryptography;
using System.Text;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Sas;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Imaging.Tests;
using StainGrid.Model;
using StainGrid.Silo;
using static StainGrid.Grains.Tests.PlateRuns;

namespace StainGrid.Grains.Tests;

/// <summary>Plates whose images and model are in a real blob service.</summary>
public sealed class BlobPlateTests(Slides slides, BlobInputs inputs) : IClassFixture<Slides>, IClassFixture<BlobInputs>
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("png")]
    [InlineData("zarr")]
    public async Task A_plate_from_blobs_has_the_bytes_of_one_from_a_folder_and_no_signature_anywhere(string kind)
    {
        string source = kind == "png" ? Pngs("A01", "A02", "B03") : await ZarrAsync(3);
        string prefix = Path.GetFileName(source);
        await inputs.UploadAsync(source, prefix);
        await inputs.UploadAsync(slides.Model, $"models-{kind}/small model.safetensors");
        var fromFolder = Request(source, kind);
        Assert.Equal(PlateState.Complete, (await RunAsync(slides.Client, prefix, fromFolder)).State);

        var state = new FolderBlobStore(slides.File($"state-{prefix}"));
        var fromBlobs = WithModel(Request(inputs.Signed(prefix), kind), inputs.Signed($"models-{kind}/small%20model.safetensors"));
        string kept = Directory.CreateDirectory(slides.File($"kept-{prefix}")).FullName;
        var files = inputs.Files(new BlobFilesOptions { Folder = kept });
        await using (var silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: state, inputs: files, cancellationToken: Stop))
        {
            var client = new GrainClient(silo.Grains);
            var last = await RunAsync(client, prefix, fromBlobs);
            Assert.Equal((PlateState.Complete, (string?)null, 3), (last.State, last.Error, last.FieldsComplete));
            var listed = Assert.Single(await client.ListPlatesAsync());
            Assert.Equal($"https://account.example/plates/{prefix}", listed.Source);

            // All fields and the device share one download.
            Assert.Single(inputs.Requests, $"GET models-{kind}/small model.safetensors");
        }

        Assert.Empty(Directory.GetFileSystemEntries(kept));
        var chunks = Chunks(fromFolder.Output);
        Assert.Equal(chunks, Chunks(fromBlobs.Output));
        Assert.True(chunks.Count >= 3 * 2);
        foreach (string file in Directory.GetFiles(fromBlobs.Output, "*", SearchOption.AllDirectories))
            Assert.True(File.ReadAllBytes(file).AsSpan().IndexOf("sig="u8) < 0, $"{file} has the signature.");
        string index = Encoding.UTF8.GetString((await state.ReadAsync((await KeysAsync(state)).Single(key => key.Contains("index", StringComparison.OrdinalIgnoreCase) || key.Contains("plates", StringComparison.Ordinal)), Stop))!.Value.Span);
        Assert.DoesNotContain("sig=", index, StringComparison.Ordinal);
        string made = await File.ReadAllTextAsync(Path.Combine(fromBlobs.Output, "A/1/0/.zattrs"), Stop);
        Assert.Contains(kind == "png" ? "\"A01.png\"" : "\"0\"", made, StringComparison.Ordinal);
        Assert.Contains("\"small model.safetensors\"", made, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_blob_that_disappears_fails_its_field_with_the_reason_and_the_rest_completes()
    {
        string source = Pngs("C01", "C02");
        string prefix = Path.GetFileName(source);
        await inputs.UploadAsync(source, prefix);
        inputs.Before = request =>
        {
            if (request == $"HEAD {prefix}/C02.png")
                inputs.Container.GetBlobClient($"{prefix}/C02.png").DeleteIfExists(cancellationToken: Stop);
        };
        try
        {
            await using var silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), inputs: inputs.Files(), cancellationToken: Stop);
            var client = new GrainClient(silo.Grains);
            var last = await RunAsync(client, prefix, Request(inputs.Signed(prefix), "png"));
            Assert.Equal((PlateState.CompleteWithFailures, 1, 1), (last.State, last.FieldsComplete, last.FieldsFailed));
            var failed = (await client.GetFieldsAsync(prefix, Stop)).Single(field => field.State == FieldState.Failed);
            Assert.Equal($"C02/field 0: https://account.example/plates/{prefix}/C02.png does not exist. Check the address.", failed.Reason);
        }
        finally
        {
            inputs.Before = null;
        }
    }

    [Fact]
    public async Task A_plate_whose_signature_ended_is_submitted_again_with_another_and_retried()
    {
        string source = Pngs("E01");
        string prefix = Path.GetFileName(source);
        await inputs.UploadAsync(source, prefix);
        await using var silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), inputs: inputs.Files(), cancellationToken: Stop);
        var client = new GrainClient(silo.Grains);

        // A signature by a policy of the container's, which is taken back when the field starts.
        var policy = new BlobAccessPolicy { PolicyStartsOn = DateTimeOffset.UtcNow.AddHours(-1), PolicyExpiresOn = DateTimeOffset.UtcNow.AddHours(1), Permissions = "rl" };
        await inputs.Container.SetAccessPolicyAsync(permissions: [new BlobSignedIdentifier { Id = "brief", AccessPolicy = policy }], cancellationToken: Stop);
        string query = inputs.Container.GenerateSasUri(new BlobSasBuilder { BlobContainerName = "plates", Resource = "c", Identifier = "brief" }).Query;
        inputs.Before = request =>
        {
            if (request == $"HEAD {prefix}/E01.png")
                inputs.Container.SetAccessPolicy(permissions: [], cancellationToken: Stop);
        };
        var failed = await RunAsync(client, prefix, Request($"https://account.example/plates/{prefix}{query}", "png") with { Output = slides.File("renewed.plate.zarr") });
        inputs.Before = null;
        Assert.Equal(PlateState.Failed, failed.State);
        Assert.Contains("(403)", failed.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("sig=", failed.Error, StringComparison.Ordinal);
        await client.SubmitPlateAsync(prefix, Request(inputs.Signed(prefix), "png") with { Output = slides.File("renewed.plate.zarr") }, Stop);
        Assert.Equal(1, await client.RetryPlateAsync(prefix, Stop));
        Assert.Equal(PlateState.Complete, (await WatchAsync(client, prefix)).State);
    }

    [Fact]
    public async Task The_same_images_are_the_same_plate_and_one_that_was_written_again_is_refused()
    {
        string source = Pngs("D01");
        string prefix = Path.GetFileName(source);
        await inputs.UploadAsync(source, prefix);
        await using var silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), inputs: inputs.Files(), cancellationToken: Stop);
        var client = new GrainClient(silo.Grains);
        var request = Request($"azure://plates/{prefix}", "png");
        Assert.Equal(PlateState.Complete, (await RunAsync(client, prefix, request)).State);
        await client.SubmitPlateAsync(prefix, request, Stop);
        await inputs.UploadAsync(source, prefix);
        var changed = await Assert.ThrowsAsync<PlateException>(() => client.SubmitPlateAsync(prefix, request, Stop));
        Assert.Contains($"The images of azure://plates/{prefix} are not those", changed.Message, StringComparison.Ordinal);
        var absent = await Assert.ThrowsAsync<PlateException>(() => client.SubmitPlateAsync("absent", WithModel(request, inputs.Signed("absent.safetensors")), Stop));
        Assert.Equal("https://account.example/plates/absent.safetensors does not exist. Check the address.", absent.Message);
        await inputs.Container.GetBlobClient("bad.safetensors").UploadAsync(BinaryData.FromString("no model"), overwrite: true, Stop);
        var bad = await Assert.ThrowsAsync<PlateException>(() => client.SubmitPlateAsync("bad", WithModel(request, inputs.Signed("bad.safetensors")), Stop));
        Assert.StartsWith("https://account.example/plates/bad.safetensors: ", bad.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_image_that_was_written_again_is_not_mixed_with_what_it_was()
    {
        string png = slides.RandomSlide(64, 48)[0];
        await inputs.UploadAsync(png, "mixed.png");
        using var blobs = inputs.Files();
        using var first = new SlideImageCache(blobs);
        string[] files = ["azure://plates/mixed.png"];
        string[] versions = [.. (await ImageReader.OpenStackAsync(files, blobs, cancellationToken: Stop)).Versions];
        Assert.Equal(64, await first.UseAsync(files, versions, image => image.Info.Width, Stop));
        await inputs.UploadAsync(slides.RandomSlide(80, 48)[0], "mixed.png");
        Assert.Equal(64, await first.UseAsync(files, versions, image => image.Info.Width, Stop));

        // Another silo, which has the old one not.
        using var others = inputs.Files();
        using var second = new SlideImageCache(others);
        var changed = await Assert.ThrowsAsync<BlobStoreException>(() => second.UseAsync(files, versions, image => image.Info.Width, Stop));
        Assert.Contains("was written again", changed.Message, StringComparison.Ordinal);
        Assert.Equal(80, await second.UseAsync(files, [], image => image.Info.Width, Stop));
    }

    [Fact]
    public async Task Images_that_are_only_kept_open_make_room_for_others()
    {
        foreach (string name in (string[])["room-1.png", "room-2.png"])
            await inputs.UploadAsync(slides.RandomSlide(700, 600)[0], name);
        using var blobs = inputs.Files(new BlobFilesOptions { MaxBytes = 1 << 20 });
        using var images = new SlideImageCache(blobs);
        foreach (string name in (string[])["room-1.png", "room-2.png", "room-1.png"])
        {
            Assert.Equal(700, await images.UseAsync([$"azure://plates/{name}"], [], image => image.Info.Width, Stop));
            Assert.InRange(blobs.Held, 600_000, 1 << 20);
        }

        // Also one that is in use when the room is wanted, once that use has ended.
        using var go = new ManualResetEventSlim();
        var used = new TaskCompletionSource();
        var inUse = Task.Run(() => images.UseAsync(["azure://plates/room-1.png"], [], _ =>
        {
            used.SetResult();
            return go.Wait(TimeSpan.FromMinutes(1), Stop);
        }, Stop), Stop);
        await used.Task.WaitAsync(TimeSpan.FromMinutes(1), Stop);
        var wanting = images.UseAsync(["azure://plates/room-2.png"], [], image => image.Info.Width, Stop);
        await Task.Delay(300, Stop);
        Assert.False(wanting.IsCompleted);
        go.Set();
        Assert.True(await inUse);
        Assert.Equal(700, await wanting);
    }

    [Fact]
    public async Task A_model_is_loaded_once_and_again_where_its_file_is_another()
    {
        using var blobs = new BlobFiles();
        var models = new ModelFiles(blobs);
        string path = slides.File("described.safetensors");
        File.Copy(slides.Model, path);
        var first = await models.DescribeAsync(path, Stop);
        Assert.Same(first, await models.DescribeAsync(path, Stop));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(path, Stop))), first.Sha256);
        using (var other = StainModel.Create(new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("THIRD", 0, 40_000, "00FF00")], seed: 4))
            other.Save(path);
        var second = await models.DescribeAsync(path, Stop);
        Assert.NotEqual(first.Sha256, second.Sha256);
        Assert.Equal("THIRD", Assert.Single(second.Metadata.Labels).Name);
        await File.WriteAllTextAsync(path, "no model", Stop);
        await Assert.ThrowsAsync<ModelFileException>(() => models.DescribeAsync(path, Stop));
        File.Delete(path);
        Assert.Contains("no such file", (await Assert.ThrowsAsync<ModelFileException>(() => models.DescribeAsync(path, Stop))).Message, StringComparison.Ordinal);
    }

    private PlateRequest Request(string source, string kind) => new()
    {
        Source = source,
        Pattern = kind == "png" ? @"^(?<well>[A-P]\d\d)\.png$" : null,
        Output = slides.File($"{Guid.NewGuid():n}.plate.zarr"),
        Settings = new() { Model = slides.Model, Stride = 128, BatchSize = 2 },
    };

    private static PlateRequest WithModel(PlateRequest request, string model) => request with { Settings = request.Settings with { Model = model } };

    private string Pngs(params string[] wells)
    {
        string folder = Directory.CreateDirectory(slides.File(Guid.NewGuid().ToString("n"))).FullName;
        for (int i = 0; i < wells.Length; i++)
            File.Move(slides.RandomSlide(180 + (8 * i), 130)[0], Path.Combine(folder, wells[i] + ".png"));
        return folder;
    }

    private async Task<string> ZarrAsync(int count)
    {
        string folder = slides.File(Guid.NewGuid().ToString("n"));
        PlateField[] fields = [.. Enumerable.Range(1, count).Select(column => new PlateField("A", column, 0, []))];
        using var writer = new HcsPlateWriter(new FolderBlobStore(folder), new PlateLayout("plate", "", ["A"], [.. fields.Select(field => $"{field.Column}")], fields));
        await writer.WriteAsync(fields, Stop);
        foreach (var field in fields)
        {
            var image = new OmeZarrWriter(new FolderBlobStore(Path.Combine(folder, field.Path)), new OmeZarrImage("i", 150, 140, [new OmeZarrChannel("one")]) { ChunkSize = 64, Levels = 1 });
            await image.WriteArrayMetadataAsync(Stop);
            var random = new Random(field.Column);
            for (int chunk = 0; chunk < 9; chunk++)
                await image.WriteChunkAsync(0, 0, chunk / 3, chunk % 3, Enumerable.Range(0, 64 * 64).Select(_ => (ushort)random.Next(65_536)).ToArray(), Stop);
            await image.CompleteAsync(Stop);
        }

        return folder;
    }

    // Chunks by their keys; the rest names the source's place.
    private static SortedDictionary<string, string> Chunks(string output) => new(Directory.GetFiles(output, "*", SearchOption.AllDirectories)
        .Where(file => Path.GetFileName(file).All(char.IsAsciiDigit))
        .ToDictionary(file => Path.GetRelativePath(output, file), file => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file)))));

    private static async Task<List<string>> KeysAsync(FolderBlobStore store)
    {
        var keys = new List<string>();
        await foreach (string key in store.ListAsync("", Stop))
            keys.Add(key);
        return keys;
    }
}

using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Grains.Tests;

public class SlideTests(Slides slides) : IClassFixture<Slides>
{
    private static readonly Statistic[] AllStatistics = Enum.GetValues<Statistic>();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(256, 192, 1, 64, Blend.Uniform, 2, Precision.Float32)]
    [InlineData(530, 520, 1, 128, Blend.Gaussian, 3, Precision.BFloat16)]
    [InlineData(130, 300, 1, 100, Blend.CentreCrop, 2, Precision.Float32)]
    [InlineData(90, 70, 1, 64, Blend.Uniform, 8, Precision.BFloat16)]
    [InlineData(1, 1, 1, 64, Blend.Uniform, 8, Precision.Float32)]
    [InlineData(150, 130, 3, 64, Blend.Gaussian, 1, Precision.BFloat16)]
    public async Task The_grains_give_what_the_bare_predictor_gives(int width, int height, int planes, int stride, Blend blend, int blockSide, Precision precision)
    {
        var request = slides.Request(slides.RandomSlide(width, height, planes)).Set(settings => settings with
        {
            Stride = stride,
            Blend = blend,
            BlockSide = blockSide,
            Statistics = AllStatistics,
            AllPlanes = planes > 1,
            Precision = precision,
        });
        var status = await slides.RunAsync(request);
        Assert.Equal((SlideState.Complete, (string?)null), (status.State, status.Error));
        Assert.Equal((long)width * height, status.Report!.Check.Pixels);
        Assert.Equal(0, status.Report.Check.MisweightedPixels);
        Assert.Equal(status.TilesTotal, status.TilesDone);

        using var model = StainModel.Load(slides.Model);
        using var image = ImageReader.OpenStack(request.Files);
        var bare = SlidePredictor.Predict(
            model, image, [.. Enumerable.Range(0, planes)], [0, 1], AllStatistics, new TilingOptions(stride, blend, 64), precision, cancellationToken: Stop);
        var written = await OmeZarrReader.OpenAsync(BlobStores.Open(request.Output), Stop);
        Assert.Equal(bare.Values.Count, written.Image.Channels.Count);
        for (int channel = 0; channel < bare.Values.Count; channel++)
        {
            var label = model.Metadata.Labels[channel / AllStatistics.Length];
            var (low, high) = AllStatistics[channel % AllStatistics.Length] switch
            {
                Statistic.StandardDeviation => (0, label.High - label.Low),
                Statistic.Entropy => (0, 65_535),
                _ => (label.Low, label.High),
            };
            var expected = Array.ConvertAll(bare.Values[channel], value => (ushort)MathF.Round(low + value * (high - low)));
            Assert.Equal(expected, await written.ReadAsync(0, channel, new Region(0, 0, width, height), Stop));
            if (AllStatistics[channel % AllStatistics.Length] == Statistic.Mean && expected.Length > 1000)
                Assert.True(expected.Distinct().Count() > 20, $"{label.Name} is flat.");
        }
    }

    [Fact]
    public async Task The_size_of_the_blocks_does_not_change_a_byte_of_the_pixels()
    {
        string[] slide = slides.RandomSlide(650, 300);
        SortedDictionary<string, string>? expected = null;
        foreach (int side in (int[])[1, 3, 8])
        {
            var request = slides.Request(slide).Set(settings => settings with { BlockSide = side, Stride = 100 });
            Assert.Equal(SlideState.Complete, (await slides.RunAsync(request)).State);
            var chunks = Chunks(request.Output);
            Assert.Equal(expected ??= chunks, chunks);
        }
    }

    [Fact]
    public async Task The_output_says_what_made_it()
    {
        var request = slides.Request(slides.RandomSlide(200, 150, 2)).Set(settings => settings with { Plane = 1, Labels = ["second"] });
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(request)).State);
        var image = (await OmeZarrReader.OpenAsync(BlobStores.Open(request.Output), Stop)).Image;
        Assert.Equal(["SECOND"], image.Channels.Select(channel => channel.Label));
        var made = image.Attributes!;
        using var model = StainModel.Load(slides.Model);
        Assert.Equal(model.Sha256, made["model"]!["sha256"]!.GetValue<string>());
        Assert.Equal("residual", made["model"]!["variant"]!.GetValue<string>());
        Assert.Equal(await ImageHash.ComputeAsync(request.Files, Stop), made["source"]!["sha256"]!.GetValue<string>());
        Assert.Equal(64, made["tiling"]!["stride"]!.GetValue<int>());
        Assert.Equal("gaussian", made["tiling"]!["blend"]!.GetValue<string>());
        Assert.Equal(1, made["normalisation"]!["planes"]![0]!["plane"]!.GetValue<int>());
        Assert.Equal(0, made["check"]!["pixels_missing"]!.GetValue<int>());
        Assert.NotEmpty(made["version"]!.GetValue<string>());
    }

    [Fact]
    public async Task A_cancelled_slide_ends_soon_and_its_output_is_marked_incomplete()
    {
        var request = slides.Request(slides.RandomSlide(2000, 2000)).Set(settings => settings with { Stride = 32 });
        string slide = await slides.Client.SubmitAsync(request);
        SlideStatus? last = null;
        await foreach (var status in slides.Client.WatchAsync(slide, Stop))
        {
            last = status;
            if (status.TilesDone > 0)
                await slides.Client.CancelAsync(slide);
        }

        Assert.Equal(SlideState.Cancelled, last!.State);
        Assert.True(last.TilesDone < last.TilesTotal);
        Assert.Equal("incomplete", await SlideOutput.StateAsync(BlobStores.Open(request.Output), Stop));
        await Assert.ThrowsAsync<ImageException>(() => OmeZarrReader.OpenAsync(BlobStores.Open(request.Output), Stop));

        // The device is free again.
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(slides.Request(slides.RandomSlide(128, 128))).WaitAsync(TimeSpan.FromMinutes(3), Stop)).State);
    }

    [Fact]
    public async Task Slides_submitted_together_all_complete()
    {
        var requests = Enumerable.Range(0, 6).Select(i => slides.Request(slides.RandomSlide(200 + 30 * i, 180))).ToArray();
        var ends = await Task.WhenAll(requests.Select(slides.RunAsync));
        Assert.All(ends, end => Assert.Equal(SlideState.Complete, end.State));
    }

    [Fact]
    public async Task The_same_submission_twice_is_one_slide_and_another_one_under_its_id_is_refused()
    {
        var request = slides.Request(slides.RandomSlide(140, 140));
        string id = await slides.Client.SubmitAsync(request);
        Assert.Equal(id, await slides.Client.SubmitAsync(request with { Files = [.. request.Files] }, id));
        await Assert.ThrowsAsync<InvalidOperationException>(() => slides.Client.SubmitAsync(request.Set(settings => settings with { Stride = 32 }), id));
        await foreach (var _ in slides.Client.WatchAsync(id, Stop))
        {
            // To its end, or it would write into what is deleted.
        }
    }

    [Fact]
    public async Task A_complete_output_is_replaced_only_when_told_and_foreign_files_never()
    {
        var request = slides.Request(slides.RandomSlide(140, 140));
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(request)).State);
        var refused = await slides.RunAsync(request);
        Assert.Equal(SlideState.Failed, refused.State);
        Assert.Contains("--overwrite", refused.Error);
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(request with { Overwrite = true })).State);

        string foreign = slides.File("foreign");
        Directory.CreateDirectory(foreign);
        string treasure = Path.Combine(foreign, "treasure.txt");
        await File.WriteAllTextAsync(treasure, "mine", Stop);
        var other = await slides.RunAsync(request with { Output = foreign, Overwrite = true });
        Assert.Equal(SlideState.Failed, other.State);
        Assert.Contains("not StainGrid's", other.Error);
        Assert.Equal("mine", await File.ReadAllTextAsync(treasure, Stop));
    }

    [Fact]
    public async Task A_stopped_slide_goes_on_where_it_was_and_gives_the_same_bytes()
    {
        string[] slide = slides.RandomSlide(1100, 1100);
        var calm = slides.Request(slide).Set(settings => settings with { BlockSide = 2 });
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(calm)).State);

        var request = calm with { Output = slides.File("stopped.ome.zarr") };
        string id = await CancelAsync(request, chunks: 2, held: 36);   // 81 blocks; the first 36 are those of the three chunks on top

        var store = BlobStores.Open(request.Output);
        var plan = JsonDocument.Parse((await store.ReadAsync(SlideOutput.MarkerKey, Stop))!.Value).RootElement.GetProperty("plan").GetString()!;
        var durable = await BandCommits.ReadAllAsync(store, plan, 3, Stop);
        Assert.InRange(durable.Count, 2, 8);
        var written = durable.SelectMany(chunk => (int[])[0, 1], (chunk, channel) => Path.Combine(request.Output, $"0/0/{channel}/0/{chunk.Row}/{chunk.Column}"))
            .ToDictionary(file => file, File.GetLastWriteTimeUtc);

        var last = await slides.RunAsync(request.Set(settings => settings with { BlockSide = 3 }));
        Assert.Equal((SlideState.Complete, (string?)null), (last.State, last.Error));
        Assert.True(last.TilesTotal < (await slides.Grains.GetGrain<ISlideGrain>(id).GetStatusAsync()).TilesTotal, "Tiles of durable chunks were computed again.");
        Assert.Equal(1100L * 1100, last.Report!.Check.Pixels);
        Assert.All(written, file => Assert.Equal(file.Value, File.GetLastWriteTimeUtc(file.Key)));
        Assert.Equal(Chunks(calm.Output), Chunks(request.Output));
    }

    [Fact]
    public async Task A_slide_whose_output_is_removed_fails_and_is_not_computed_for_ever()
    {
        var request = slides.Request(slides.RandomSlide(1100, 1100)).Set(settings => settings with { BlockSide = 2 });
        SlideStatus? last = null;
        using var held = slides.Blocks.From(36);   // as above
        await foreach (var status in slides.Client.WatchAsync(await slides.Client.SubmitAsync(request), Stop))
        {
            last = status;
            if (status.ChunksDone > 0 && File.Exists(Path.Combine(request.Output, SlideOutput.MarkerKey)))
            {
                File.Delete(Path.Combine(request.Output, SlideOutput.MarkerKey));
                Directory.Move(Path.Combine(request.Output, BandCommits.Prefix), slides.File("removed"));   // at once
                held.Dispose();
            }
        }

        Assert.Equal(SlideState.Failed, last!.State);
        Assert.Contains("removed while", last.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stopped_slide_with_other_labels_reuses_nothing()
    {
        var request = slides.Request(slides.RandomSlide(700, 700)).Set(settings => settings with { BlockSide = 2, Stride = 32 });
        await CancelAsync(request, chunks: 1, held: 80);   // of 100 blocks; the first chunk's last is 77
        var other = request.Set(settings => settings with { Labels = ["SECOND"] });
        var fresh = other with { Output = slides.File("fresh.ome.zarr") };
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(other)).State);
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(fresh)).State);
        Assert.Equal(Chunks(fresh.Output), Chunks(request.Output));
    }

    [Fact]
    public async Task A_complete_output_of_the_same_plan_is_kept_when_told()
    {
        var request = slides.Request(slides.RandomSlide(140, 140)) with { KeepComplete = true };
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(request)).State);
        var again = await slides.RunAsync(request);
        Assert.Equal((SlideState.Complete, 0L), (again.State, again.TilesDone));
        Assert.Equal(SlideState.Failed, (await slides.RunAsync(request.Set(settings => settings with { Stride = 100 }))).State);
    }

    // Cancels a slide once some of its chunks are durable, before its blocks from one on are computed.
    private async Task<string> CancelAsync(SlideRequest request, int chunks, int held)
    {
        using var hold = slides.Blocks.From(held);
        string id = await slides.Client.SubmitAsync(request);
        SlideStatus? last = null;
        await foreach (var status in slides.Client.WatchAsync(id, Stop))
        {
            last = status;
            if (status.ChunksDone >= chunks)
                await slides.Client.CancelAsync(id);
        }

        Assert.Equal(SlideState.Cancelled, last!.State);
        return id;
    }

    private static SortedDictionary<string, string> Chunks(string output) => new(
        Directory.GetFiles(output, "*", SearchOption.AllDirectories)
            .Where(file => char.IsAsciiDigit(Path.GetRelativePath(output, file)[0]) && char.IsAsciiDigit(Path.GetFileName(file)[0]))
            .ToDictionary(file => Path.GetRelativePath(output, file), file => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file)))),
        StringComparer.Ordinal);

    [Fact]
    public async Task A_model_that_changes_while_a_slide_runs_fails_the_slide_and_says_so()
    {
        // The silo must not know this model yet, and must meet the changed file: so the device's leases are taken by other slides, of one block each.
        string path = slides.File("changing.safetensors");
        using (var model = StainModel.Create(new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("A", 0, 9, "FFFFFF")], 1))
            model.Save(path);
        var busy = new List<string>();
        using var held = slides.Blocks.From(0);
        for (int lease = 0; lease < new DeviceOptions().Leases; lease++)
            busy.Add(await slides.Client.SubmitAsync(slides.Request(slides.RandomSlide(130, 130))));
        while ((await slides.Grains.GetGrain<IDispatcherGrain>(0).GetStatusAsync()).Leased < busy.Count)
            await Task.Delay(20, Stop);
        var request = slides.Request(slides.RandomSlide(140, 140)).Set(settings => settings with { Model = path });
        string waiting = await slides.Client.SubmitAsync(request);
        await foreach (var status in slides.Client.WatchAsync(waiting, Stop))
        {
            if (status.State == SlideState.Running)
            {
                using var other = StainModel.Create(new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("A", 0, 9, "FFFFFF")], 2);
                other.Save(path);
                break;
            }
        }

        foreach (string slide in busy)
            await slides.Client.CancelAsync(slide);
        held.Dispose();
        SlideStatus? last = null;
        await foreach (var status in slides.Client.WatchAsync(waiting, Stop))
            last = status;
        Assert.Equal(SlideState.Failed, last!.State);
        Assert.Contains("another than when the slide was started", last.Error);
        Assert.Equal("incomplete", await SlideOutput.StateAsync(BlobStores.Open(request.Output), Stop));
    }

    [Fact]
    public async Task A_full_disk_fails_the_slide_in_a_clear_line_and_leaves_the_output_marked_incomplete()
    {
        string disk = slides.File("small-disk");
        Directory.CreateDirectory(disk);
        Assert.SkipUnless(Run("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk) == 0, "A small disk can only be made as root.");
        try
        {
            var request = slides.Request(slides.RandomSlide(700, 700)) with { Output = Path.Combine(disk, "out.ome.zarr") };
            var status = await slides.RunAsync(request);
            Assert.Equal(SlideState.Failed, status.State);
            Assert.Contains("space", status.Error, StringComparison.OrdinalIgnoreCase);
            Assert.DoesNotContain('\n', status.Error!);
            Assert.Equal("incomplete", await SlideOutput.StateAsync(BlobStores.Open(request.Output), Stop));
        }
        finally
        {
            Run("umount", "--lazy", disk);   // a write may be on its way
        }

        static int Run(string command, params string[] arguments)
        {
            using var process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode;
        }
    }
}

using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Silo;
using static StainGrid.Grains.Tests.PlateRuns;

namespace StainGrid.Grains.Tests;

public class PlateTests(Slides slides) : IClassFixture<Slides>
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_plate_becomes_one_readable_plate_whose_fields_are_those_of_slides_alone()
    {
        string source = Plate("A01", "A02", "B03");
        var request = Request(source);
        var last = await RunAsync(slides.Client, "whole", request);
        Assert.Equal((PlateState.Complete, (string?)null), (last.State, last.Error));
        Assert.Equal((3, 3, 3), (last.Wells, last.Fields, last.FieldsComplete));

        var again = await PlateDiscovery.DiscoverAsync(request.Output, null, slides.Blobs, Stop);
        Assert.Equal(["A/1/0", "A/2/0", "B/3/0"], again.Fields.Select(field => field.Path));
        var alone = slides.Request([Path.Combine(source, "B03.png")]).Set(settings => settings with { Stride = request.Settings.Stride });
        Assert.Equal(SlideState.Complete, (await slides.RunAsync(alone)).State);
        string chunk = Path.Combine("0", "0", "1", "0", "0", "0");
        Assert.Equal(await File.ReadAllBytesAsync(Path.Combine(alone.Output, chunk), Stop), await File.ReadAllBytesAsync(Path.Combine(request.Output, "B/3/0", chunk), Stop));
        string[] table = await File.ReadAllLinesAsync(Path.Combine(request.Output, PlateOutput.TableName + ".csv"), Stop);
        Assert.Equal(1 + (3 * 2), table.Length);
        Assert.True(new FileInfo(Path.Combine(request.Output, PlateOutput.TableName + ".parquet")).Length > 100);
        Assert.Contains(await slides.Client.ListPlatesAsync(), plate => plate is { PlateId: "whole", State: PlateState.Complete });
    }

    [Fact]
    public async Task A_field_that_cannot_be_read_fails_with_its_reason_and_the_others_complete()
    {
        string source = Plate("C01", "C02");
        byte[] whole = await File.ReadAllBytesAsync(Path.Combine(source, "C01.png"), Stop);
        await File.WriteAllBytesAsync(Path.Combine(source, "C02.png"), whole[..(whole.Length / 2)], Stop);
        var request = Request(source);
        var last = await RunAsync(slides.Client, "broken", request);
        Assert.Equal((PlateState.CompleteWithFailures, 1, 1), (last.State, last.FieldsComplete, last.FieldsFailed));
        var failed = (await slides.Client.GetFieldsAsync("broken", Stop)).Single(field => field.State == FieldState.Failed);
        Assert.Equal("C02", failed.Well);
        Assert.Contains("C02.png", failed.Reason);
        Assert.StartsWith("C02/field 0: ", failed.Reason);

        // Mended and retried, the plate is whole.
        await File.WriteAllBytesAsync(Path.Combine(source, "C02.png"), whole, Stop);
        Assert.Equal(1, await slides.Client.RetryPlateAsync("broken", Stop));
        Assert.Equal(PlateState.Complete, (await WatchAsync(slides.Client, "broken")).State);
        Assert.Equal(2, (await PlateDiscovery.DiscoverAsync(request.Output, null, slides.Blobs, Stop)).Fields.Count);
    }

    [Fact]
    public async Task A_manifest_s_file_that_is_not_there_fails_its_field_and_the_others_complete()
    {
        string source = Plate("C05"), manifest = Path.Combine(source, "plate.csv");
        await File.WriteAllTextAsync(manifest, "well,field,plane,file\nC05,0,0,C05.png\nC06,0,0,gone.png\n", Stop);
        var last = await RunAsync(slides.Client, "gone", Request(manifest) with { Pattern = null });
        Assert.Equal((PlateState.CompleteWithFailures, 1, 1), (last.State, last.FieldsComplete, last.FieldsFailed));
        var failed = (await slides.Client.GetFieldsAsync("gone", Stop)).Single(field => field.State == FieldState.Failed);
        Assert.StartsWith("C06/field 0: ", failed.Reason);
        Assert.Contains("gone.png", failed.Reason);
    }

    [Fact]
    public async Task The_same_submission_is_the_same_plate_and_others_under_its_id_or_output_are_refused()
    {
        string source = Plate("D01");
        var request = Request(source);
        await slides.Client.SubmitPlateAsync("same", request, Stop);
        await slides.Client.SubmitPlateAsync("same", request.Set(settings => settings with { Labels = [] }), Stop);
        await RefusedAsync("same", request.Set(settings => settings with { Labels = ["FIRST"] }), "other settings");
        await RefusedAsync("another", request, "holds the plate same");
        Assert.Equal(PlateState.Complete, (await WatchAsync(slides.Client, "same")).State);
        File.Copy(Path.Combine(source, "D01.png"), Path.Combine(source, "D02.png"));
        await RefusedAsync("same", request, "not those");
    }

    [Fact]
    public async Task What_cannot_be_done_is_refused_when_it_is_submitted()
    {
        var request = Request(Plate("E01"));
        await RefusedAsync("no-label", request.Set(settings => settings with { Labels = ["NO_SUCH"] }), "NO_SUCH");
        await RefusedAsync("no-model", request.Set(settings => settings with { Model = slides.File("absent.safetensors") }), "absent.safetensors");
        await RefusedAsync("no-source", request with { Source = slides.File("absent") }, "absent");
        await RefusedAsync("no-image", request with { Source = Directory.CreateDirectory(slides.File("empty")).FullName }, "empty");
        await RefusedAsync("no-stride", request.Set(settings => settings with { Stride = 1000 }), "stride");
        Assert.Equal(PlateState.New, (await slides.Client.GetPlateAsync("no-label", Stop)).State);
    }

    [Fact]
    public async Task A_cancelled_plate_stops_keeps_what_is_complete_and_can_be_retried()
    {
        var request = Request(Plate([.. Enumerable.Range(1, 24).Select(column => $"F{column:00}")]));
        await slides.Client.SubmitPlateAsync("cancelled", request, Stop);
        await foreach (var status in slides.Client.WatchPlateAsync("cancelled", Stop))
        {
            if (status.FieldsComplete > 0)
                break;
        }

        await slides.Client.CancelPlateAsync("cancelled", Stop);
        var last = await WatchAsync(slides.Client, "cancelled");
        Assert.Equal(PlateState.Cancelled, last.State);
        Assert.InRange(last.FieldsComplete, 1, 23);
        Assert.Equal(24 - last.FieldsComplete, await slides.Client.RetryPlateAsync("cancelled", Stop));
        Assert.Equal(24 - last.FieldsComplete, await slides.Grains.GetGrain<IPlateGrain>("cancelled").RetryAsync(last.Generation));   // the answer was lost
        Assert.Equal(last.Generation + 1, (await slides.Client.GetPlateAsync("cancelled", Stop)).Generation);
        Assert.Equal(PlateState.Complete, (await WatchAsync(slides.Client, "cancelled")).State);
    }

    [Fact]
    public async Task A_plate_whose_silo_stopped_goes_on_in_the_next_without_computing_complete_fields_again()
    {
        var request = Request(Plate([.. Enumerable.Range(1, 24).Select(column => $"G{column:00}")]));
        var state = BlobStores.Open(slides.File("state"));
        await using (var first = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: state, cancellationToken: Stop))
        {
            var client = new GrainClient(first.Grains);
            await client.SubmitPlateAsync("long", request, Stop);
            await foreach (var status in client.WatchPlateAsync("long", Stop))
            {
                if (status.FieldsComplete >= 2)
                    break;
            }
        }

        var complete = Directory.GetFiles(request.Output, "staingrid.json", SearchOption.AllDirectories)
            .Where(marker => File.ReadAllText(marker).Contains("\"complete\"", StringComparison.Ordinal)).ToDictionary(marker => marker, File.GetLastWriteTimeUtc);
        Assert.InRange(complete.Count, 2, 23);

        // Nobody submits again: the new silo finds the plate by itself.
        await using var second = await EmbeddedSilo.StartAsync(new DeviceOptions(), state: state, cancellationToken: Stop);
        var last = await WatchAsync(new GrainClient(second.Grains), "long");
        Assert.Equal((PlateState.Complete, 24), (last.State, last.FieldsComplete));
        Assert.All(complete, marker => Assert.Equal(marker.Value, File.GetLastWriteTimeUtc(marker.Key)));
    }

    private async Task RefusedAsync(string plate, PlateRequest request, string why)
    {
        var e = await Assert.ThrowsAsync<PlateException>(() => slides.Client.SubmitPlateAsync(plate, request, Stop));
        Assert.Contains(why, e.Message, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain('\n', e.Message);
    }

    private PlateRequest Request(string source) => new()
    {
        Source = source,
        Pattern = @"^(?<well>[A-P]\d\d)\.png$",
        Settings = new() { Model = slides.Model, Stride = 128, BatchSize = 2 },
        Output = slides.File($"{Guid.NewGuid():n}.plate.zarr"),
    };

    private string Plate(params string[] wells)
    {
        string folder = Directory.CreateDirectory(slides.File(Guid.NewGuid().ToString("n"))).FullName;
        for (int i = 0; i < wells.Length; i++)
            File.Move(slides.RandomSlide(180 + (8 * i), 130)[0], Path.Combine(folder, wells[i] + ".png"));
        return folder;
    }
}

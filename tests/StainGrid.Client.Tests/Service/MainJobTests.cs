using StainGrid.Contracts;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

/// <summary>The main job against a real service on one machine.</summary>
public sealed class MainJobTests(ServedFixture served) : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_folder_is_uploaded_stained_watched_and_read()
    {
        await served.StartAsync(Stop);
        ServedFixture.WritePlate(folder.Path, 3);
        using var client = served.Client();
        var model = Assert.Single(await client.ListModelsAsync(Stop));
        Assert.True(model.IsDefault);
        string upload = await client.UploadAsync(folder.Path, null, Stop);
        var submission = new PlateSubmission { Source = $"upload:{upload}", Name = "Plate ü", Pattern = ServedFixture.Pattern, Labels = [model.Labels[0]] };
        var plate = await client.SubmitAsync(submission, "key-" + upload, Stop);
        Assert.Equal(plate.PlateId, (await client.SubmitAsync(submission, "key-" + upload, Stop)).PlateId);
        Assert.Equal(StainGridError.Conflict, (await Assert.ThrowsAsync<StainGridException>(() => client.SubmitAsync(submission with { Stride = 32 }, "key-" + upload, Stop))).Error);

        var seen = new List<PlateChange>();
        await foreach (var change in client.WatchAsync(plate.PlateId, cancellationToken: Stop))
            seen.Add(change);
        Assert.Equal((PlateState.Complete, 3), (seen[^1].Status.State, seen[^1].Status.FieldsComplete));
        Watches.AssertWhole(seen, 3);
        Assert.Equal(seen[^1].Status, await client.GetAsync(plate.PlateId, Stop));
        await foreach (var change in client.WatchAsync(plate.PlateId, seen[^1].Status.Version, Stop))
            Assert.Equal((seen[^1].Status, 0), (change.Status, change.Fields.Count));

        string[] paths = [.. (await client.GetFieldsAsync(plate.PlateId, Stop)).Select(field => field.Path)];
        Assert.Equal(["A/1/0", "A/2/0", "A/3/0"], paths);
        var image = await client.ReadAsync(plate.PlateId, paths[1], model.Labels[0], cancellationToken: Stop);
        Assert.Equal((128, 128, 128 * 128), (image.Width, image.Height, image.Pixels.Length));
        Assert.True(image.Pixels.ToArray().Distinct().Count() > 10, "The image is flat.");
        using var table = new StreamReader(await client.OpenAsync(plate.PlateId, "staingrid-fields.csv", Stop));
        string[][] rows = [.. (await table.ReadToEndAsync(Stop)).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Trim().Split(','))];
        Assert.Equal(("A01", "complete", "1"), (rows[1][0], rows[1][Array.IndexOf(rows[0], "State")], rows[1][Array.IndexOf(rows[0], "Tiles")]));
        Assert.Contains((await client.ListAsync(new PlateQuery { Text = "plate Ü", State = PlateState.Complete }, Stop)), one => one.PlateId == plate.PlateId);

        Assert.Equal(0, await client.RetryAsync(plate.PlateId, Stop));
        Assert.Equal(PlateState.Complete, (await client.CancelAsync(plate.PlateId, Stop)).State);
        Assert.Equal(StainGridError.NotFound, (await Assert.ThrowsAsync<StainGridException>(() => client.OpenAsync(plate.PlateId, "nothing", Stop))).Error);
        Assert.Equal(StainGridError.NotFound, (await Assert.ThrowsAsync<StainGridException>(() => client.GetAsync(ServiceId.New(), Stop))).Error);
        Assert.Equal(StainGridError.Refused, (await Assert.ThrowsAsync<StainGridException>(() => client.SubmitAsync(submission with { Weight = 1000 }, null, Stop))).Error);
    }

    [Fact]
    public async Task A_cancelled_plate_is_retried_once_though_it_is_asked_twice()
    {
        await served.StartAsync(Stop);
        using var client = served.Client();
        var plate = await client.SubmitAsync(new PlateSubmission { Source = "share:plates/twelve", Pattern = ServedFixture.Pattern }, cancellationToken: Stop);
        var cancelled = await client.CancelAsync(plate.PlateId, Stop);
        Assert.Equal(PlateState.Cancelled, cancelled.State);
        var seen = new List<PlateChange>();
        await foreach (var change in client.WatchAsync(plate.PlateId, cancellationToken: Stop))
            seen.Add(change);
        Watches.AssertWhole(seen, 12);
        int left = (await client.GetFieldsAsync(plate.PlateId, Stop)).Count(field => field.State == FieldState.Cancelled);

        // The second is the first again, as after a lost answer: it says the same and does nothing.
        using var http = new HttpClient { BaseAddress = served.Address, DefaultRequestHeaders = { Authorization = new("Bearer", served.Key) } };
        Assert.Equal(left, await client.RetryAsync(plate.PlateId, Stop));
        using var again = await http.PostAsync($"v1/plates/{plate.PlateId}/retry?generation={cancelled.Generation}", null, Stop);
        Assert.Equal($$"""{"fields":{{left}}}""", await again.Content.ReadAsStringAsync(Stop));
        Assert.Equal(cancelled.Generation + 1, (await client.GetAsync(plate.PlateId, Stop)).Generation);
        PlateStatus? last = null;
        await foreach (var change in client.WatchAsync(plate.PlateId, cancellationToken: Stop))
            last = change.Status;
        Assert.Equal(PlateState.Complete, last!.State);
    }

    [Fact]
    public async Task Without_a_key_or_with_a_wrong_one_nothing_is_told()
    {
        await served.StartAsync(Stop);
        foreach (string? key in (string?[])[null, "sgk_wrong", served.Key + "x"])
        {
            using var client = new HttpStainGridClient(served.Address, new HttpStainGridOptions { ApiKey = key });
            Assert.Equal(StainGridError.Unauthenticated, (await Assert.ThrowsAsync<StainGridException>(() => client.ListAsync(null, Stop))).Error);
        }
    }
}

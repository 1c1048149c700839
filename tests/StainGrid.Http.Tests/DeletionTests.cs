using System.Net;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Grains;

namespace StainGrid.Http.Tests;

/// <summary>What callers delete.</summary>
public sealed class DeletionTests(Service service) : IClassFixture<Service>
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_deleted_plate_is_not_there_any_more_and_takes_its_result_along()
    {
        using var client = service.Client(service.Submitter);
        string id = await Service.RunAsync(client, "share:all/plate");
        string result = service.File("results", "lab-a", id);
        Assert.True(Directory.Exists(result));
        using (var other = service.Client(service.Other))
            Assert.Equal(HttpStatusCode.NotFound, (await other.DeleteAsync($"/v1/plates/{id}", Stop)).StatusCode);
        using (var reader = service.Client(service.Reader))
            Assert.Equal(HttpStatusCode.Forbidden, (await reader.DeleteAsync($"/v1/plates/{id}", Stop)).StatusCode);
        Assert.Equal("complete", (string)(await Service.JsonAsync(await client.GetAsync($"/v1/plates/{id}", Stop)))["state"]!);

        Assert.Equal(HttpStatusCode.NoContent, (await client.DeleteAsync($"/v1/plates/{id}", Stop)).StatusCode);
        foreach (string path in (string[])["", "/fields", "/events", "/files", "/zarr/.zattrs", "/input/B/2/0/.zattrs"])
            Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"/v1/plates/{id}{path}", Stop)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await client.DeleteAsync($"/v1/plates/{id}", Stop)).StatusCode);
        Assert.DoesNotContain(id, await client.GetStringAsync("/v1/plates", Stop));
        await UntilAsync(() => !Directory.Exists(result) && !File.Exists(State("plate", id)) && !File.Exists(State("layout", id)));
        Assert.True(File.Exists(Path.Combine(service.InShare("plate"), "r02c02f01p01-ch1sk1fk1fl1.tiff")));
    }

    [Fact]
    public async Task A_plate_that_runs_is_refused_and_one_that_was_cancelled_is_not()
    {
        Service.WritePlate(service.InShare("many"), 12, seed: 20);
        using var client = service.Client(service.Submitter);
        var held = service.Gate.Hold<IStitcherGrain>(nameof(IStitcherGrain.AddAsync));
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/many", more: ",\"stride\":16")))["plate_id"]!;
        await held.Reached;
        using var refused = await client.DeleteAsync($"/v1/plates/{id}", Stop);
        Assert.Equal(HttpStatusCode.Conflict, refused.StatusCode);
        Assert.Equal("The plate runs. Cancel it, then delete it.", (string)JsonNode.Parse(await refused.Content.ReadAsStringAsync(Stop))!["title"]!);
        (await client.PostAsync($"/v1/plates/{id}/cancel", null, Stop)).EnsureSuccessStatusCode();
        held.Go();
        (await client.DeleteAsync($"/v1/plates/{id}", Stop)).EnsureSuccessStatusCode();
        await UntilAsync(() => !File.Exists(State("plate", id)));
        await Task.Delay(1000, Stop);
        Assert.False(Directory.Exists(service.File("results", "lab-a", id)));   // nor does a slide that was on its way write it again
    }

    [Fact]
    public async Task An_upload_goes_with_the_last_plate_that_was_made_from_it()
    {
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", Service.Png(3)));
        string first = await Service.RunAsync(client, $"upload:{upload}"), second = await Service.RunAsync(client, $"upload:{upload}");
        string folder = service.File("uploads", "lab-a", upload);
        (await client.DeleteAsync($"/v1/plates/{first}", Stop)).EnsureSuccessStatusCode();
        await UntilAsync(() => !File.Exists(State("plate", first)));
        Assert.True(Directory.Exists(folder));
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync($"/v1/plates/{second}/input/B/2/0/.zattrs", Stop)).StatusCode);
        (await client.DeleteAsync($"/v1/plates/{second}", Stop)).EnsureSuccessStatusCode();
        await UntilAsync(() => !File.Exists(State("plate", second)));
        Assert.False(Directory.Exists(folder));
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"/v1/uploads/{upload}", Stop)).StatusCode);
    }

    [Fact]
    public async Task An_upload_stays_while_a_plate_is_being_submitted_from_it()
    {
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", Service.Png(4)));
        string first = await Service.RunAsync(client, $"upload:{upload}");
        var held = service.Gate.Hold<IPlateGrain>(nameof(IPlateGrain.SubmitAsync));
        var submitted = Service.SubmitAsync(client, $"upload:{upload}");
        await held.Reached;   // it is in no list yet
        (await client.DeleteAsync($"/v1/plates/{first}", Stop)).EnsureSuccessStatusCode();
        await UntilAsync(() => !File.Exists(State("plate", first)));
        held.Go();
        string second = (string)(await Service.JsonAsync(await submitted))["plate_id"]!;
        Assert.Equal("complete", await Service.EndAsync(client, second));

        // And goes when there is none any more.
        (await client.DeleteAsync($"/v1/plates/{second}", Stop)).EnsureSuccessStatusCode();
        await UntilAsync(() => !Directory.Exists(service.File("uploads", "lab-a", upload)));
    }

    [Fact]
    public async Task A_plate_that_is_submitted_while_its_upload_is_deleted_is_refused()
    {
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", Service.Png(5)));
        string first = await Service.RunAsync(client, $"upload:{upload}");
        var held = service.Gate.Hold<IPlateIndexGrain>(nameof(IPlateIndexGrain.LastUseAsync), done: true);
        (await client.DeleteAsync($"/v1/plates/{first}", Stop)).EnsureSuccessStatusCode();
        await held.Reached;   // the upload is known to be of no plate
        var submitted = Service.SubmitAsync(client, $"upload:{upload}");
        await Task.Delay(1000, Stop);
        held.Go();
        using var refused = await submitted;
        Assert.Contains("There is no source", await refused.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
        Assert.False(refused.IsSuccessStatusCode);
        Assert.False(Directory.Exists(service.File("uploads", "lab-a", upload)));
    }

    [Fact]
    public async Task The_id_of_a_deleted_plate_can_be_used_again()
    {
        using var client = service.Client(service.Submitter);
        string key = Guid.NewGuid().ToString();
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/plate", key)))["plate_id"]!;
        await Service.EndAsync(client, id);
        byte[] before = await client.GetByteArrayAsync($"/v1/plates/{id}/input/B/2/0/0/0/0/0/0/0", Stop);
        (await client.DeleteAsync($"/v1/plates/{id}", Stop)).EnsureSuccessStatusCode();
        await UntilAsync(() => !File.Exists(State("plate", id)));
        Service.WritePlate(service.InShare("another"), 1, seed: 50);
        var again = await Service.SubmitAsync(client, "share:all/another", key);
        for (int tries = 0; again.StatusCode == HttpStatusCode.Conflict && tries < 100; tries++, again = await Service.SubmitAsync(client, "share:all/another", key))
            await Task.Delay(100, Stop);   // its file has gone, the rest goes now
        Assert.Equal(id, (string)(await Service.JsonAsync(again))["plate_id"]!);
        Assert.Equal("complete", await Service.EndAsync(client, id));
        Assert.Single((await Service.JsonAsync(await client.GetAsync($"/v1/plates/{id}/fields", Stop)))["fields"]!.AsArray());
        Assert.Contains(id, await client.GetStringAsync("/v1/plates", Stop));
        Assert.NotEqual(before, await client.GetByteArrayAsync($"/v1/plates/{id}/input/B/2/0/0/0/0/0/0/0", Stop));   // which is kept open
    }

    [Fact]
    public async Task The_same_submission_after_a_deletion_is_stained_anew()
    {
        using var client = service.Client(service.Submitter);
        string key = Guid.NewGuid().ToString(), id = "";
        byte[]? first = null;
        for (int round = 0; round < 2; round++)
        {
            id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/plate", key)))["plate_id"]!;
            Assert.Equal("complete", await Service.EndAsync(client, id));
            byte[] chunk = await client.GetByteArrayAsync($"/v1/plates/{id}/zarr/B/2/0/0/0/0/0/0/0", Stop);   // what was kept of the first has no pixels for it
            Assert.Equal(first ?? chunk, chunk);
            first = chunk;
            (await client.DeleteAsync($"/v1/plates/{id}", Stop)).EnsureSuccessStatusCode();
            await UntilAsync(() => !File.Exists(State("plate", id)));
        }
    }

    private string State(string name, string id) => service.File("state", $"{name}-plate", $"lab-a~{id}.json");

    internal static async Task UntilAsync(Func<bool> there)
    {
        for (var deadline = DateTime.UtcNow.AddMinutes(3); !there(); await Task.Delay(50, Stop))
            Assert.True(DateTime.UtcNow < deadline, "It is still so after three minutes.");
    }
}

/// <summary>What goes by age.</summary>
public sealed class RetentionTests : IAsyncLifetime
{
    private readonly Service service = new()
    {
        Retention = new RetentionOptions { Results = TimeSpan.FromDays(40), Uploads = TimeSpan.FromDays(10), Audit = TimeSpan.FromDays(90) },
    };

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private IRetentionGrain Retention => service.Grains.GetGrain<IRetentionGrain>(0);

    /// <inheritdoc/>
    public ValueTask InitializeAsync() => service.InitializeAsync();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => service.DisposeAsync();

    [Fact]
    public async Task What_is_older_than_it_is_kept_goes_and_nothing_else()
    {
        using var client = service.Client(service.Submitter);
        string unused = await UploadAsync(client, "a.png", -11), fresh = await UploadAsync(client, "a.png", -9);
        string used = await UploadAsync(client, "r02c02f01p01-ch1sk1fk1fl1.tiff", -50), usedLater = await UploadAsync(client, "r02c02f01p01-ch1sk1fk1fl1.tiff", -50);
        string begun = await Service.UploadAsync(client);
        (await Service.BeginAsync(client, begun, "b.png", 1000)).EnsureSuccessStatusCode();
        string older = DateTime.UtcNow.AddDays(-100).ToString("yyyy-MM-dd"), today = DateTime.UtcNow.ToString("yyyy-MM-dd");
        Directory.CreateDirectory(service.File("state", "service", "audit", older));
        await File.WriteAllTextAsync(service.File("state", "service", "audit", older, "1-x.jsonl"), "{}\n", Stop);
        await DeletionTests.UntilAsync(() => Directory.Exists(service.File("state", "service", "audit", today)));

        // The uploads' days count from their last use, the plates' from their ends.
        string plate = await RunAsync(client, $"upload:{usedLater}", -41), younger = await RunAsync(client, $"upload:{used}", -39), again = await RunAsync(client, $"upload:{usedLater}", -9);

        // A dry run only tells it.
        foreach (bool dryRun in (bool[])[true, false])
        {
            var told = await Retention.RunAsync(dryRun);
            Assert.Equal([$"lab-a~{plate}"], told.Plates);
            Assert.Equal(new HashSet<string> { $"lab-a/{unused}", $"lab-a/{used}" }, told.Uploads.ToHashSet());
            Assert.Equal((older, false, 0, null), (Assert.Single(told.AuditDays), told.HasMore, told.Failures, told.Refused));
            Assert.Equal(dryRun, Directory.Exists(service.File("state", "service", "audit", older)));
            Assert.Equal((dryRun, dryRun), (Directory.Exists(Upload(unused)), Directory.Exists(Upload(used))));
        }

        Assert.True(Directory.Exists(service.File("state", "service", "audit", today)));
        Assert.True(Directory.Exists(Upload(fresh)) && Directory.Exists(Upload(usedLater)) && Directory.Exists(service.File("uploads", ".parts", "lab-a", begun)));
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"/v1/plates/{plate}", Stop)).StatusCode);
        await DeletionTests.UntilAsync(() => !Directory.Exists(service.File("results", "lab-a", plate)));
        Assert.True(Directory.Exists(service.File("results", "lab-a", again)) && Directory.Exists(service.File("results", "lab-a", younger)));
        var after = await Retention.RunAsync(dryRun: true);
        Assert.Equal((0, 0, 0), (after.Plates.Count, after.Uploads.Count, after.AuditDays.Count));
    }

    [Fact]
    public async Task An_upload_stays_that_is_used_while_retention_is_at_others()
    {
        using var client = service.Client(service.Submitter);
        string used = await UploadAsync(client, "r02c02f01p01-ch1sk1fk1fl1.tiff", -20), continued = await UploadAsync(client, "a.png", -20), unused = await UploadAsync(client, "a.png", -20);
        string plate = await RunAsync(client, "share:all/plate", -41);
        var held = service.Gate.Hold<IServiceGrain>(nameof(IServiceGrain.DeleteAsync));
        var run = Retention.RunAsync(dryRun: false);
        await held.Reached;
        string since = await Service.RunAsync(client, $"upload:{used}");
        (await Service.BeginAsync(client, continued, "b.png", 1000)).EnsureSuccessStatusCode();
        held.Go();
        var report = await run;
        Assert.Equal(($"lab-a~{plate}", $"lab-a/{unused}"), (Assert.Single(report.Plates), Assert.Single(report.Uploads)));
        Assert.True(Directory.Exists(Upload(used)) && Directory.Exists(Upload(continued)));
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync($"/v1/plates/{since}/input/B/2/0/.zattrs", Stop)).StatusCode);
    }

    [Theory]
    [InlineData(31 * 24)]
    [InlineData(2)]
    public async Task Nothing_goes_by_a_clock_that_is_wrong(int hours)
    {
        using var client = service.Client(service.Submitter);
        string upload = await UploadAsync(client, "a.png", -20);
        service.Ahead = TimeSpan.FromMinutes(50);
        Assert.Equal($"lab-a/{upload}", Assert.Single((await Retention.RunAsync(dryRun: false)).Uploads));
        upload = await UploadAsync(client, "a.png", -20);
        service.Ahead = TimeSpan.FromHours(hours);
        var report = await Retention.RunAsync(dryRun: false);
        Assert.Contains($"clock is {hours:+0.0;-0.0} h from that of {service.State}", report.Refused, StringComparison.Ordinal);
        Assert.Equal((0, false), (report.Uploads.Count, report.HasMore));
        Assert.True(Directory.Exists(Upload(upload)));
        report = await Retention.RunAsync(dryRun: true);   // which still tells what would go
        Assert.Equal($"lab-a/{upload}", Assert.Single(report.Uploads));
        Assert.NotNull(report.Refused);
    }

    [Fact]
    public async Task Nothing_goes_in_the_first_hour()
    {
        using var client = service.Client(service.Submitter);
        string upload = await UploadAsync(client, "a.png", -20);
        foreach (int minutes in (int[])[0, 59])
        {
            service.Uptime = TimeSpan.FromMinutes(minutes);
            await Retention.TickAsync();
            Assert.Equal($"lab-a/{upload}", Assert.Single((await Retention.RunAsync(dryRun: true)).Uploads));   // asked behind the tick
        }

        service.Uptime = TimeSpan.FromMinutes(61);
        await Retention.TickAsync();
        await DeletionTests.UntilAsync(() => !Directory.Exists(Upload(upload)));

        // Nor in the one after that.
        upload = await UploadAsync(client, "a.png", -20);
        await Retention.TickAsync();
        Assert.Equal($"lab-a/{upload}", Assert.Single((await Retention.RunAsync(dryRun: true)).Uploads));
    }

    [Fact]
    public async Task What_cannot_be_listed_keeps_nothing_else_from_going()
    {
        using var client = service.Client(service.Submitter);
        string upload = await UploadAsync(client, "a.png", -20), audit = service.File("state", "service", "audit");
        string plate = await RunAsync(client, "share:all/plate", -41);
        await DeletionTests.UntilAsync(() => Directory.Exists(audit) && Directory.GetFiles(audit, "*", SearchOption.AllDirectories).Any(file => File.ReadAllText(file).Contains("\"/v1/plates\"", StringComparison.Ordinal)));   // the last that is noted
        Directory.Move(audit, audit + "2");
        Directory.CreateSymbolicLink(audit, audit + "2");   // which a store does not follow
        var report = await Retention.RunAsync(dryRun: false);
        Directory.Delete(audit);
        Directory.Move(audit + "2", audit);
        Assert.Equal((1, $"lab-a~{plate}", $"lab-a/{upload}"), (report.Failures, Assert.Single(report.Plates), Assert.Single(report.Uploads)));
        Assert.False(Directory.Exists(Upload(upload)));
    }

    [Fact]
    public async Task What_cannot_be_deleted_does_not_keep_out_what_can()
    {
        using var client = service.Client(service.Submitter);
        string plate = await RunAsync(client, "share:all/plate", -41);
        var index = service.Grains.GetGrain<IPlateIndexGrain>(0);
        var ended = DateTimeOffset.UtcNow.AddDays(-60);
        string[] damaged = [.. Enumerable.Range(0, 101).Select(i => $"damaged-{i}")];
        foreach (string name in damaged)
            await File.WriteAllTextAsync(service.File("state", "plate-plate", name + ".json"), "{", Stop);
        await Task.WhenAll(damaged.Select(name => index.SetAsync(new PlateSummary(name, "/in", "/out", ended, PlateState.Complete) { Ended = ended })));
        for (int round = 0; round < 2; round++)
        {
            var report = await Retention.RunAsync(dryRun: false);
            Assert.Equal((100, 0, true), (report.Failures, report.Plates.Count, report.HasMore));
            report = await Retention.RunAsync(dryRun: false);
            Assert.Equal((1, round == 0 ? 1 : 0, false), (report.Failures, report.Plates.Count, report.HasMore));
        }

        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"/v1/plates/{plate}", Stop)).StatusCode);
    }

    private string Upload(string id) => service.File("uploads", "lab-a", id);

    // A plate that ended so many days ago, by the list. (The clock cannot be put back for it: the silo's own timers go by it.)
    private async Task<string> RunAsync(HttpClient client, string source, int days)
    {
        string id = await Service.RunAsync(client, source);
        var index = service.Grains.GetGrain<IPlateIndexGrain>(0);
        await DeletionTests.UntilAsync(() => index.ListAsync().Result.Any(plate => plate.PlateId == $"lab-a~{id}" && plate.State == PlateState.Complete));
        var listed = (await index.ListAsync()).Single(plate => plate.PlateId == $"lab-a~{id}");
        await index.SetAsync(listed with { Ended = listed.Ended!.Value.AddDays(days) });
        return id;
    }

    // An upload whose file came so many days ago.
    private async Task<string> UploadAsync(HttpClient client, string name, int days)
    {
        string id = await Service.UploadAsync(client, (name, Service.Png(3)));
        foreach (string folder in ((string[])[Upload(id), service.File("uploads", ".parts", "lab-a", id)]).Where(Directory.Exists))
        {
            foreach (string file in Directory.EnumerateFiles(folder))
                File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddDays(days));
            Directory.SetLastWriteTimeUtc(folder, DateTime.UtcNow.AddDays(days));
        }

        return id;
    }
}

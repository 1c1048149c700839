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
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/many", more: ",\"stride\":16")))["plate_id"]!;
        using var refused = await client.DeleteAsync($"/v1/plates/{id}", Stop);
        Assert.Equal(HttpStatusCode.Conflict, refused.StatusCode);
        Assert.Equal("The plate runs. Cancel it, then delete it.", (string)JsonNode.Parse(await refused.Content.ReadAsStringAsync(Stop))!["title"]!);
        (await client.PostAsync($"/v1/plates/{id}/cancel", null, Stop)).EnsureSuccessStatusCode();
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
        Assert.Equal(id, (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/another", key)))["plate_id"]!);
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
        for (var deadline = DateTime.UtcNow.AddSeconds(60); !there(); await Task.Delay(50, Stop))
            Assert.True(DateTime.UtcNow < deadline, "It is still there after a minute.");
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
        byte[] image = Service.Png(3);
        string unused = await Service.UploadAsync(client, ("a.png", image)), used = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", image));
        string begun = await Service.UploadAsync(client);
        (await Service.BeginAsync(client, begun, "b.png", 1000)).EnsureSuccessStatusCode();
        string plate = await Service.RunAsync(client, $"upload:{used}");
        string older = DateTime.UtcNow.AddDays(-100).ToString("yyyy-MM-dd"), today = DateTime.UtcNow.ToString("yyyy-MM-dd");
        Directory.CreateDirectory(service.File("state", "service", "audit", older));
        await File.WriteAllTextAsync(service.File("state", "service", "audit", older, "1-x.jsonl"), "{}\n", Stop);
        await DeletionTests.UntilAsync(() => Directory.Exists(service.File("state", "service", "audit", today)));

        // Now only the log is too old. A dry run only tells it.
        var told = await Retention.RunAsync(dryRun: true);
        Assert.Equal((0, 0, older, false), (told.Plates.Count, told.Uploads.Count, Assert.Single(told.AuditDays), told.HasMore));
        Assert.True(Directory.Exists(service.File("state", "service", "audit", older)));
        var done = await Retention.RunAsync(dryRun: false);
        Assert.Equal((1, 0), (done.AuditDays.Count, done.Failures));
        Assert.False(Directory.Exists(service.File("state", "service", "audit", older)));
        Assert.True(Directory.Exists(service.File("state", "service", "audit", today)));

        // The uploads' days count from their last use: one was used five days after the others were written, since its plate ended then.
        service.Ahead = TimeSpan.FromDays(5);
        string again = await Service.RunAsync(client, $"upload:{used}");
        service.Ahead = TimeSpan.FromDays(11);
        done = await Retention.RunAsync(dryRun: false);
        Assert.Equal(new HashSet<string> { $"lab-a/{begun}", $"lab-a/{unused}" }, done.Uploads.ToHashSet());
        Assert.Equal((0, 0), (done.Plates.Count, done.Failures));
        Assert.False(Directory.Exists(service.File("uploads", "lab-a", unused)));
        Assert.False(Directory.Exists(service.File("uploads", ".parts", "lab-a", begun)));
        Assert.True(Directory.Exists(service.File("uploads", "lab-a", used)));
        service.Ahead = TimeSpan.FromDays(16);
        Assert.Equal([$"lab-a/{used}"], (await Retention.RunAsync(dryRun: false)).Uploads);

        // The plates' days count from their ends.
        service.Ahead = TimeSpan.FromDays(41);
        done = await Retention.RunAsync(dryRun: false);
        Assert.Equal([$"lab-a~{plate}"], done.Plates);
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"/v1/plates/{plate}", Stop)).StatusCode);
        await DeletionTests.UntilAsync(() => !Directory.Exists(service.File("results", "lab-a", plate)));
        Assert.True(Directory.Exists(service.File("results", "lab-a", again)));
        Assert.Empty((await Retention.RunAsync(dryRun: true)).Plates);
    }
}

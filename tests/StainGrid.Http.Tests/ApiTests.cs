using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.TestSupport;
using StainGrid.Tiling;

namespace StainGrid.Http.Tests;

/// <summary>The main job and what belongs to it, over HTTP.</summary>
public sealed class ApiTests(Service service) : IClassFixture<Service>
{
    private static readonly string[] s_states = ["pending", "running", "complete"];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_plate_goes_from_upload_to_a_result_that_is_read_by_ranges()
    {
        using var client = service.Client(service.Submitter);
        byte[] png = Service.Png(5);
        string upload = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", png), ("r02c03f01p01-ch1sk1fk1fl1.tiff", Service.Png(6)));
        using var submitted = await Service.SubmitAsync(client, $"upload:{upload}", more: ",\"name\":\"my plate\",\"labels\":[\"MAP2_CONFOCAL\"],\"statistics\":[\"mean\",\"standard_deviation\"]");
        Assert.Equal(HttpStatusCode.Created, submitted.StatusCode);
        string id = (string)(await Service.JsonAsync(submitted))["plate_id"]!;
        Assert.Equal($"/v1/plates/{id}", submitted.Headers.Location!.ToString());

        // Events: versions rise, every field comes and ends, the last is final.
        string[] events = (await client.GetStringAsync($"/v1/plates/{id}/events", Stop)).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
        var changes = events.Where(text => text.StartsWith("event: change", StringComparison.Ordinal))
            .Select(text => (Id: long.Parse(text.Split('\n')[1]["id: ".Length..]), Data: JsonNode.Parse(text.Split('\n')[2]["data: ".Length..])!)).ToArray();
        Assert.Equal(changes.Select(change => change.Id).Distinct().Order(), changes.Select(change => change.Id));
        Assert.All(changes, change => Assert.Equal(change.Id, (long)change.Data["status"]!["version"]!));
        var fields = changes.SelectMany(change => change.Data["fields"]!.AsArray()).GroupBy(field => (string)field!["path"]!).ToArray();
        Assert.Equal(["B/2/0", "B/3/0"], fields.Select(field => field.Key).Order());
        Assert.All(fields, field =>
        {
            int[] states = [.. field.Select(one => Array.IndexOf(s_states, (string)one!["state"]!))];
            Assert.Equal(states.Order(), states);
            Assert.Equal(2, states[^1]);
        });
        Assert.Equal("complete", (string)changes[^1].Data["status"]!["state"]!);
        Assert.True((bool)changes[^1].Data["status"]!["is_final"]!);

        // Who comes after the last event gets it again: nothing else happens. Who has seen an earlier one gets what changed since.
        string late = await Events(client, id, changes[^1].Id);
        Assert.Single(late.Split("\n\n"), text => text.Contains("event: change"));
        string middle = await Events(client, id, changes[0].Id);
        Assert.Contains($"id: {changes[^1].Id}\n", middle);
        Assert.Equal(changes[1..].SelectMany(change => change.Data["fields"]!.AsArray()).Select(field => (string)field!["path"]!).Distinct().Count(), JsonNode.Parse(middle.Split('\n').Last(line => line.StartsWith("data: "))[6..])!["fields"]!.AsArray().Count);

        // The tree, by ranges and by tags.
        var attributes = JsonNode.Parse(await client.GetStringAsync($"/v1/plates/{id}/zarr/B/2/0/.zattrs", Stop))!;
        Assert.Equal(2, attributes["omero"]!["channels"]!.AsArray().Count);
        byte[] chunk = await client.GetByteArrayAsync($"/v1/plates/{id}/zarr/B/2/0/0/0/0/0/0/0", Stop);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/plates/{id}/zarr/B/2/0/0/0/0/0/0/0");
        request.Headers.Range = new RangeHeaderValue(10, 29);
        using var part = await client.SendAsync(request, Stop);
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal(chunk[10..30], await part.Content.ReadAsByteArrayAsync(Stop));
        using var again = new HttpRequestMessage(HttpMethod.Get, $"/v1/plates/{id}/zarr/B/2/0/0/0/0/0/0/0");
        again.Headers.IfNoneMatch.Add(part.Headers.ETag!);
        Assert.Equal(HttpStatusCode.NotModified, (await client.SendAsync(again, Stop)).StatusCode);
        Assert.Contains("staingrid-fields.csv", (await Service.JsonAsync(await client.GetAsync($"/v1/plates/{id}/files?prefix=staingrid", Stop)))["files"]!.AsArray().Select(file => (string)file!));

        // The input's pixels are the file's.
        byte[] input = await client.GetByteArrayAsync($"/v1/plates/{id}/input/B/2/0/0/0/0/0/0/0", Stop);
        using var folder = new TemporaryFolder();
        await File.WriteAllBytesAsync(folder.File("a.png"), png, Stop);
        using var image = ImageReader.Open(folder.File("a.png"));
        float[] expected = new float[160 * 160];
        image.Read(0, new Region(0, 0, 160, 160), expected);
        Assert.Equal(512 * 512 * 2, input.Length);
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], BitConverter.ToUInt16(input, (i / 160 * 512 + i % 160) * 2));
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"/v1/plates/{id}/input/B/2/1/.zattrs", Stop)).StatusCode);

        // The list finds it by name and by state.
        foreach (string query in (string[])["text=MY", "state=complete&limit=100", $"text={id}"])
            Assert.Contains(id, (await Service.JsonAsync(await client.GetAsync($"/v1/plates?{query}", Stop)))["plates"]!.AsArray().Select(plate => (string)plate!["plate_id"]!));
        Assert.Empty((await Service.JsonAsync(await client.GetAsync("/v1/plates?text=no+such+plate", Stop)))["plates"]!.AsArray());
    }

    [Fact]
    public async Task Plates_are_listed_in_pages_without_gap_or_repeat()
    {
        using var client = service.Client(service.Submitter);
        var ids = new List<string>();
        for (int i = 0; i < 5; i++)
            ids.Add((string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/plate", more: $",\"name\":\"paged {i}\"")))["plate_id"]!);
        var seen = new List<string>();
        for (string after = ""; ;)
        {
            var page = (await Service.JsonAsync(await client.GetAsync($"/v1/plates?text=paged&limit=2{after}", Stop)))["plates"]!.AsArray();
            if (page.Count == 0)
                break;
            seen.AddRange(page.Select(plate => (string)plate!["plate_id"]!));
            after = $"&after={seen[^1]}";
        }

        Assert.Equal(ids.AsEnumerable().Reverse(), seen);
        foreach (string id in ids)
            Assert.Equal("complete", await Service.EndAsync(client, id));
    }

    [Fact]
    public async Task The_same_idempotency_key_is_the_same_plate_and_another_body_under_it_is_refused()
    {
        using var client = service.Client(service.Submitter);
        string[] ids = await Task.WhenAll(Enumerable.Range(0, 4).Select(async _ =>
            (string)(await Service.JsonAsync(await Service.SubmitAsync(client, "share:all/plate", "once")))["plate_id"]!));
        Assert.Single(ids.Distinct());
        using var other = await Service.SubmitAsync(client, "share:all/plate", "once", ",\"stride\":96");
        Assert.Equal(HttpStatusCode.Conflict, other.StatusCode);

        // Another tenant's key of the same letters is another plate.
        using var stranger = service.Client(service.Other);
        string theirs = (string)(await Service.JsonAsync(await Service.SubmitAsync(stranger, "share:all/plate", "once")))["plate_id"]!;
        Assert.NotEqual(ids[0], theirs);
        Assert.Equal(("complete", "complete"), (await Service.EndAsync(client, ids[0]), await Service.EndAsync(stranger, theirs)));
    }

    [Fact]
    public async Task A_plate_is_cancelled_and_retried()
    {
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client, [.. Enumerable.Range(1, 24).Select(i => ($"r03c{i:00}f01p01-ch1sk1fk1fl1.tiff", Service.Png(i)))]);
        var held = service.Gate.Hold<IStitcherGrain>(nameof(IStitcherGrain.AddAsync));
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, $"upload:{upload}", more: ",\"stride\":16")))["plate_id"]!;
        await held.Reached;
        var cancelled = await Service.JsonAsync(await client.PostAsync($"/v1/plates/{id}/cancel", null, Stop));
        held.Go();
        Assert.Equal("cancelled", (string)cancelled["state"]!);
        Assert.True((int)cancelled["fields_complete"]! < 24);
        var retried = await Service.JsonAsync(await client.PostAsync($"/v1/plates/{id}/retry", null, Stop));
        Assert.Equal(24 - (int)cancelled["fields_complete"]!, (int)retried["fields"]!);
        Assert.Equal("complete", await Service.EndAsync(client, id));
        Assert.All((await Service.JsonAsync(await client.GetAsync($"/v1/plates/{id}/fields", Stop)))["fields"]!.AsArray(), field => Assert.Equal("complete", (string)field!["state"]!));
    }

    [Fact]
    public async Task An_upload_goes_on_where_it_was_cut_off_and_nobody_sees_half_a_file()
    {
        using var client = service.Client(service.Submitter);
        byte[] png = Service.Png(9);
        string upload = await Service.UploadAsync(client);
        using var begun = await Service.BeginAsync(client, upload, "r02c02f01p01-ch1sk1fk1fl1.tiff", png.Length);
        string file = begun.Headers.Location!.ToString();
        (await Service.AddAsync(client, file, 0, png[..1000])).EnsureSuccessStatusCode();
        using var wrong = await Service.AddAsync(client, file, 500, png[500..]);
        Assert.Equal(HttpStatusCode.Conflict, wrong.StatusCode);
        using var early = await Service.SubmitAsync(client, $"upload:{upload}");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, early.StatusCode);
        using var head = await client.SendAsync(new HttpRequestMessage(HttpMethod.Head, file), Stop);
        Assert.Equal("1000", head.Headers.GetValues("Upload-Offset").Single());
        using var rest = await Service.AddAsync(client, file, 1000, png[1000..]);
        Assert.Equal($"{png.Length}", rest.Headers.GetValues("Upload-Offset").Single());
        await Service.RunAsync(client, $"upload:{upload}");

        using var longer = await Service.BeginAsync(client, upload, "b.png", 10);
        using var tooMuch = await Service.AddAsync(client, longer.Headers.Location!.ToString(), 0, new byte[11]);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, tooMuch.StatusCode);
        (await client.DeleteAsync($"/v1/uploads/{upload}", Stop)).EnsureSuccessStatusCode();
        Assert.Equal(HttpStatusCode.NotFound, (await client.GetAsync($"/v1/uploads/{upload}", Stop)).StatusCode);
    }

    private static async Task<string> Events(HttpClient client, string id, long after)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v1/plates/{id}/events");
        request.Headers.Add("Last-Event-ID", $"{after}");
        return await (await client.SendAsync(request, Stop)).Content.ReadAsStringAsync(Stop);
    }
}

using System.Net;
using System.Text.Json.Nodes;
using StainGrid.Contracts;

namespace StainGrid.Http.Tests;

/// <summary>How much a caller may ask.</summary>
public sealed class LimitTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_asks_too_often_is_told_when_to_come_back_and_others_are_not_touched()
    {
        await using var service = new Service { RequestsPerSecond = 2 };
        await service.InitializeAsync();
        using var client = service.Client(service.Submitter);
        var answers = new List<HttpResponseMessage>();
        for (int i = 0; i < 30; i++)
            answers.Add(await client.GetAsync("/v1/me", Stop));
        Assert.Equal(HttpStatusCode.OK, answers[0].StatusCode);
        var refused = answers.Where(answer => answer.StatusCode == HttpStatusCode.TooManyRequests).ToArray();
        Assert.NotEmpty(refused);
        Assert.All(refused, answer => Assert.True(answer.Headers.RetryAfter!.Delta >= TimeSpan.FromSeconds(1)));
        Assert.Equal("busy", (string)JsonNode.Parse(await refused[0].Content.ReadAsStringAsync(Stop))!["code"]!);
        using var other = service.Client(service.Other);
        Assert.Equal(HttpStatusCode.OK, (await other.GetAsync("/v1/me", Stop)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/health/live", Stop)).StatusCode);
        await Task.Delay(refused[^1].Headers.RetryAfter!.Delta!.Value, Stop);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/v1/me", Stop)).StatusCode);
    }

    [Fact]
    public async Task A_service_without_uploads_says_so_and_stains_what_is_shared()
    {
        await using var service = new Service { TakesUploads = false };
        await service.InitializeAsync();
        using var client = service.Client(service.Submitter);
        using var refused = await client.PostAsync("/v1/uploads", null, Stop);
        Assert.Equal(HttpStatusCode.NotFound, refused.StatusCode);
        Assert.Contains("takes no uploads", await refused.Content.ReadAsStringAsync(Stop));
        await Service.RunAsync(client, "share:all/plate");
    }

    [Fact]
    public async Task More_plates_than_may_run_are_sent_back_until_some_have_ended()
    {
        await using var service = new Service { MostRunning = 1 };
        await service.InitializeAsync();
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client, [.. Enumerable.Range(1, 20).Select(i => ($"r03c{i:00}f01p01-ch1sk1fk1fl1.tiff", Service.Png(i)))]);
        var held = service.Gate.Hold<IStitcherGrain>(nameof(IStitcherGrain.AddAsync));
        string first = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, $"upload:{upload}", "first", ",\"stride\":16")))["plate_id"]!;
        await held.Reached;
        using var second = await Service.SubmitAsync(client, "share:all/plate", "second");
        Assert.Equal(HttpStatusCode.TooManyRequests, second.StatusCode);
        Assert.NotNull(second.Headers.RetryAfter);

        // The same plate again is no more plates; another tenant has its own number.
        Assert.Equal(HttpStatusCode.Created, (await Service.SubmitAsync(client, $"upload:{upload}", "first", ",\"stride\":16")).StatusCode);
        using var other = service.Client(service.Other);
        Assert.Equal(HttpStatusCode.Created, (await Service.SubmitAsync(other, "share:all/plate")).StatusCode);
        (await client.PostAsync($"/v1/plates/{first}/cancel", null, Stop)).EnsureSuccessStatusCode();
        held.Go();
        Assert.Equal(HttpStatusCode.Created, (await Service.SubmitAsync(client, "share:all/plate", "second")).StatusCode);
    }
}

using System.Diagnostics;
using StainGrid.Contracts;

namespace StainGrid.Client.Tests;

public sealed class RequestTests
{
    private const string Id = "0123456789abcdef0123456789abcdef";

    private static readonly PlateStatus Running = new() { PlateId = Id, State = PlateState.Running, Version = 7, Fields = 3 };

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_question_is_asked_again_until_it_is_answered()
    {
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            switch (number)
            {
                case 0:
                    context.Abort();
                    break;
                case 1:
                    await TestServer.RawAsync(context, 502, "text/html", "<html>bad gateway");
                    break;
                case 2:
                    context.Response.Headers.RetryAfter = "2";
                    await TestServer.ProblemAsync(context, 429, "busy");
                    break;
                case 3:
                    context.Response.ContentType = "application/json";
                    await TestServer.SendAsync(context, "{\"plate_id\":\"" + Id);
                    context.Abort();
                    break;
                default:
                    await TestServer.JsonAsync(context, Running);
                    break;
            }
        });
        using var client = server.Client();
        Assert.Equal(Running, await client.GetAsync(Id, Stop));
        Assert.Equal(5, server.Requests.Count);
        Assert.True(server.Requests[3].Time - server.Requests[2].Time >= TimeSpan.FromSeconds(1.9), "Retry-After was not kept.");
    }

    [Fact]
    public async Task A_service_that_is_busy_for_longer_than_patience_says_when_to_come_again()
    {
        await using var server = await TestServer.StartAsync((context, _) =>
        {
            context.Response.Headers.RetryAfter = "600";
            return TestServer.ProblemAsync(context, 429, "busy", "Come again later.");
        });
        using var client = server.Client();
        var busy = await Assert.ThrowsAsync<StainGridException>(() => client.GetAsync(Id, Stop));
        Assert.Equal((StainGridError.Busy, TimeSpan.FromMinutes(10), "Come again later."), (busy.Error, busy.RetryAfter, busy.Message));
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_told_when_patience_ends()
    {
        using var client = new HttpStainGridClient(new Uri("http://127.0.0.1:1"), new HttpStainGridOptions { Patience = TimeSpan.FromSeconds(1) });
        var clock = Stopwatch.StartNew();
        var thrown = await Assert.ThrowsAsync<StainGridException>(() => client.ListModelsAsync(Stop));
        Assert.Equal(StainGridError.Unavailable, thrown.Error);
        Assert.StartsWith("http://127.0.0.1:1/ is not reachable: ", thrown.Message, StringComparison.Ordinal);
        Assert.InRange(clock.Elapsed.TotalSeconds, 0.3, 30);
    }

    [Fact]
    public async Task A_submission_whose_answer_is_lost_is_sent_again_under_the_same_key()
    {
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            using var body = new StreamReader(context.Request.Body);
            string text = await body.ReadToEndAsync(context.RequestAborted);
            Assert.Equal(new PlateSubmission { Source = "upload:x", Labels = ["DAPI"] }.Source, System.Text.Json.JsonSerializer.Deserialize<PlateSubmission>(text, StainGridJson.Options)!.Source);
            if (number % 2 == 0)
                context.Abort();
            else
                await TestServer.JsonAsync(context, Running);
        });
        using var client = server.Client();
        var submission = new PlateSubmission { Source = "upload:x", Labels = ["DAPI"] };
        Assert.Equal(Running, await client.SubmitAsync(submission, cancellationToken: Stop));
        Assert.Equal(Running, await client.SubmitAsync(submission, "mine", Stop));
        string[] keys = [.. server.Requests.Select(request => request.Headers["Idempotency-Key"])];
        Assert.Equal(4, keys.Length);
        Assert.Equal((keys[0], "mine", "mine"), (keys[1], keys[2], keys[3]));
        Assert.True(ServiceId.IsValid(keys[0]));
        Assert.Equal(StainGridError.Refused, (await Assert.ThrowsAsync<StainGridException>(() => client.SubmitAsync(submission, "two\nlines", Stop))).Error);
    }

    [Fact]
    public async Task A_deletion_whose_answer_is_lost_is_done_and_one_of_nothing_is_told()
    {
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            if (number == 0)
                context.Abort();
            else
                await TestServer.ProblemAsync(context, 404, "not_found");
        });
        using var client = server.Client();
        await client.DeleteAsync(Id, Stop);
        Assert.Equal(["DELETE", "DELETE"], server.Requests.Select(request => request.Method));
        Assert.Equal(StainGridError.NotFound, (await Assert.ThrowsAsync<StainGridException>(() => client.DeleteAsync(Id, Stop))).Error);
    }

    [Theory]
    [InlineData(422, "refused", StainGridError.Refused)]
    [InlineData(413, "too_large", StainGridError.Refused)]
    [InlineData(404, "not_found", StainGridError.NotFound)]
    [InlineData(409, "conflict", StainGridError.Conflict)]
    [InlineData(401, "unauthenticated", StainGridError.Unauthenticated)]
    [InlineData(403, "forbidden", StainGridError.Forbidden)]
    [InlineData(400, "of_a_newer_service", StainGridError.Refused)]
    public async Task A_problem_is_an_error_of_its_kind_and_not_asked_again(int status, string code, StainGridError error)
    {
        await using var server = await TestServer.StartAsync((context, _) => TestServer.ProblemAsync(context, status, code, "Line one.\\nLine two."));
        using var client = server.Client();
        var thrown = await Assert.ThrowsAsync<StainGridException>(() => client.CancelAsync(Id, Stop));
        Assert.Equal((error, "Line one. Line two."), (thrown.Error, thrown.Message));
        Assert.Single(server.Requests);
    }

    [Theory]
    [InlineData(200, "text/html", "<html>sign in to the hotel's network")]
    [InlineData(200, "application/json", "null")]
    [InlineData(200, "application/json", "[1]")]
    [InlineData(302, "text/html", "moved")]
    public async Task An_answer_that_is_not_the_services_is_refused(int status, string type, string body)
    {
        await using var server = await TestServer.StartAsync((context, _) =>
        {
            context.Response.Headers.Location = "http://127.0.0.1:1/";
            return TestServer.RawAsync(context, status, type, body);
        });
        using var client = server.Client(new HttpStainGridOptions { ApiKey = "sgk_x" });
        var thrown = await Assert.ThrowsAsync<StainGridException>(() => client.GetAsync(Id, Stop));
        Assert.Equal(StainGridError.Refused, thrown.Error);
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task An_answer_without_end_is_refused_before_it_fills_the_memory()
    {
        string block = "\"" + new string('x', 1 << 20) + "\",";
        await using var server = await TestServer.StartAsync(async (context, _) =>
        {
            context.Response.ContentType = "application/json";
            await TestServer.SendAsync(context, "{\"fields\":[");
            while (true)
                await TestServer.SendAsync(context, "{\"well\":" + block + "\"path\":\"B/1/0\"},");
        });
        using var client = server.Client();
        var thrown = await Assert.ThrowsAsync<StainGridException>(() => client.GetFieldsAsync(Id, Stop));
        Assert.Equal(StainGridError.Refused, thrown.Error);
    }

    [Fact]
    public async Task What_a_newer_service_adds_is_passed_over()
    {
        await using var server = await TestServer.StartAsync((context, _) =>
            TestServer.RawAsync(context, 200, "application/json", "{\"plate_id\":\"" + Id + "\",\"state\":\"complete_with_failures\",\"colour\":{\"of\":[\"the\",\"lid\"]}}"));
        using var client = server.Client();
        Assert.Equal(PlateState.CompleteWithFailures, (await client.GetAsync(Id, Stop)).State);
    }

    [Fact]
    public async Task Queries_are_written_so_that_nothing_in_them_is_taken_for_more()
    {
        await using var server = await TestServer.StartAsync((context, _) => TestServer.RawAsync(context, 200, "application/json", """{"plates":[]}"""));
        using var client = server.Client();
        Assert.Empty(await client.ListAsync(new PlateQuery { State = PlateState.CompleteWithFailures, Text = "a&b=c/ü", After = Id, Limit = 5 }, Stop));
        Assert.Equal($"/v1/plates?limit=5&state=complete_with_failures&text=a%26b%3Dc%2F%C3%BC&after={Id}", server.Requests.Single().Target);
        foreach (string id in (string[])["", "..", "a/b", Id + "/../" + Id])
            Assert.Equal(StainGridError.NotFound, (await Assert.ThrowsAsync<StainGridException>(() => client.GetAsync(id, Stop))).Error);
        foreach (string key in (string[])["", "/etc/passwd", "../secret", "a//b"])
            Assert.Equal(StainGridError.NotFound, (await Assert.ThrowsAsync<StainGridException>(() => client.OpenAsync(Id, key, Stop))).Error);
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_server_below_a_path_is_asked_below_it_with_the_credential_of_the_moment()
    {
        await using var server = await TestServer.StartAsync((context, _) => TestServer.JsonAsync(context, Running));
        int tokens = 0;
        using var client = new HttpStainGridClient(new Uri(server.Address, "labs/a"), new HttpStainGridOptions { Token = _ => ValueTask.FromResult($"token{++tokens}") });
        await client.GetAsync(Id, Stop);
        await client.GetAsync(Id, Stop);
        Assert.Equal([$"/labs/a/v1/plates/{Id}", $"/labs/a/v1/plates/{Id}"], server.Requests.Select(request => request.Target));
        Assert.Equal(["Bearer token1", "Bearer token2"], server.Requests.Select(request => request.Headers["Authorization"]));
    }

    [Theory]
    [InlineData("ftp://x/", "k")]
    [InlineData("http://x/", "")]
    [InlineData("http://x/", "two words")]
    [InlineData("http://x/", "line\n")]
    public void A_wrong_address_or_key_is_told_at_once(string server, string key) =>
        Assert.Throws<ArgumentException>(() => new HttpStainGridClient(new Uri(server), new HttpStainGridOptions { ApiKey = key }).Dispose());

    [Fact]
    public async Task A_cancelled_question_stops_at_once()
    {
        await using var server = await TestServer.StartAsync((context, _) => Task.Delay(Timeout.Infinite, context.RequestAborted));
        using var client = server.Client();
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var clock = Stopwatch.StartNew();
        cancel.CancelAfter(200);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.GetAsync(Id, cancel.Token));
        Assert.InRange(clock.Elapsed.TotalSeconds, 0.1, 30);
    }
}

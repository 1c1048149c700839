using System.Diagnostics;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using StainGrid.Contracts;

namespace StainGrid.Client.Tests;

public sealed class WatchTests
{
    private const string Id = "0123456789abcdef0123456789abcdef";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_watch_goes_on_where_its_connection_was_cut_even_inside_of_an_event()
    {
        var first = new TaskCompletionSource();   // what is not read yet goes down with an aborted connection
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            Begin(context);
            switch (number)
            {
                case 0:
                    await TestServer.SendAsync(context, Event(10, PlateState.Running, Field("B/7/0", FieldState.Running), Field("B/8/0", FieldState.Pending)));
                    await TestServer.SendAsync(context, Event(11, PlateState.Running, Field("B/7/0", FieldState.Complete))[..^40]);
                    await first.Task.WaitAsync(context.RequestAborted);
                    context.Abort();
                    break;
                case 1:
                    await TestServer.SendAsync(context, Event(11, PlateState.Running, Field("B/7/0", FieldState.Complete)));
                    break;   // ends in good order, too early
                case 2:
                    context.Abort();
                    break;
                case 3:
                    await TestServer.ProblemAsync(context, 503, "unavailable");
                    break;
                default:
                    await TestServer.SendAsync(context, Event(12, PlateState.Complete, Field("B/8/0", FieldState.Complete)));
                    break;
            }
        });
        using var client = server.Client();
        var seen = await WatchAsync(client, then: first.TrySetResult);
        Assert.Equal([10, 11, 12], seen.Select(change => change.Status.Version));
        Assert.Equal(["B/7/0 Running", "B/8/0 Pending", "B/7/0 Complete", "B/8/0 Complete"], seen.SelectMany(change => change.Fields).Select(field => $"{field.Path} {field.State}"));
        Assert.Equal([null, "10", "11", "11", "11"], server.Requests.Select(request => request.Headers.GetValueOrDefault("Last-Event-ID")));
        Assert.All(server.Requests, request => Assert.Equal(($"/v1/plates/{Id}/events", "text/event-stream"), (request.Target, request.Headers["Accept"])));
    }

    [Fact]
    public async Task What_comes_again_after_a_loss_is_told_once()
    {
        var first = new TaskCompletionSource();
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            Begin(context);
            if (number == 0)
            {
                await TestServer.SendAsync(context, Event(10, PlateState.Running, Field("B/7/0", FieldState.Complete), Field("B/8/0", FieldState.Running)));
                await first.Task.WaitAsync(context.RequestAborted);
                context.Abort();
                return;
            }

            // The same version again; then the plate's grain lives elsewhere and tells all its fields.
            await TestServer.SendAsync(context, Event(10, PlateState.Running, Field("B/7/0", FieldState.Complete)));
            await TestServer.SendAsync(context, "event: hint\ndata: of a newer service\n\n");
            await TestServer.SendAsync(context, Event(5000, PlateState.Running, Field("B/7/0", FieldState.Complete), Field("B/8/0", FieldState.Pending)));
            await TestServer.SendAsync(context, Event(5001, PlateState.Complete, Field("B/8/0", FieldState.Complete)));
            await TestServer.SendAsync(context, Event(5001, PlateState.Complete, Field("B/8/0", FieldState.Complete)));
        });
        using var client = server.Client();
        var seen = await WatchAsync(client, then: first.TrySetResult);
        Assert.Equal([10, 5000, 5001], seen.Select(change => change.Status.Version));
        Assert.Equal(["B/7/0 Complete", "B/8/0 Running", "B/8/0 Pending", "B/8/0 Complete"], seen.SelectMany(change => change.Fields).Select(field => $"{field.Path} {field.State}"));
    }

    [Fact]
    public async Task A_watch_that_begins_after_a_version_asks_for_what_follows_and_still_tells_the_end()
    {
        await using var server = await TestServer.StartAsync(async (context, _) =>
        {
            Begin(context);
            await TestServer.SendAsync(context, Event(12, PlateState.Cancelled));
        });
        using var client = server.Client();
        Assert.Equal([12], (await WatchAsync(client, after: 12)).Select(change => change.Status.Version));
        Assert.Equal("12", server.Requests.Single().Headers["Last-Event-ID"]);
    }

    [Fact]
    public async Task A_silent_connection_is_left_and_one_with_comments_is_kept()
    {
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            Begin(context);
            if (number == 0)
            {
                await TestServer.SendAsync(context, Event(1, PlateState.Running));
                await Task.Delay(Timeout.Infinite, context.RequestAborted);
            }

            for (int i = 0; i < 48; i++)
            {
                await TestServer.SendAsync(context, ": here\n\n");
                await Task.Delay(250, context.RequestAborted);
            }

            await TestServer.SendAsync(context, Event(2, PlateState.Complete));
        });
        using var client = server.Client(new HttpStainGridOptions { Silence = TimeSpan.FromSeconds(8), Patience = TimeSpan.FromMinutes(2) });
        Assert.Equal([1, 2], (await WatchAsync(client)).Select(change => change.Status.Version));
        Assert.Equal(2, server.Requests.Count);
        Assert.True(server.Requests[1].Time - server.Requests[0].Time > TimeSpan.FromSeconds(7.9));
    }

    [Theory]
    [InlineData(404, "not_found", StainGridError.NotFound)]
    [InlineData(401, "unauthenticated", StainGridError.Unauthenticated)]
    public async Task What_asking_again_does_not_help_ends_a_watch(int status, string code, StainGridError error)
    {
        await using var server = await TestServer.StartAsync((context, _) => TestServer.ProblemAsync(context, status, code));
        using var client = server.Client();
        var thrown = await Assert.ThrowsAsync<StainGridException>(() => WatchAsync(client));
        Assert.Equal((error, "What to do."), (thrown.Error, thrown.Message));
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_server_that_stays_away_ends_a_watch_when_patience_does()
    {
        var server = await TestServer.StartAsync(async (context, _) =>
        {
            Begin(context);
            await TestServer.SendAsync(context, Event(1, PlateState.Running));
        });
        using var client = server.Client(new HttpStainGridOptions { Patience = TimeSpan.FromSeconds(2) });
        await using var events = client.WatchAsync(Id, cancellationToken: Stop).GetAsyncEnumerator(Stop);
        Assert.True(await events.MoveNextAsync());
        await server.DisposeAsync();
        var clock = Stopwatch.StartNew();
        var thrown = await Assert.ThrowsAsync<StainGridException>(async () => await events.MoveNextAsync());
        Assert.Equal(StainGridError.Unavailable, thrown.Error);
        Assert.InRange(clock.Elapsed.TotalSeconds, 0.7, 60);
    }

    [Fact]
    public async Task A_cancelled_watch_stops_at_once()
    {
        await using var server = await TestServer.StartAsync(async (context, _) =>
        {
            Begin(context);
            await TestServer.SendAsync(context, Event(1, PlateState.Running));
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        });
        using var client = server.Client();
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var clock = new Stopwatch();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var change in client.WatchAsync(Id, cancellationToken: cancel.Token))
            {
                clock.Start();
                cancel.CancelAfter(100);
            }
        });
        Assert.InRange(clock.Elapsed.TotalSeconds, 0.05, 30);
    }

    [Fact]
    public async Task An_event_without_end_is_refused_before_it_fills_the_memory()
    {
        string block = new('x', 1 << 20);
        await using var server = await TestServer.StartAsync(async (context, _) =>
        {
            Begin(context);
            await TestServer.SendAsync(context, "event: change\ndata: ");
            while (true)
                await TestServer.SendAsync(context, block);
        });
        using var client = server.Client();
        var thrown = await Assert.ThrowsAsync<StainGridException>(() => WatchAsync(client));
        Assert.Equal(StainGridError.Refused, thrown.Error);
        Assert.Contains("67,108,864 bytes", thrown.Message, StringComparison.Ordinal);
    }

    private static void Begin(HttpContext context) => context.Response.ContentType = "text/event-stream";

    private static FieldStatus Field(string path, FieldState state) => new(path[..1] + "0" + path[2], 0, path, state, null, 0, 0);

    private static string Event(long version, PlateState state, params FieldStatus[] fields) =>
        $"event: change\nid: {version}\ndata: {JsonSerializer.Serialize(new PlateChange(new PlateStatus { PlateId = Id, State = state, Version = version }, fields), StainGridJson.Options)}\n\n";

    private static async Task<List<PlateChange>> WatchAsync(HttpStainGridClient client, long after = -1, Func<bool>? then = null)
    {
        var seen = new List<PlateChange>();
        await foreach (var change in client.WatchAsync(Id, after, Stop))
        {
            seen.Add(change);
            then?.Invoke();
        }

        return seen;
    }
}

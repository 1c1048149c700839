using System.Net.Http.Headers;
using System.Net.ServerSentEvents;
using System.Text.Json;
using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>One connection to a plate's events.</summary>
internal sealed class EventConnection : IAsyncDisposable
{
    private const string ChangeEvent = "change";
    private const int LargestEvent = 64 << 20;

    private readonly HttpExchange exchange;
    private readonly HttpResponseMessage response;
    private readonly GuardedStream body;
    private readonly IAsyncEnumerator<SseItem<string>> events;

    private EventConnection(HttpExchange exchange, HttpResponseMessage response, GuardedStream body, CancellationToken cancellationToken)
    {
        (this.exchange, this.response, this.body) = (exchange, response, body);
        events = SseParser.Create(body).EnumerateAsync(cancellationToken).GetAsyncEnumerator(cancellationToken);
    }

    /// <summary>Whether the service said anything, be it that it is there.</summary>
    public bool HasHeard => body.HasHeard;

    /// <summary>Connects once.</summary>
    /// <param name="exchange">The server.</param>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="after">The version to go on after; -1 for all.</param>
    /// <param name="cancellationToken">Ends the connection.</param>
    public static async Task<EventConnection> OpenAsync(HttpExchange exchange, string plateId, long after, CancellationToken cancellationToken)
    {
        var response = await exchange.OpenOnceAsync(
            () =>
            {
                var request = new HttpRequestMessage(HttpMethod.Get, $"v1/plates/{plateId}/events");
                request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
                if (after >= 0)
                    request.Headers.Add("Last-Event-ID", after.ToString(System.Globalization.CultureInfo.InvariantCulture));
                return request;
            },
            cancellationToken);
        try
        {
            return await exchange.TypedAsync(
                async () => response.Content.Headers.ContentType?.MediaType == "text/event-stream"
                    ? new EventConnection(exchange, response, exchange.Guard(await response.Content.ReadAsStreamAsync(cancellationToken), LargestEvent), cancellationToken)
                    : throw new InvalidDataException($"the answer is {response.Content.Headers.ContentType?.MediaType ?? "of no type"}, not events."),
                cancellationToken);
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    /// <summary>The next change.</summary>
    /// <exception cref="StainGridException">The connection is lost, has ended or was silent for too long.</exception>
    public Task<PlateChange> NextAsync(CancellationToken cancellationToken) => exchange.TypedAsync(
        async () =>
        {
            while (await events.MoveNextAsync())
            {
                body.Allow();
                if (events.Current.EventType != ChangeEvent)
                    continue;   // what a newer service may tell
                var change = JsonSerializer.Deserialize<PlateChange>(events.Current.Data, HttpExchange.Json);
                return change is { Status: not null, Fields: not null } ? change : throw new JsonException("a change lacks its status or its fields.");
            }

            throw new IOException("The events ended before the plate did.");
        },
        cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await events.DisposeAsync();
        await body.DisposeAsync();
        response.Dispose();
    }
}

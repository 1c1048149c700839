using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using StainGrid.Client;
using StainGrid.Contracts;

namespace StainGrid.Silo.Http;

/// <summary>A page of plates.</summary>
internal sealed record PlatePage(IReadOnlyList<PlateSummary> Plates);

/// <summary>A plate's fields.</summary>
internal sealed record PlateFields(IReadOnlyList<FieldStatus> Fields);

/// <summary>How many fields are stained again.</summary>
internal sealed record PlateRetried(int Fields);

/// <summary>The service's models.</summary>
internal sealed record ModelList(IReadOnlyList<ModelSummary> Models);

/// <summary>Plates: submit, list, watch, cancel, retry, delete.</summary>
internal static class PlateEndpoints
{
    private const int LongestKey = 200;
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(15);

    public static void Map(IEndpointRouteBuilder app)
    {
        var read = app.MapGroup("/v1").RequireAuthorization(nameof(ServiceRole.Read)).WithTags("plates");
        var submit = app.MapGroup("/v1").RequireAuthorization(nameof(ServiceRole.Submit)).WithTags("plates");
        read.MapGet("/models", async (TenantClients clients, HttpContext context) =>
                TypedResults.Ok(new ModelList(await clients.Of(context).ListModelsAsync(context.RequestAborted))))
            .WithName("list-models").WithSummary("The models that plates can be stained with.");
        submit.MapPost("/plates", async ([FromBody] PlateSubmission submission, [FromHeader(Name = "Idempotency-Key")] string? key, TenantClients clients, IHostApplicationLifetime host, HttpContext context) =>
            {
                if (key is { Length: 0 or > LongestKey })
                    throw new StainGridException(StainGridError.Refused, $"An Idempotency-Key has 1 to {LongestKey} characters.");
                using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, host.ApplicationStopping);   // what asks again asks another silo
                var status = await clients.Of(context).SubmitAsync(submission, key, stop.Token);
                return TypedResults.Created($"/v1/plates/{status.PlateId}", status);
            })
            .WithName("submit-plate").WithSummary("Submits a plate. The same Idempotency-Key and body again is the same plate.");
        read.MapGet("/plates", async (string? state, string? text, string? after, int? limit, TenantClients clients, HttpContext context) =>
            {
                if (limit is < 1 or > PlateQuery.MostPlates || text?.Length > LongestKey || (after is not null && !ServiceId.IsValid(after)))
                    throw new StainGridException(StainGridError.Refused, $"limit is 1 to {PlateQuery.MostPlates}, text has at most {LongestKey} characters, after is a plate's id.");
                return TypedResults.Ok(new PlatePage(await clients.Of(context).ListAsync(new PlateQuery { State = state is null ? null : StateOf(state), Text = text, After = after, Limit = limit ?? 100 }, context.RequestAborted)));
            })
            .WithName("list-plates").WithSummary("A page of plates, the newest first.");
        read.MapGet("/plates/{id}", async (string id, TenantClients clients, HttpContext context) => TypedResults.Ok(await clients.Of(context).GetAsync(id, context.RequestAborted)))
            .WithName("get-plate").WithSummary("A plate's status.");
        read.MapGet("/plates/{id}/fields", async (string id, TenantClients clients, HttpContext context) =>
                TypedResults.Ok(new PlateFields(await clients.Of(context).GetFieldsAsync(id, context.RequestAborted))))
            .WithName("list-fields").WithSummary("A plate's fields.");
        read.MapGet("/plates/{id}/events", WatchAsync)
            .WithName("watch-plate").WithSummary("Server-sent events: what changes of a plate, until it ends.").Produces<PlateChange>(StatusCodes.Status200OK, "text/event-stream");
        submit.MapDelete("/plates/{id}", async (string id, TenantClients clients, HttpContext context) =>
            {
                await clients.Of(context).DeleteAsync(id, context.RequestAborted);
                return TypedResults.NoContent();
            })
            .WithName("delete-plate").WithSummary("Deletes a plate that has ended, its result, and its upload where no other plate is made from that. A running one is cancelled first (409).");
        submit.MapPost("/plates/{id}/cancel", async (string id, TenantClients clients, HttpContext context) => TypedResults.Ok(await clients.Of(context).CancelAsync(id, context.RequestAborted)))
            .WithName("cancel-plate").WithSummary("Stops a plate; fields that are complete stay.");
        submit.MapPost("/plates/{id}/retry", async (string id, int? generation, TenantClients clients, HttpContext context) =>
                TypedResults.Ok(new PlateRetried(generation is { } seen
                    ? await clients.Of(context).RetryAsync(id, seen, context.RequestAborted)
                    : await clients.Of(context).RetryAsync(id, context.RequestAborted))))
            .WithName("retry-plate").WithSummary("Stains failed and cancelled fields again; with the generation of the status that was seen, once.");
    }

    private static PlateState StateOf(string name)
    {
        var states = Enum.GetValues<PlateState>().ToDictionary(state => JsonNamingPolicy.SnakeCaseLower.ConvertName(state.ToString()));
        return states.TryGetValue(name, out var state) ? state : throw new StainGridException(StainGridError.Refused, $"state is one of {string.Join(", ", states.Keys)}.");
    }

    private static async Task WatchAsync(string id, [FromHeader(Name = "Last-Event-ID")] string? last, TenantClients clients, ApiKeys keys, IHostApplicationLifetime host, HttpContext context)
    {
        long after = last is null ? -1 : long.TryParse(last, out long seen) ? seen : throw new BadHttpRequestException("Last-Event-ID is not one of this service's.");
        var client = clients.Of(context);
        await client.GetAsync(id, context.RequestAborted);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, host.ApplicationStopping);
        var response = context.Response;
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
        response.Headers["X-Accel-Buffering"] = "no";
        await response.Body.FlushAsync(stop.Token);
        try
        {
            await using var changes = client.WatchAsync(id, after, stop.Token).GetAsyncEnumerator(stop.Token);
            var next = changes.MoveNextAsync().AsTask();
            try
            {
                while (true)
                {
                    if (await Task.WhenAny(next, Task.Delay(Quiet, stop.Token)) != next)
                    {
                        if (!await Caller.Of(context.User).IsStillLetInAsync(keys, stop.Token))
                            return;
                        await WriteAsync(": nothing new\n\n");
                        continue;
                    }

                    if (!await next)
                        return;
                    await WriteAsync($"event: change\nid: {changes.Current.Status.Version}\ndata: {JsonSerializer.Serialize(changes.Current, StainGridJson.Options)}\n\n");
                    next = changes.MoveNextAsync().AsTask();
                }
            }
            finally
            {
                await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);   // an enumerator is not disposed of while it moves
            }
        }
        catch (Exception e) when (e is OperationCanceledException or StainGridException or IOException)
        {
            // The caller went away, or this silo stops, or the cluster does not answer: who watches connects again.
        }

        async Task WriteAsync(string text)
        {
            await response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), stop.Token);
            await response.Body.FlushAsync(stop.Token);
        }
    }
}

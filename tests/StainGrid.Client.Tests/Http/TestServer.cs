using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace StainGrid.Client.Tests;

/// <summary>A request as it came.</summary>
internal sealed record SeenRequest(string Method, string Target, IReadOnlyDictionary<string, string> Headers, DateTime Time);

/// <summary>A real HTTP server on a loopback port that answers as a test says, faults included.</summary>
internal sealed class TestServer : IAsyncDisposable
{
    private readonly WebApplication application;
    private readonly ConcurrentQueue<SeenRequest> requests = new();

    private TestServer(WebApplication application) => this.application = application;

    public Uri Address => new(application.Urls.Single());

    public IReadOnlyList<SeenRequest> Requests => [.. requests];

    /// <summary>Starts a server.</summary>
    /// <param name="answer">Answers a request; its number counts from 0.</param>
    public static async Task<TestServer> StartAsync(Func<HttpContext, int, Task> answer)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = [] });
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0);
            kestrel.Limits.MinRequestBodyDataRate = null;
        });
        var application = builder.Build();
        var server = new TestServer(application);
        int count = -1;
        application.Run(async context =>
        {
            int number = Interlocked.Increment(ref count);
            string target = context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpRequestFeature>()!.RawTarget;
            server.requests.Enqueue(new SeenRequest(context.Request.Method, target, context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase), DateTime.UtcNow));
            try
            {
                await answer(context, number);
            }
            catch (OperationCanceledException)
            {
                // The client went away.
            }
        });
        await application.StartAsync();
        return server;
    }

    /// <summary>A client of this server that is quick to ask again.</summary>
    public HttpStainGridClient Client(HttpStainGridOptions? options = null) => new(Address, options ?? new HttpStainGridOptions { Patience = TimeSpan.FromMinutes(2) });

    /// <summary>Answers with JSON as the service writes it.</summary>
    public static Task JsonAsync(HttpContext context, object value) => context.Response.WriteAsJsonAsync(value, value.GetType(), Contracts.StainGridJson.Options, "application/json", context.RequestAborted);

    /// <summary>Answers with a problem.</summary>
    public static Task ProblemAsync(HttpContext context, int status, string code, string title = "What to do.") =>
        RawAsync(context, status, "application/problem+json", $$"""{"type":"about:blank","title":"{{title}}","status":{{status}},"code":"{{code}}"}""");

    /// <summary>Answers with a text.</summary>
    public static Task RawAsync(HttpContext context, int status, string type, string body)
    {
        (context.Response.StatusCode, context.Response.ContentType) = (status, type);
        return context.Response.WriteAsync(body, context.RequestAborted);
    }

    /// <summary>Writes what has to come before a fault, so that it is on the wire.</summary>
    public static async Task SendAsync(HttpContext context, string text)
    {
        await context.Response.WriteAsync(text, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using var hurry = new CancellationTokenSource(TimeSpan.FromSeconds(0.2));   // clients may hold requests open
        await application.StopAsync(hurry.Token);
        await application.DisposeAsync();
    }
}

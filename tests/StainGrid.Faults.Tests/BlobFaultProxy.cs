using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace StainGrid.Faults.Tests;

/// <summary>What can go wrong with a request to the blob service.</summary>
internal enum BlobFault
{
    /// <summary>The connection is closed without an answer; the service never sees the request.</summary>
    Refused,

    /// <summary>503 ServerBusy; the service never sees the request.</summary>
    Unavailable,

    /// <summary>Half of the answer's body, then the connection is closed; of a write, half of the request reaches the service.</summary>
    Torn,

    /// <summary>The answer comes 1 to 5 s late (see <see cref="BlobFaultProxy.SlowFrom"/>).</summary>
    Slow,

    /// <summary>The service does what is asked, and the connection is closed without an answer.</summary>
    LostAnswer,
}

/// <summary>A reverse proxy before Azurite on a loopback port, that makes requests fail and remembers every write.</summary>
/// <remarks>A shared key signs the path (with the account) and the headers of the blob service, not the host or the port,
/// so requests are forwarded as they are. A rate's draws come from a seed, in the order of the requests' arrival.</remarks>
internal sealed class BlobFaultProxy : IAsyncDisposable
{
    private static readonly HashSet<string> s_hopByHop = new(StringComparer.OrdinalIgnoreCase)
        { "Connection", "Keep-Alive", "Transfer-Encoding", "Proxy-Connection", "Upgrade", "TE", "Trailer", "Host" };

    private readonly WebApplication _application;
    private readonly HttpMessageInvoker _service = new(new SocketsHttpHandler { PooledConnectionIdleTimeout = TimeSpan.FromSeconds(2) /* before Node closes them */, AllowAutoRedirect = false, UseCookies = false, UseProxy = false });
    private readonly Uri _target;
    private Random _random = new(0);
    private readonly Lock _draw = new();
    private readonly ConcurrentQueue<BlobWrite> _history = new();
    private readonly ConcurrentDictionary<BlobFault, int> _injected = new();
    private (double Rate, BlobFault[] Faults) _setting = (0, []);
    private long _clock;

    private BlobFaultProxy(WebApplication application, Uri target)
    {
        _application = application;
        _target = target;
        ConnectionString = "";
    }

    /// <summary>Azurite's connection string with the proxy's port.</summary>
    public string ConnectionString { get; private set; }

    /// <summary>The shortest delay of <see cref="BlobFault.Slow"/>; the longest is 4 s more, or as much again below 1 s.</summary>
    public TimeSpan SlowFrom { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How often each fault was made.</summary>
    public IReadOnlyDictionary<BlobFault, int> Injected => _injected;

    /// <summary>All requests that were seen.</summary>
    public long Requests { get; private set; }

    /// <summary>The writes so far, in the order of their ends.</summary>
    public IReadOnlyList<BlobWrite> History => [.. _history];

    /// <summary>Decides which requests fail from now on.</summary>
    public void Seed(int seed)
    {
        lock (_draw)
            _random = new Random(seed);
    }

    /// <summary>Makes a share of the requests fail from now on, each with one of the faults.</summary>
    /// <param name="rate">0 to 1.</param>
    /// <param name="faults">The faults; none for all.</param>
    public void Fail(double rate, params BlobFault[] faults)
    {
        lock (_draw)
            _setting = (rate, faults.Length > 0 ? faults : Enum.GetValues<BlobFault>());
    }

    /// <summary>Starts a proxy that makes no faults yet.</summary>
    /// <param name="connectionString">The blob service's, with its BlobEndpoint.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    public static async Task<BlobFaultProxy> StartAsync(string connectionString, CancellationToken cancellationToken)
    {
        string endpoint = connectionString.Split(';').Single(part => part.StartsWith("BlobEndpoint=", StringComparison.Ordinal))["BlobEndpoint=".Length..];
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { Args = [] });
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0);
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinRequestBodyDataRate = null;   // a paused silo may stop in the middle of a request
            kestrel.Limits.MinResponseDataRate = null;
        });
        var application = builder.Build();
        var proxy = new BlobFaultProxy(application, new Uri(endpoint));
        application.Run(proxy.ForwardAsync);
        await application.StartAsync(cancellationToken);
        int port = new Uri(application.Urls.Single()).Port;
        proxy.ConnectionString = connectionString.Replace(
            $"{proxy._target.Host}:{proxy._target.Port}", $"127.0.0.1:{port}", StringComparison.Ordinal);
        return proxy;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // A killed or paused client may hold a request open: do not wait for it.
        using var hurry = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _application.StopAsync(hurry.Token);
        await _application.DisposeAsync();
        _service.Dispose();
    }

    private (BlobFault? Fault, double Draw, long Started) Draw()
    {
        lock (_draw)
        {
            Requests++;
            var fault = _random.NextDouble() < _setting.Rate ? _setting.Faults[_random.Next(_setting.Faults.Length)] : (BlobFault?)null;
            if (fault is { } made)
                _injected.AddOrUpdate(made, 1, (_, count) => count + 1);
            return (fault, _random.NextDouble(), ++_clock);
        }
    }

    private async Task ForwardAsync(HttpContext context)
    {
        // The body first: of a client that dies in the middle, the service sees nothing (as with the real one).
        using var received = new MemoryStream();
        await context.Request.Body.CopyToAsync(received, context.RequestAborted);
        byte[] body = received.ToArray();
        var (fault, draw, started) = Draw();
        string path = context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpRequestFeature>()!.RawTarget;
        BlobWrite? write = Describe(context.Request, path, body, started, fault);
        bool answered = false;
        try
        {
            if (fault == BlobFault.Refused)
            {
                context.Abort();
                return;
            }

            if (fault == BlobFault.Unavailable)
            {
                context.Response.StatusCode = 503;
                context.Response.ContentType = "application/xml";
                context.Response.Headers["x-ms-error-code"] = "ServerBusy";
                await context.Response.WriteAsync("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ServerBusy</Code>"
                    + "<Message>The server is currently unable to receive requests.</Message></Error>", context.RequestAborted);
                answered = true;
                return;
            }

            // What was received whole is done whole, also when the client is gone meanwhile: no cancellation here.
            bool half = fault == BlobFault.Torn && body.Length > 1;
            using var request = Request(context.Request, path, body, half);
            HttpResponseMessage response;
            try
            {
                response = await _service.SendAsync(request, CancellationToken.None);
            }
            catch (HttpRequestException)
            {
                context.Abort();
                return;
            }

            using (response)
            {
                byte[] answer = await response.Content.ReadAsByteArrayAsync(CancellationToken.None);
                if (write is not null)
                    write = write with { Status = (int)response.StatusCode, ETag = response.Headers.ETag?.Tag, Done = Tick() };
                if (fault == BlobFault.Slow)
                    await Task.Delay(SlowFrom + (draw * (SlowFrom < TimeSpan.FromSeconds(1) ? SlowFrom : TimeSpan.FromSeconds(4))), context.RequestAborted);
                if (fault == BlobFault.LostAnswer || (fault == BlobFault.Torn && answer.Length < 2))
                {
                    context.Abort();
                    return;
                }

                context.Response.StatusCode = (int)response.StatusCode;
                foreach (var (name, values) in response.Headers.Concat(response.Content.Headers))
                {
                    if (!s_hopByHop.Contains(name))
                        context.Response.Headers[name] = values.ToArray();
                }

                if (fault == BlobFault.Torn)
                {
                    await context.Response.Body.WriteAsync(answer.AsMemory(0, answer.Length / 2), context.RequestAborted);
                    await context.Response.Body.FlushAsync(context.RequestAborted);
                    context.Abort();
                    return;
                }

                if (answer.Length > 0 && !HttpMethods.IsHead(context.Request.Method))
                    await context.Response.Body.WriteAsync(answer, context.RequestAborted);
                await context.Response.CompleteAsync();
                answered = !context.RequestAborted.IsCancellationRequested;
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException)
        {
            // The client is gone: killed, or its own time-out.
        }
        finally
        {
            if (write is not null)
                _history.Enqueue(write with { Answered = answered });
        }
    }

    private long Tick()
    {
        lock (_draw)
            return ++_clock;
    }

    private static BlobWrite? Describe(HttpRequest request, string path, byte[] body, long started, BlobFault? fault)
    {
        // A blob's path is account/container/key; with "comp" it is a block, a list of blocks or metadata.
        string[] parts = path.Split('?')[0].Trim('/').Split('/', 3);
        if (parts.Length < 3 || request.Query.ContainsKey("restype") || !(HttpMethods.IsPut(request.Method) || HttpMethods.IsDelete(request.Method)))
            return null;
        string key = Uri.UnescapeDataString(parts[2]);
        return new BlobWrite
        {
            Container = parts[1],
            Key = key,
            Delete = HttpMethods.IsDelete(request.Method),
            Part = request.Query["comp"].ToString(),
            Time = DateTimeOffset.UtcNow,
            Started = started,
            IfMatch = request.Headers.IfMatch.FirstOrDefault(),
            IfNoneMatch = request.Headers.IfNoneMatch.FirstOrDefault(),
            RequestId = request.Headers["x-ms-client-request-id"].ToString(),
            Sha256 = Convert.ToHexStringLower(SHA256.HashData(body)),
            Commit = CommitHistory.IsCommit(key) ? Encoding.UTF8.GetString(body) : null,
            Fault = fault,
        };
    }

    private HttpRequestMessage Request(HttpRequest request, string path, byte[] body, bool half)
    {
        // Not to be normalised: the path is signed as it was sent.
        var uri = new Uri($"http://{_target.Host}:{_target.Port.ToString(CultureInfo.InvariantCulture)}{path}",
            new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });
        var message = new HttpRequestMessage(new HttpMethod(request.Method), uri) { Version = HttpVersion.Version11 };
        if (body.Length > 0 || request.ContentLength is not null)
            message.Content = half ? new HalfContent(body) : new ByteArrayContent(body);
        foreach (var (name, values) in request.Headers)
        {
            if (s_hopByHop.Contains(name))
                continue;
            if (!message.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values))
                message.Content?.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        }

        message.Headers.Host = request.Host.Value;
        return message;
    }

    /// <summary>Announces all bytes, sends half, and breaks the connection.</summary>
    private sealed class HalfContent(byte[] body) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(body.AsMemory(0, body.Length / 2));
            await stream.FlushAsync();
            throw new IOException("Torn on purpose.");
        }

        protected override bool TryComputeLength(out long length)
        {
            length = body.Length;
            return true;
        }
    }
}

using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Silo;
using StainGrid.Silo.Http;
using StainGrid.TestSupport;

namespace StainGrid.Http.Tests;

/// <summary>A service that asks who comes: a real silo, two tenants, an OIDC provider, a model that costs little.</summary>
public sealed class Service : IAsyncLifetime
{
    private readonly TemporaryFolder folder = new();
    private readonly Clock clock = new();
    private TokenProvider? provider;
    private EmbeddedSilo? silo;

    internal TokenProvider Provider => provider!;

    internal ApiKeys Keys { get; private set; } = null!;

    /// <summary>Requests that a caller may make in a second.</summary>
    public int RequestsPerSecond { get; init; } = 5000;

    /// <summary>The proxies that it believes.</summary>
    public IReadOnlyList<IPNetwork> TrustedProxies { get; init; } = [];

    /// <summary>Whether it takes uploads.</summary>
    public bool TakesUploads { get; init; } = true;

    /// <summary>Plates of a tenant that may run at once.</summary>
    public int MostRunning { get; init; } = 50;

    /// <summary>The folder of the service's state.</summary>
    public string State => folder.File("state");

    /// <summary>Whether it has a model registry.</summary>
    public bool HasRegistry { get; init; }

    /// <summary>The registry's folder.</summary>
    public string Registry => folder.File("registry");

    /// <summary>Another model than "small", of the same labels.</summary>
    public string WriteModel(int seed)
    {
        string path = folder.File($"model-{seed}.safetensors");
        using var model = StainModel.Create(
            new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("DAPI_CONFOCAL", 0, 65_535, "0000FF"), new("MAP2_CONFOCAL", 0, 65_535, "00FF00")], (ulong)seed);
        model.Save(path);
        return path;
    }

    /// <summary>How long it keeps things; for ever where nothing is said.</summary>
    public RetentionOptions Retention { get; init; } = new() { Uploads = null };

    /// <summary>How far the service's clock is ahead.</summary>
    public TimeSpan Ahead { get => clock.Ahead; set => clock.Ahead = value; }

    /// <summary>How much longer than in truth the service seems to run.</summary>
    public TimeSpan Uptime { get => clock.Uptime; set => clock.Uptime = value; }

    /// <summary>Holds calls to its grains.</summary>
    internal CallGate Gate { get; } = new();

    /// <summary>The silo's grains.</summary>
    public IGrainFactory Grains => silo!.Grains;

    /// <summary>A path in the service's folder.</summary>
    public string File(params string[] name) => folder.File(name);

    /// <summary>A path in the share that all tenants have.</summary>
    public string InShare(string name) => folder.File("share", name);

    /// <summary>Where it is.</summary>
    public Uri Url => new(silo!.Url!);

    /// <summary>Keys of tenant lab-a that may read and submit, of lab-b that may submit, and of an operator.</summary>
    public string Reader { get; private set; } = "";

    /// <inheritdoc cref="Reader"/>
    public string Submitter { get; private set; } = "";

    /// <inheritdoc cref="Reader"/>
    public string Other { get; private set; } = "";

    /// <inheritdoc cref="Reader"/>
    public string Operator { get; private set; } = "";

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        provider = await TokenProvider.StartAsync();
        System.IO.File.Move(WriteModel(1), folder.File("small.safetensors"));
        Directory.CreateDirectory(folder.File("share"));
        Directory.CreateDirectory(folder.File("private"));
        WritePlate(folder.File("share", "plate"), 2);
        System.IO.File.WriteAllText(folder.File("secret.txt"), "SECRET-OF-THE-SERVICE");
        var state = BlobStores.Open(folder.File("state"));
        silo = await EmbeddedSilo.StartAsync(new DeviceOptions { Threads = 1 }, state: state, http: new HttpOptions
        {
            Listen = "127.0.0.1:0",
            RequireAuthentication = true,
            OidcAuthority = provider.Address,
            RequestsPerSecond = RequestsPerSecond,
            TrustedProxies = TrustedProxies,
            Service = new ServiceOptions
            {
                Results = folder.File("results"),
                Uploads = TakesUploads ? folder.File("uploads") : null,
                Models = [new("small", folder.File("small.safetensors"))],
                Shares = new Dictionary<string, string> { ["all"] = folder.File("share"), ["lab-b/own"] = folder.File("private") },
                MostRunning = MostRunning,
                Registry = HasRegistry ? Registry : null,
                Retention = Retention,
            },
        }, configure: host =>
        {
            host.Services.AddSingleton<TimeProvider>(clock);
            host.AddIncomingGrainCallFilter(Gate);
        });
        Keys = ApiKeys.Of(state);
        Reader = (await Keys.CreateAsync("reader", "lab-a", ServiceRole.Read, TimeSpan.FromDays(1))).Secret;
        Submitter = (await Keys.CreateAsync("submitter", "lab-a", ServiceRole.Submit, TimeSpan.FromDays(1))).Secret;
        Other = (await Keys.CreateAsync("other", "lab-b", ServiceRole.Submit, TimeSpan.FromDays(1))).Secret;
        Operator = (await Keys.CreateAsync("operator", "operators", ServiceRole.Operate, TimeSpan.FromDays(1))).Secret;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (silo is not null)
            await silo.DisposeAsync();
        if (provider is not null)
            await provider.DisposeAsync();
        folder.Dispose();
    }

    /// <summary>A client that shows a key or token; none where null.</summary>
    public HttpClient Client(string? credential)
    {
        var client = new HttpClient(new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false }) { BaseAddress = Url, Timeout = TimeSpan.FromMinutes(10) };   // the events of a plate are one answer
        if (credential is not null)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", credential);
        return client;
    }

    /// <summary>Fields of 160x160, each in a well of its own, B02 on.</summary>
    public static void WritePlate(string path, int wells, int seed = 1)
    {
        Directory.CreateDirectory(path);
        for (int well = 0; well < wells; well++)
            System.IO.File.WriteAllBytes(Path.Combine(path, $"r02c{well + 2:00}f01p01-ch1sk1fk1fl1.tiff"), Png(seed + well));
    }

    /// <summary>A grey PNG of 160x160, 16 bit.</summary>
    public static byte[] Png(int seed)
    {
        using var folder = new TemporaryFolder();
        var random = new Random(seed);
        ushort[] pixels = [.. Enumerable.Range(0, 160 * 160).Select(i => (ushort)(20_000 + 9000 * Math.Sin(i % 160 * 0.2 + seed) * Math.Sin(i / 160 * 0.1) + random.Next(500)))];
        PngWriter.WriteGrey16(folder.File("a.png"), pixels, 160, 160);
        return System.IO.File.ReadAllBytes(folder.File("a.png"));
    }

    /// <summary>Uploads files and returns the upload's id.</summary>
    public static async Task<string> UploadAsync(HttpClient client, params (string Name, byte[] Bytes)[] files)
    {
        string upload = (string)(await JsonAsync(await client.PostAsync(new Uri("/v1/uploads", UriKind.Relative), null)))["id"]!;
        foreach (var (name, bytes) in files)
        {
            using var begun = await BeginAsync(client, upload, name, bytes.Length);
            begun.EnsureSuccessStatusCode();
            using var added = await AddAsync(client, begun.Headers.Location!.ToString(), 0, bytes);
            added.EnsureSuccessStatusCode();
        }

        return upload;
    }

    /// <summary>Begins a file.</summary>
    public static async Task<HttpResponseMessage> BeginAsync(HttpClient client, string upload, string name, long length)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/uploads/{upload}/files");
        request.Headers.Add("Upload-Length", $"{length}");
        request.Headers.Add("Upload-Metadata", $"filename {Convert.ToBase64String(Encoding.UTF8.GetBytes(name))}");
        return await client.SendAsync(request);
    }

    /// <summary>Adds bytes to a file.</summary>
    public static async Task<HttpResponseMessage> AddAsync(HttpClient client, string location, long offset, byte[] bytes)
    {
        using var request = new HttpRequestMessage(HttpMethod.Patch, location) { Content = new ByteArrayContent(bytes) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/offset+octet-stream");
        request.Headers.Add("Upload-Offset", $"{offset}");
        return await client.SendAsync(request);
    }

    /// <summary>Submits a plate.</summary>
    public static async Task<HttpResponseMessage> SubmitAsync(HttpClient client, string source, string? key = null, string more = "")
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/plates")
        {
            Content = new StringContent($"{{\"source\":{JsonSerializer.Serialize(source)}{more}}}", Encoding.UTF8, "application/json"),
        };
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        return await client.SendAsync(request);
    }

    /// <summary>The body of an answer that must be right.</summary>
    public static async Task<JsonNode> JsonAsync(HttpResponseMessage response)
    {
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, $"{(int)response.StatusCode}: {text}");
        return JsonNode.Parse(text)!;
    }

    /// <summary>Submits a plate and waits for its end; its id.</summary>
    public static async Task<string> RunAsync(HttpClient client, string source)
    {
        string id = (string)(await JsonAsync(await SubmitAsync(client, source)))["plate_id"]!;
        Assert.Equal("complete", await EndAsync(client, id));
        return id;
    }

    /// <summary>Waits for a plate's end; its state.</summary>
    public static async Task<string> EndAsync(HttpClient client, string id)
    {
        string events = await client.GetStringAsync(new Uri($"/v1/plates/{id}/events", UriKind.Relative));
        return (string)JsonNode.Parse(events.Split('\n').Last(line => line.StartsWith("data: ", StringComparison.Ordinal))[6..])!["status"]!["state"]!;
    }

    /// <summary>The entries of the audit log that a caller may see.</summary>
    public static async Task<JsonNode[]> AuditAsync(HttpClient client) =>
        [.. (await client.GetStringAsync(new Uri("/v1/audit", UriKind.Relative))).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)];

    // Timers go on as they do.
    private sealed class Clock : TimeProvider
    {
        public TimeSpan Ahead { get; set; }

        public TimeSpan Uptime { get; set; }

        public override long GetTimestamp() => base.GetTimestamp() + (long)(Uptime.TotalSeconds * TimestampFrequency);

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Ahead;
    }
}

/// <summary>Holds one call to a grain, before or after it is done, until it may go on.</summary>
internal sealed class CallGate : IIncomingGrainCallFilter
{
    private Held? next;

    /// <summary>Holds the next call of a method.</summary>
    public Held Hold<TGrain>(string method, bool done = false) => next = new Held(typeof(TGrain), method, done);

    /// <inheritdoc/>
    public async Task Invoke(IIncomingGrainCallContext context)
    {
        var held = next is { } one && one.Grain.IsInstanceOfType(context.Grain) && context.MethodName == one.Method ? Interlocked.Exchange(ref next, null) : null;
        if (held?.Done == false)
            await held.WaitAsync();
        await context.Invoke();
        if (held?.Done == true)
            await held.WaitAsync();
    }

    /// <summary>A call that is held.</summary>
    internal sealed class Held(Type grain, string method, bool done)
    {
        private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously), gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Type Grain => grain;

        public string Method => method;

        public bool Done => done;

        public Task Reached => reached.Task.WaitAsync(TimeSpan.FromMinutes(3));

        public void Go() => gone.SetResult();

        public Task WaitAsync()
        {
            reached.SetResult();
            return gone.Task;
        }
    }
}

using System.Globalization;
using System.Runtime.CompilerServices;
using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>A tenant's view of the service, over HTTP from anywhere (docs/api.md). Safe for concurrent use.</summary>
public sealed class HttpStainGridClient : IStainGridClient, IDisposable
{
    private const int LongestKey = 200;

    // The service reads the list of the images before it answers.
    private static readonly TimeSpan SubmissionTime = TimeSpan.FromMinutes(10);

    private readonly HttpExchange exchange;
    private readonly HttpClient? own;

    /// <summary>A client of a server.</summary>
    /// <param name="server">Its address, as https://staingrid.example.org/.</param>
    /// <param name="options">How to ask; null for the defaults.</param>
    /// <exception cref="ArgumentException">The address or an option is wrong.</exception>
    public HttpStainGridClient(Uri server, HttpStainGridOptions? options = null)
        : this(new HttpClient(Handler()) { BaseAddress = server, Timeout = Timeout.InfiniteTimeSpan }, options, owns: true)
    {
    }

    /// <summary>A client that asks through an <see cref="HttpClient"/> of its caller's, who disposes of that.</summary>
    /// <param name="http">Its BaseAddress is the server's address; its Timeout should be infinite, since this client has limits of its own.</param>
    /// <param name="options">How to ask; null for the defaults.</param>
    /// <exception cref="ArgumentException">The address or an option is wrong.</exception>
    public HttpStainGridClient(HttpClient http, HttpStainGridOptions? options = null)
        : this(http, options, owns: false)
    {
    }

    private HttpStainGridClient(HttpClient http, HttpStainGridOptions? options, bool owns)
    {
        ArgumentNullException.ThrowIfNull(http);
        own = owns ? http : null;
        exchange = new HttpExchange(http, options ?? new HttpStainGridOptions());
    }

    /// <inheritdoc/>
    public Task<PlateStatus> SubmitAsync(PlateSubmission submission, string? idempotencyKey = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(submission);
        if (idempotencyKey is not null && (idempotencyKey.Length is 0 or > LongestKey || idempotencyKey.Any(c => c is <= ' ' or >= '\x7f')))
            throw new StainGridException(StainGridError.Refused, $"An idempotency key has 1 to {LongestKey} plain characters without spaces.");
        return exchange.PostAsync<PlateStatus>("v1/plates", submission, idempotencyKey ?? ServiceId.New(), SubmissionTime, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<PlateStatus> GetAsync(string plateId, CancellationToken cancellationToken = default) =>
        exchange.GetAsync<PlateStatus>(Plate(plateId), cancellationToken);

    /// <inheritdoc/>
    public async Task<IReadOnlyList<FieldStatus>> GetFieldsAsync(string plateId, CancellationToken cancellationToken = default) =>
        (await exchange.GetAsync<FieldList>(Plate(plateId) + "/fields", cancellationToken)).Fields ?? [];

    /// <inheritdoc/>
    public async IAsyncEnumerable<PlateChange> WatchAsync(string plateId, long after = -1, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        Plate(plateId);
        var watch = new PlateWatch(after);
        var retry = new Retry(exchange.Options.Patience);
        EventConnection? connection = null;
        try
        {
            while (!watch.HasEnded)
            {
                PlateChange? news;
                try
                {
                    connection ??= await EventConnection.OpenAsync(exchange, plateId, watch.Version, cancellationToken);
                    news = watch.Next(await connection.NextAsync(cancellationToken));
                }
                catch (StainGridException e) when (HttpExchange.IsTransient(e))
                {
                    if (connection is { HasHeard: true })
                        retry.Heard();
                    if (retry.Next(e.RetryAfter) is not { } delay)
                        throw;
                    if (connection is not null)
                        await connection.DisposeAsync();
                    connection = null;
                    await Task.Delay(delay, cancellationToken);
                    continue;
                }

                if (news is null)
                    continue;
                retry.Succeeded();
                yield return news;
            }
        }
        finally
        {
            if (connection is not null)
                await connection.DisposeAsync();
        }
    }

    /// <inheritdoc/>
    public Task<PlateStatus> CancelAsync(string plateId, CancellationToken cancellationToken = default) =>
        exchange.PostAsync<PlateStatus>(Plate(plateId) + "/cancel", null, null, null, cancellationToken);

    /// <inheritdoc/>
    public async Task<int> RetryAsync(string plateId, CancellationToken cancellationToken = default)
    {
        // By the generation the service knows a request that comes again since its answer was lost.
        int generation = (await GetAsync(plateId, cancellationToken)).Generation;
        return (await exchange.PostAsync<RetriedFields>(
            string.Create(CultureInfo.InvariantCulture, $"{Plate(plateId)}/retry?generation={generation}"), null, null, null, cancellationToken)).Fields;
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string plateId, CancellationToken cancellationToken = default)
    {
        string path = Plate(plateId);
        int tries = 0;
        try
        {
            await exchange.AskAsync(
                () =>
                {
                    tries++;
                    return new HttpRequestMessage(HttpMethod.Delete, path);
                },
                (_, _) => Task.FromResult(true), null, cancellationToken);
        }
        catch (StainGridException e) when (e.Error == StainGridError.NotFound && tries > 1)
        {
            // It was deleted by a try whose answer was lost.
        }
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<PlateSummary>> ListAsync(PlateQuery? query = null, CancellationToken cancellationToken = default)
    {
        query ??= new PlateQuery();
        string path = string.Create(CultureInfo.InvariantCulture, $"v1/plates?limit={query.Limit}");
        if (query.State is { } state)
            path += "&state=" + System.Text.Json.JsonNamingPolicy.SnakeCaseLower.ConvertName(state.ToString());
        if (query.Text is { } text)
            path += "&text=" + Uri.EscapeDataString(text);
        if (query.After is { } after)
            path += "&after=" + Uri.EscapeDataString(after);
        return (await exchange.GetAsync<PlateList>(path, cancellationToken)).Plates ?? [];
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<ModelSummary>> ListModelsAsync(CancellationToken cancellationToken = default) =>
        (await exchange.GetAsync<ModelList>("v1/models", cancellationToken)).Models ?? [];

    /// <inheritdoc/>
    /// <remarks>The stream comes as it is read; where its connection is lost it goes on behind the last byte on a new one. It throws <see cref="IOException"/>.</remarks>
    public Task<Stream> OpenAsync(string plateId, string key, CancellationToken cancellationToken = default)
    {
        Plate(plateId);
        try
        {
            return ResultStream.OpenAsync(exchange, HttpResultStore.Address(plateId, key), cancellationToken);
        }
        catch (ArgumentException e)
        {
            throw new StainGridException(StainGridError.NotFound, e.Message, e);
        }
    }

    /// <summary>The names of a plate's files, for <see cref="OpenAsync"/>, in ordinal order.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="prefix">Only those that start so, as "B/7/0/"; empty for all.</param>
    /// <param name="cancellationToken">Stops the listing.</param>
    /// <exception cref="StainGridException">There is no such plate, or the service does not answer.</exception>
    public IAsyncEnumerable<string> ListFilesAsync(string plateId, string prefix = "", CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        Plate(plateId);
        return new HttpResultStore(exchange, plateId).ListAsync(prefix, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<LabelImage> ReadAsync(string plateId, string fieldPath, string channel, int level = 0, CancellationToken cancellationToken = default)
    {
        // A plate that is not there is told as such, not as a field that is not.
        await GetAsync(plateId, cancellationToken);
        return await ResultReader.ReadAsync(new HttpResultStore(exchange, plateId), fieldPath, channel, level, cancellationToken);
    }

    /// <summary>Uploads the images of a folder, without folders below, for a submission's source "upload:ID".</summary>
    /// <param name="folder">The folder: PNG and TIFF, or a manifest (CSV, JSON) with its images.</param>
    /// <param name="progress">Told what the service has confirmed; null for nobody.</param>
    /// <param name="cancellationToken">Stops the upload and drops it.</param>
    /// <returns>The upload's id.</returns>
    /// <exception cref="StainGridException">It failed, or a file is not one that can be uploaded.</exception>
    public Task<string> UploadAsync(string folder, IProgress<UploadProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return UploadAsync(Uploader.In(Path.GetFullPath(folder)), progress, cancellationToken);
    }

    /// <summary>Uploads files for a submission's source "upload:ID". What a lost connection interrupts goes on by itself.</summary>
    /// <param name="files">The files.</param>
    /// <param name="progress">Told what the service has confirmed; null for nobody.</param>
    /// <param name="cancellationToken">Stops the upload and drops it.</param>
    /// <returns>The upload's id.</returns>
    /// <exception cref="StainGridException">It failed, or a file is not one that can be uploaded.</exception>
    public Task<string> UploadAsync(IReadOnlyList<UploadFile> files, IProgress<UploadProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(files);
        return Uploader.RunAsync(exchange, files, progress, cancellationToken);
    }

    /// <summary>Closes its connections, unless they are its caller's.</summary>
    public void Dispose() => own?.Dispose();

    /// <summary>The handler of connections: short to fail, never redirected (a key would go along), and not kept so long that a moved name is missed.</summary>
    internal static SocketsHttpHandler Handler() => new()
    {
        AllowAutoRedirect = false,
        ConnectTimeout = TimeSpan.FromSeconds(15),
        PooledConnectionLifetime = TimeSpan.FromMinutes(2),
    };

    private static string Plate(string plateId) => ServiceId.IsValid(plateId)
        ? "v1/plates/" + plateId
        : throw new StainGridException(StainGridError.NotFound, "There is no such plate.");

    private sealed record FieldList(IReadOnlyList<FieldStatus>? Fields);

    private sealed record PlateList(IReadOnlyList<PlateSummary>? Plates);

    private sealed record ModelList(IReadOnlyList<ModelSummary>? Models);

    private sealed record RetriedFields(int Fields);
}

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Security.Authentication;
using System.Text.Json;
using System.Text.Json.Serialization;
using StainGrid.Contracts;

namespace StainGrid.Client;

/// <summary>Requests and answers of the HTTP API: credentials, typed errors, time limits, bounded answers, and asking again.</summary>
internal sealed class HttpExchange
{
    private const int LargestJson = 64 << 20, LargestProblem = 64 << 10, LongestMessage = 2000;

    private static readonly TimeSpan QuestionTime = TimeSpan.FromSeconds(100);

    private readonly HttpClient http;
    private readonly HttpStainGridOptions options;

    public HttpExchange(HttpClient http, HttpStainGridOptions options)
    {
        if (http.BaseAddress is not { IsAbsoluteUri: true, Scheme: "http" or "https" } address)
            throw new ArgumentException("The HttpClient's BaseAddress must be the server's, as https://staingrid.example.org/.", nameof(http));
        (this.http, this.options) = (http, options.Checked());

        // A server may live below a path, to which addresses are only added behind a '/'.
        Server = new Uri(address.GetLeftPart(UriPartial.Path).TrimEnd('/') + "/");
    }

    /// <summary>The server's address, with '/' at its end.</summary>
    public Uri Server { get; }

    /// <summary>The options, checked.</summary>
    public HttpStainGridOptions Options => options;

    /// <summary>As the service writes it, but what a newer one adds is passed over.</summary>
    public static JsonSerializerOptions Json { get; } = new(StainGridJson.Options) { UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip };

    /// <summary>Asks for JSON.</summary>
    public Task<T> GetAsync<T>(string path, CancellationToken cancellationToken) =>
        AskAsync(() => new HttpRequestMessage(HttpMethod.Get, path), ReadAsync<T>, QuestionTime, cancellationToken);

    /// <summary>Sends what may be sent again, as JSON, and reads JSON.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="body">The body; null for none.</param>
    /// <param name="idempotencyKey">The key by which the server knows it again; null for none.</param>
    /// <param name="time">How long one try may take; null for as long as a question.</param>
    /// <param name="cancellationToken">Stops it.</param>
    public Task<T> PostAsync<T>(string path, object? body, string? idempotencyKey, TimeSpan? time, CancellationToken cancellationToken) => AskAsync(
        () =>
        {
            var request = new HttpRequestMessage(HttpMethod.Post, path);
            if (body is not null)
                request.Content = JsonContent.Create(body, body.GetType(), options: Json);
            if (idempotencyKey is not null)
                request.Headers.Add("Idempotency-Key", idempotencyKey);
            return request;
        },
        ReadAsync<T>,
        time ?? QuestionTime,
        cancellationToken);

    /// <summary>Asks until there is an answer, the patience ends, or the service says what asking again does not help.</summary>
    /// <param name="request">Makes the request, anew for each try.</param>
    /// <param name="read">Reads a successful answer.</param>
    /// <param name="time">How long one try may take, with the reading.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="StainGridException">It failed.</exception>
    public async Task<T> AskAsync<T>(Func<HttpRequestMessage> request, Func<HttpResponseMessage, CancellationToken, Task<T>> read, TimeSpan? time, CancellationToken cancellationToken)
    {
        for (var retry = new Retry(options.Patience); ;)
        {
            try
            {
                return await OnceAsync(request, read, time ?? QuestionTime, cancellationToken);
            }
            catch (StainGridException e) when (IsTransient(e) && retry.Next(e.RetryAfter) is { } delay)
            {
                await Task.Delay(delay, cancellationToken);
            }
        }
    }

    /// <summary>Asks once.</summary>
    public async Task<T> OnceAsync<T>(Func<HttpRequestMessage> request, Func<HttpResponseMessage, CancellationToken, Task<T>> read, TimeSpan time, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(time);
        return await TypedAsync(
            async () =>
            {
                using var response = await SendAsync(request, limit.Token);
                return await read(response, limit.Token);
            },
            cancellationToken);
    }

    /// <summary>Asks until there is a successful answer, whose body the caller reads.</summary>
    public async Task<HttpResponseMessage> OpenAsync(Func<HttpRequestMessage> request, CancellationToken cancellationToken)
    {
        for (var retry = new Retry(options.Patience); ;)
        {
            try
            {
                return await OpenOnceAsync(request, cancellationToken);
            }
            catch (StainGridException e) when (IsTransient(e) && retry.Next(e.RetryAfter) is { } delay)
            {
                await Task.Delay(delay, cancellationToken);
            }
        }
    }

    /// <summary>Asks once for a successful answer, whose body the caller reads.</summary>
    public async Task<HttpResponseMessage> OpenOnceAsync(Func<HttpRequestMessage> request, CancellationToken cancellationToken)
    {
        // The time is for the head of the answer alone.
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(options.Silence);
        return await TypedAsync(() => SendAsync(request, limit.Token), cancellationToken);
    }

    /// <summary>Whether asking again may help.</summary>
    public static bool IsTransient(StainGridException error) => error.Error is StainGridError.Busy or StainGridError.Unavailable;

    /// <summary>Turns what can go wrong on the way into typed errors.</summary>
    public async Task<T> TypedAsync<T>(Func<Task<T>> act, CancellationToken cancellationToken)
    {
        try
        {
            return await act();
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw new StainGridException(StainGridError.Unavailable, $"{Server} does not answer in time.", e);
        }
        catch (HttpRequestException e) when (e.InnerException is AuthenticationException)
        {
            throw new StainGridException(StainGridError.Refused, $"{Server} is not trusted: {OneLine(e.InnerException.Message)} Check the address and its certificate.", e);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new StainGridException(StainGridError.Unavailable, $"{Server} is not reachable: {OneLine(e.Message)} Check the address and the network.", e);
        }
        catch (Exception e) when (e is JsonException or InvalidDataException or NotSupportedException)
        {
            throw new StainGridException(StainGridError.Refused, $"{Server} does not answer as StainGrid does: {OneLine(e.Message)} Check the address, and that client and server are of like versions.", e);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(Func<HttpRequestMessage> make, CancellationToken cancellationToken)
    {
        using var request = make();
        request.RequestUri = new Uri(Server, request.RequestUri!);
        string? credential = options.Token is { } token ? await token(cancellationToken) : options.ApiKey;
        if (credential is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
        var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        if (response.IsSuccessStatusCode)
            return response;
        using (response)
            throw await ProblemAsync(response, cancellationToken);
    }

    private async Task<StainGridException> ProblemAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        Problem? problem = null;
        if (response.Content.Headers.ContentType?.MediaType == "application/problem+json")
        {
            try
            {
                await using var body = Guard(await response.Content.ReadAsStreamAsync(cancellationToken), LargestProblem);
                problem = await JsonSerializer.DeserializeAsync<Problem>(body, Json, cancellationToken);
            }
            catch (Exception e) when (e is JsonException or InvalidDataException)
            {
                // The status says enough.
            }
        }

        var error = problem?.Code switch
        {
            "refused" or "too_large" => StainGridError.Refused,
            "not_found" => StainGridError.NotFound,
            "conflict" => StainGridError.Conflict,
            "unauthenticated" => StainGridError.Unauthenticated,
            "forbidden" => StainGridError.Forbidden,
            "busy" => StainGridError.Busy,
            "unavailable" => StainGridError.Unavailable,
            _ => OfStatus(response.StatusCode),
        };
        string message = OneLine(problem?.Title is { Length: > 0 } title
            ? title
            : string.Create(CultureInfo.InvariantCulture, $"{Server} answered {(int)response.StatusCode} ({response.StatusCode}) to {response.RequestMessage?.Method} {response.RequestMessage?.RequestUri?.AbsolutePath}."));
        return new StainGridException(error, message) { RetryAfter = RetryAfter(response.Headers.RetryAfter) };
    }

    private static StainGridError OfStatus(HttpStatusCode status) => status switch
    {
        HttpStatusCode.Unauthorized => StainGridError.Unauthenticated,
        HttpStatusCode.Forbidden => StainGridError.Forbidden,
        HttpStatusCode.NotFound => StainGridError.NotFound,
        HttpStatusCode.Conflict => StainGridError.Conflict,
        HttpStatusCode.TooManyRequests => StainGridError.Busy,
        HttpStatusCode.RequestTimeout => StainGridError.Unavailable,
        < HttpStatusCode.InternalServerError => StainGridError.Refused,
        _ => StainGridError.Unavailable,
    };

    private static TimeSpan? RetryAfter(RetryConditionHeaderValue? header)
    {
        var delay = header?.Delta ?? (header?.Date - DateTimeOffset.UtcNow);
        return delay < TimeSpan.Zero ? TimeSpan.Zero : delay;
    }

    private async Task<T> ReadAsync<T>(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        if (response.Content.Headers.ContentType?.MediaType is not ("application/json" or null) and var type)
            throw new InvalidDataException($"the answer is {type}.");
        await using var body = Guard(await response.Content.ReadAsStreamAsync(cancellationToken), LargestJson);
        return await JsonSerializer.DeserializeAsync<T>(body, Json, cancellationToken) ?? throw new JsonException("the answer is null.");
    }

    /// <summary>A body that says something in time and has no more than so many bytes.</summary>
    public GuardedStream Guard(Stream body, long maxBytes) => new(body, maxBytes, options.Silence);

    private static string OneLine(string text)
    {
        string line = new([.. text.Take(LongestMessage).Select(c => char.IsControl(c) ? ' ' : c)]);
        return line.TrimEnd();
    }

    private sealed record Problem(string? Title, string? Code);
}

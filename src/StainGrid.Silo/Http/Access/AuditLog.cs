using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>Something that a caller did, or was not let.</summary>
/// <param name="Time">When.</param>
/// <param name="Caller">Who: "key:ID", "oidc:SUBJECT", "local", or "?" where that is not known.</param>
/// <param name="Name">The caller's name.</param>
/// <param name="Tenant">The caller's tenant.</param>
/// <param name="Address">The caller's IP address.</param>
/// <param name="Method">The request's method.</param>
/// <param name="Path">Its path.</param>
/// <param name="Status">How it was answered.</param>
internal sealed record AuditEntry(DateTimeOffset Time, string Caller, string? Name, string? Tenant, string? Address, string Method, string Path, int Status);

/// <summary>Keeps who did what, by day, as JSON lines in a blob store: what changes something, what operators look at, and what was refused for want of a right. Entries are
/// written together, within a second or so.</summary>
internal sealed partial class AuditLog(IBlobStore store, string silo, ILogger<AuditLog> logger) : BackgroundService
{
    private const int LongestPath = 500, MostWaiting = 100_000, Largest = 16 << 20;
    private static readonly TimeSpan Gathering = TimeSpan.FromSeconds(1);

    // Silos of a later version may note more.
    private static readonly JsonSerializerOptions Lenient = new(StainGridJson.Options) { UnmappedMemberHandling = JsonUnmappedMemberHandling.Skip };

    private readonly Channel<AuditEntry> entries = Channel.CreateBounded<AuditEntry>(new BoundedChannelOptions(MostWaiting) { SingleReader = true });
    private readonly StringBuilder unwritten = new();

    /// <summary>Notes a request, once it is answered: only then its status is known.</summary>
    public void Note(HttpContext context) => context.Response.OnCompleted(() =>
    {
        var (request, status) = (context.Request, context.Response.StatusCode);
        bool changes = !HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method) && !HttpMethods.IsPatch(request.Method);
        if (status == StatusCodes.Status429TooManyRequests
            || !(changes || status is StatusCodes.Status401Unauthorized or StatusCodes.Status403Forbidden || request.Path.StartsWithSegments("/v1/audit")))
        {
            return Task.CompletedTask;
        }

        var caller = Caller.Find(context.User);
        string path = request.Path.Value ?? "";
        var entry = new AuditEntry(
            DateTimeOffset.UtcNow, caller?.Id ?? "?", caller?.Name, caller?.Tenant, context.Connection.RemoteIpAddress?.ToString(),
            request.Method, path.Length > LongestPath ? path[..LongestPath] : path, status);
        if (!entries.Writer.TryWrite(entry))
            LogLost(logger, entry.Caller, entry.Method, entry.Path, entry.Status);
        return Task.CompletedTask;
    });

    /// <summary>The entries of a day, as JSON lines, in the order of their time for each silo.</summary>
    /// <param name="day">The day, UTC.</param>
    /// <param name="tenant">Only entries of this tenant; null for all.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    public async IAsyncEnumerable<string> ReadAsync(DateOnly day, string? tenant, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (string key in store.ListAsync(Folder(day), cancellationToken))
        {
            if (await store.ReadBlobAsync(key, 256 << 20, cancellationToken) is not { } blob)
                continue;
            foreach (string line in Encoding.UTF8.GetString(blob.Data.Span).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                if (tenant is null || JsonSerializer.Deserialize<AuditEntry>(line, Lenient)?.Tenant == tenant)
                    yield return line;
            }
        }
    }

    /// <inheritdoc/>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        entries.Writer.TryComplete();
        await base.StopAsync(cancellationToken);
        await WriteAsync(cancellationToken);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (await entries.Reader.WaitToReadAsync(stoppingToken))
            {
                await Task.Delay(Gathering, stoppingToken);
                await WriteAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // What is left is written by the stop.
        }
    }

    private static string Folder(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) + "/";

    // Tries until it is written or the wait for the next try is cancelled; what is not written waits for the next time.
    private async Task WriteAsync(CancellationToken cancellationToken)
    {
        while (unwritten.Length < Largest && entries.Reader.TryRead(out var entry))
            unwritten.Append(JsonSerializer.Serialize(entry, StainGridJson.Options)).Append('\n');
        for (int tries = 1; unwritten.Length > 0; tries++)
        {
            try
            {
                var now = DateTimeOffset.UtcNow;
                string key = Folder(DateOnly.FromDateTime(now.UtcDateTime)) + string.Create(CultureInfo.InvariantCulture, $"{now:HHmmss.fffffff}-{silo}.jsonl");
                await store.WriteAsync(key, Encoding.UTF8.GetBytes(unwritten.ToString()), CancellationToken.None);
                unwritten.Clear();
            }
            catch (Exception e)
            {
                LogFailure(logger, e);
                await Task.Delay(Gathering * Math.Min(tries, 30), cancellationToken);
            }
        }
    }

    [LoggerMessage(LogLevel.Error, "The audit log cannot be written; trying again.")]
    private static partial void LogFailure(ILogger logger, Exception exception);

    [LoggerMessage(LogLevel.Error, "The audit log is full and loses: {Caller} {Method} {Path} {Status}")]
    private static partial void LogLost(ILogger logger, string caller, string method, string path, int status);
}

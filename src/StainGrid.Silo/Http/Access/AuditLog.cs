using System.Globalization;
using System.Text;
using System.Text.Json;
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
    private const int LongestPath = 500, MostWaiting = 100_000;
    private static readonly TimeSpan Gathering = TimeSpan.FromSeconds(1);

    private readonly Channel<AuditEntry> entries = Channel.CreateBounded<AuditEntry>(new BoundedChannelOptions(MostWaiting) { SingleReader = true });

    /// <summary>Notes a request, once it is answered.</summary>
    public async Task NoteAsync(HttpContext context, Func<Task> answer)
    {
        bool counts = !HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method) && !HttpMethods.IsPatch(context.Request.Method);
        try
        {
            await answer();
        }
        finally
        {
            int status = context.Response.StatusCode;
            if (counts || status is StatusCodes.Status401Unauthorized or StatusCodes.Status403Forbidden || context.Request.Path.StartsWithSegments("/v1/audit"))
            {
                var caller = Caller.Find(context.User);
                string path = context.Request.Path.Value ?? "";
                await entries.Writer.WriteAsync(new AuditEntry(
                    DateTimeOffset.UtcNow, caller?.Id ?? "?", caller?.Name, caller?.Tenant, context.Connection.RemoteIpAddress?.ToString(),
                    context.Request.Method, path.Length > LongestPath ? path[..LongestPath] : path, status));
            }
        }
    }

    /// <summary>The entries of a day, as JSON lines, in the order of their time for each silo.</summary>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(DateOnly day, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (string key in store.ListAsync(Folder(day), cancellationToken))
        {
            if (await store.ReadBlobAsync(key, 256 << 20, cancellationToken) is { } blob)
                yield return blob.Data;
        }
    }

    /// <inheritdoc/>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        entries.Writer.TryComplete();
        await base.StopAsync(cancellationToken);
        await WriteAsync(CancellationToken.None);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await entries.Reader.WaitToReadAsync(stoppingToken))
        {
            await Task.Delay(Gathering, stoppingToken);
            await WriteAsync(stoppingToken);
        }
    }

    private static string Folder(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture) + "/";

    private async Task WriteAsync(CancellationToken cancellationToken)
    {
        var lines = new StringBuilder();
        while (lines.Length < 16 << 20 && entries.Reader.TryRead(out var entry))
            lines.Append(JsonSerializer.Serialize(entry, StainGridJson.Options)).Append('\n');
        if (lines.Length == 0)
            return;
        var now = DateTimeOffset.UtcNow;
        string key = Folder(DateOnly.FromDateTime(now.UtcDateTime)) + string.Create(CultureInfo.InvariantCulture, $"{now:HHmmss.fffffff}-{silo}.jsonl");
        for (int tries = 1; ; tries++)
        {
            try
            {
                await store.WriteAsync(key, Encoding.UTF8.GetBytes(lines.ToString()), cancellationToken);
                return;
            }
            catch (BlobStoreException e) when (tries < 5 && !cancellationToken.IsCancellationRequested)
            {
                LogFailure(logger, e);
                await Task.Delay(Gathering * tries, CancellationToken.None);
            }
        }
    }

    [LoggerMessage(LogLevel.Error, "The audit log cannot be written; trying again.")]
    private static partial void LogFailure(ILogger logger, Exception exception);
}

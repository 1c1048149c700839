using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>Deletes what the service keeps too long, some at a time. Nothing that it holds is durable: what it did not get to is due the next time.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Service, "true")]
public sealed partial class RetentionGrain(ServiceOptions options, TimeProvider time, IServiceProvider services, ILogger<RetentionGrain> logger) : Grain, IRetentionGrain
{
    // The most of each kind that are tried at once.
    private const int Most = 100;
    private const string ClockKey = "service/clock";
    private static readonly TimeSpan Interval = TimeSpan.FromHours(1);
    private static readonly TimeSpan MostOff = TimeSpan.FromHours(1);

    // What was tried since all that was due had been: what cannot be deleted must not keep out what can.
    private readonly HashSet<string> tried = [];

    // By no clock that is set. The start counts as a time: an operator who has just upgraded can still look at what would go.
    private long last = time.GetTimestamp();

    /// <inheritdoc/>
    public async Task TickAsync()
    {
        if (time.GetElapsedTime(last) >= Interval && !(await RunAsync(dryRun: false)).HasMore)
            last = time.GetTimestamp();
    }

    /// <inheritdoc/>
    public async Task<RetentionReport> RunAsync(bool dryRun)
    {
        var state = services.GetKeyedService<IBlobStore>(BlobGrainStorageExtensions.StateStore);
        string? refused = state is null ? null : await ClockAsync(state);
        if (refused is not null)
            LogRefused(logger, refused);
        if (refused is not null && !dryRun)
            return new RetentionReport { Refused = refused };
        var due = new RetentionDue(options, time.GetUtcNow());
        int failures = 0;
        var listed = GrainFactory.GetGrain<IPlateIndexGrain>(0).ListAsync();
        var plates = await FindAsync("plate", async () => due.Plates(await listed).ToAsyncEnumerable());
        var uploads = await FindAsync("upload", async () => due.Uploads(await listed).ToAsyncEnumerable());
        var days = await FindAsync("day", () => Task.FromResult(state is null ? AsyncEnumerable.Empty<string>() : due.AuditDaysAsync(state)));
        var report = new RetentionReport
        {
            Plates = [.. plates.Take(Most)],
            Uploads = [.. uploads.Take(Most)],
            AuditDays = [.. days.Take(Most)],
            HasMore = Math.Max(plates.Count, Math.Max(uploads.Count, days.Count)) > Most,
            Failures = failures,
            Refused = refused,
        };
        if (dryRun)
            return report;
        report = report with
        {
            Plates = await DeleteAsync("plate", report.Plates, DeletePlateAsync),
            Uploads = await DeleteAsync("upload", report.Uploads, upload => DeleteUploadAsync(upload, due.UploadsBefore!.Value)),
            AuditDays = await DeleteAsync("day", report.AuditDays, day => DeleteDayAsync(state!, day)),
        };
        if (!report.HasMore)
            tried.Clear();
        if (failures + report.Plates.Count + report.Uploads.Count + report.AuditDays.Count > 0)
            LogRun(logger, report.Plates.Count, report.Uploads.Count, report.AuditDays.Count, failures);
        return report with { Failures = failures };

        // What is due of a kind, and was not tried yet. One that cannot be listed keeps no other from going.
        async Task<List<string>> FindAsync(string kind, Func<Task<IAsyncEnumerable<string>>> find)
        {
            try
            {
                var found = await find();
                return await Task.Run(async () => await found.Where(name => dryRun || !tried.Contains($"{kind} {name}")).Take(Most + 1).ToListAsync());
            }
            catch (Exception e)
            {
                failures++;
                LogFailure(logger, e, $"what is due of kind '{kind}'");
                return [];
            }
        }

        async Task<IReadOnlyList<string>> DeleteAsync(string kind, IReadOnlyList<string> names, Func<string, Task<bool>> delete)
        {
            var gone = new List<string>();
            foreach (string name in names)
            {
                tried.Add($"{kind} {name}");
                try
                {
                    if (await delete(name))
                        gone.Add(name);
                }
                catch (Exception e)
                {
                    // The others go on; this one is due again.
                    failures++;
                    LogFailure(logger, e, $"{kind} {name}");
                }
            }

            return gone;
        }
    }

    // By a clock that is a month ahead everything is old. The store's is another, where it is no disk of this machine's.
    private async Task<string?> ClockAsync(IBlobStore state)
    {
        try
        {
            await state.WriteAsync(ClockKey, "When retention last asked for the time."u8.ToArray());
            return await state.ModifiedAsync(ClockKey) is { } theirs && time.GetUtcNow() - theirs is var off && off.Duration() > MostOff
                ? string.Create(CultureInfo.InvariantCulture, $"this silo's clock is {off.TotalHours:+0.0;-0.0} h from that of {state.Name}. Let both follow one time server (chrony, systemd-timesyncd).")
                : null;
        }
        catch (BlobStoreException e)
        {
            return $"the store's time cannot be had: {e.Message}";
        }
    }

    // A plate of the service's goes with its result; of one that was submitted past it, only the record is ours.
    private async Task<bool> DeletePlateAsync(string key)
    {
        string[] parts = key.Split('~');
        await (parts.Length == 2 && ServiceId.IsTenant(parts[0]) && ServiceId.IsValid(parts[1])
            ? GrainFactory.GetGrain<IServiceGrain>(parts[0]).DeleteAsync(parts[1])
            : GrainFactory.GetGrain<IPlateGrain>(key).DeleteAsync(new PlateDeletion()));
        return true;
    }

    // It may have been used since it was listed: its tenant's grain, where plates are submitted, asks again.
    private Task<bool> DeleteUploadAsync(string upload, DateTimeOffset since)
    {
        string[] parts = upload.Split('/');
        return GrainFactory.GetGrain<IServiceGrain>(parts[0]).ExpireUploadAsync(parts[1], since);
    }

    private static async Task<bool> DeleteDayAsync(IBlobStore state, string day)
    {
        await state.Within($"{RetentionOptions.AuditFolder}/{day}").DeleteAllAsync();
        Telemetry.Deleted("log");
        return true;
    }

    [LoggerMessage(LogLevel.Information, "Retention: {Plates} plates, {Uploads} uploads and {Days} days of the audit log were older than they are kept and go; {Failures} could not be listed or deleted.")]
    private static partial void LogRun(ILogger logger, int plates, int uploads, int days, int failures);

    [LoggerMessage(LogLevel.Warning, "Retention: {What} cannot be listed or deleted now; it is tried again.")]
    private static partial void LogFailure(ILogger logger, Exception exception, string what);

    [LoggerMessage(LogLevel.Warning, "Retention deletes nothing: {Why}")]
    private static partial void LogRefused(ILogger logger, string why);
}

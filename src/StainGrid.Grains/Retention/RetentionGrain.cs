using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>Deletes what the service keeps too long, some at a time. It holds nothing: what it did not get to is due the next time.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Service, "true")]
public sealed partial class RetentionGrain(ServiceOptions options, TimeProvider time, IServiceProvider services, ILogger<RetentionGrain> logger) : Grain, IRetentionGrain
{
    private static readonly TimeSpan Interval = TimeSpan.FromHours(1);

    private DateTimeOffset next;

    /// <inheritdoc/>
    public async Task TickAsync()
    {
        if (time.GetUtcNow() >= next && !(await RunAsync(dryRun: false)).HasMore)
            next = time.GetUtcNow() + Interval;
    }

    /// <inheritdoc/>
    public async Task<RetentionReport> RunAsync(bool dryRun)
    {
        var due = new RetentionDue(options, time.GetUtcNow());
        var state = services.GetKeyedService<IBlobStore>(BlobGrainStorageExtensions.StateStore);
        var listed = await GrainFactory.GetGrain<IPlateIndexGrain>(0).ListAsync();
        string[] plates = [.. due.Plates(listed).Take(RetentionDue.Most + 1)];
        var uploads = await Task.Run(() => due.Uploads(listed).Take(RetentionDue.Most + 1).ToArray());
        var days = state is null ? [] : await Task.Run(() => due.AuditDaysAsync(state));
        var report = new RetentionReport
        {
            Plates = Some(plates),
            Uploads = [.. Some(uploads).Select(upload => $"{upload.Tenant}/{upload.Id}")],
            AuditDays = Some(days),
            HasMore = Math.Max(plates.Length, Math.Max(uploads.Length, days.Count)) > RetentionDue.Most,
        };
        if (dryRun)
            return report;
        int failures = 0;
        foreach (string plate in report.Plates)
            await TryAsync(plate, () => DeletePlateAsync(plate));
        foreach (var (tenant, id) in Some(uploads))
            await TryAsync($"upload:{id}", () => Task.Run(() => DeleteUpload(tenant, id)));
        foreach (string day in report.AuditDays)
        {
            await TryAsync(day, async () =>
            {
                await state!.Within($"{RetentionOptions.AuditFolder}/{day}").DeleteAllAsync();
                Telemetry.Deleted("log");
            });
        }

        if (report.Plates.Count + report.Uploads.Count + report.AuditDays.Count > 0)
            LogRun(logger, report.Plates.Count, report.Uploads.Count, report.AuditDays.Count, failures);
        return report with { Failures = failures };

        async Task TryAsync(string what, Func<Task> delete)
        {
            try
            {
                await delete();
            }
            catch (Exception e)
            {
                // The others go on; this one is due again.
                failures++;
                LogFailure(logger, e, what);
            }
        }
    }

    private static IReadOnlyList<T> Some<T>(IReadOnlyList<T> all) => [.. all.Take(RetentionDue.Most)];

    // A plate of the service's goes with its result; of one that was submitted past it, only the record is ours.
    private Task DeletePlateAsync(string key)
    {
        string[] parts = key.Split('~');
        return parts.Length == 2 && ServiceId.IsTenant(parts[0]) && ServiceId.IsValid(parts[1])
            ? GrainFactory.GetGrain<IServiceGrain>(parts[0]).DeleteAsync(parts[1])
            : GrainFactory.GetGrain<IPlateGrain>(key).DeleteAsync(new PlateDeletion());
    }

    private void DeleteUpload(string tenant, string id)
    {
        if (UploadFolders.Delete(options.Uploads!, tenant, id))
            Telemetry.Deleted("upload");
    }

    [LoggerMessage(LogLevel.Information, "Retention: {Plates} plates, {Uploads} uploads and {Days} days of the audit log were older than they are kept; {Failures} of them could not be deleted.")]
    private static partial void LogRun(ILogger logger, int plates, int uploads, int days, int failures);

    [LoggerMessage(LogLevel.Warning, "Retention: {What} cannot be deleted now; it is tried again.")]
    private static partial void LogFailure(ILogger logger, Exception exception, string what);
}

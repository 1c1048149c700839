using System.Globalization;
using System.Runtime.CompilerServices;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>Says what is older than the service keeps it.</summary>
/// <param name="options">The service's.</param>
/// <param name="now">The time.</param>
internal sealed class RetentionDue(ServiceOptions options, DateTimeOffset now)
{
    private const string DayFormat = "yyyy-MM-dd";

    /// <summary>The plates that ended too long ago, the oldest first.</summary>
    public IEnumerable<string> Plates(IEnumerable<PlateSummary> plates) => options.Retention.Results is not { } age ? [] : plates
        .Where(plate => plate.State is not (PlateState.New or PlateState.Running) && End(plate) < now - age).OrderBy(End).Select(plate => plate.PlateId);

    /// <summary>Uploads that were used last before this are kept too long; null where none are.</summary>
    public DateTimeOffset? UploadsBefore => now - options.Retention.Uploads;

    /// <summary>When a plate needed its input last; the end of time while it runs.</summary>
    public static DateTimeOffset LastUse(PlateSummary plate) => plate.State == PlateState.Running ? DateTimeOffset.MaxValue : End(plate);

    /// <summary>The uploads that nobody has used for too long, as TENANT/ID. What was begun counts as it is; what a running plate reads stays.</summary>
    public IEnumerable<string> Uploads(IReadOnlyList<PlateSummary> plates)
    {
        if (UploadsBefore is not { } before || options.Uploads is not { } root)
            return [];
        var used = new Dictionary<(string, string), DateTimeOffset>();
        foreach (var plate in plates)
        {
            if (UploadFolders.IdOf(plate.Source) is not { } id)
                continue;
            var key = (plate.PlateId.Split('~')[0], id);
            var last = LastUse(plate);
            if (!used.TryGetValue(key, out var known) || known < last)
                used[key] = last;
        }

        return UploadFolders.List(root)
            .Where(upload => upload.Written < before && used.GetValueOrDefault((upload.Tenant, upload.Id)) < before)
            .Select(upload => $"{upload.Tenant}/{upload.Id}");
    }

    /// <summary>The days of the audit log that are too long ago, the oldest first.</summary>
    /// <param name="state">The store of the service's state.</param>
    /// <param name="cancellationToken">Stops the listing.</param>
    public async IAsyncEnumerable<string> AuditDaysAsync(IBlobStore state, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        if (options.Retention.Audit is not { } age)
            yield break;
        string last = "", first = DateOnly.FromDateTime((now - age).UtcDateTime).ToString(DayFormat, CultureInfo.InvariantCulture);   // that day's last entries are not old enough
        await foreach (string key in state.Within(RetentionOptions.AuditFolder).ListAsync("", cancellationToken))
        {
            string day = key.Split('/')[0];
            if (string.CompareOrdinal(day, first) >= 0)
                yield break;
            if (day != last && DateOnly.TryParseExact(day, DayFormat, out _))
                yield return day;
            last = day;
        }
    }

    private static DateTimeOffset End(PlateSummary plate) => plate.Ended ?? plate.Submitted;
}

using System.Globalization;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>Says what is older than the service keeps it.</summary>
/// <param name="options">The service's.</param>
/// <param name="now">The time.</param>
internal sealed class RetentionDue(ServiceOptions options, DateTimeOffset now)
{
    /// <summary>The most of each kind that go at once.</summary>
    public const int Most = 100;

    private const string DayFormat = "yyyy-MM-dd";

    /// <summary>The plates that ended too long ago, the oldest first.</summary>
    public IEnumerable<string> Plates(IEnumerable<PlateSummary> plates) => options.Retention.Results is not { } age ? [] : plates
        .Where(plate => plate.State is not (PlateState.New or PlateState.Running) && End(plate) < now - age).OrderBy(End).Select(plate => plate.PlateId);

    /// <summary>The uploads that nobody has used for too long. What was begun counts as it is; what a running plate reads stays.</summary>
    public IEnumerable<(string Tenant, string Id)> Uploads(IReadOnlyList<PlateSummary> plates)
    {
        if (options.Retention.Uploads is not { } age || options.Uploads is not { } root)
            return [];
        var used = new Dictionary<(string, string), DateTimeOffset>();
        foreach (var plate in plates)
        {
            if (UploadFolders.IdOf(plate.Source) is not { } id)
                continue;
            var key = (plate.PlateId.Split('~')[0], id);
            var last = plate.State == PlateState.Running ? DateTimeOffset.MaxValue : End(plate);
            if (!used.TryGetValue(key, out var known) || known < last)
                used[key] = last;
        }

        return UploadFolders.List(root)
            .Where(upload => upload.Written < now - age && used.GetValueOrDefault((upload.Tenant, upload.Id)) < now - age)
            .Select(upload => (upload.Tenant, upload.Id));
    }

    /// <summary>The days of the audit log that are too long ago, the oldest first.</summary>
    /// <param name="state">The store of the service's state.</param>
    /// <param name="cancellationToken">Stops the listing.</param>
    public async Task<IReadOnlyList<string>> AuditDaysAsync(IBlobStore state, CancellationToken cancellationToken = default)
    {
        var days = new List<string>();
        if (options.Retention.Audit is not { } age)
            return days;
        string first = DateOnly.FromDateTime((now - age).UtcDateTime).ToString(DayFormat, CultureInfo.InvariantCulture);   // that day's last entries are not old enough
        await foreach (string key in state.Within(RetentionOptions.AuditFolder).ListAsync("", cancellationToken))
        {
            string day = key.Split('/')[0];
            if (string.CompareOrdinal(day, first) >= 0 || days.Count > Most)
                break;
            if (DateOnly.TryParseExact(day, DayFormat, out _) && (days.Count == 0 || days[^1] != day))
                days.Add(day);
        }

        return days;
    }

    private static DateTimeOffset End(PlateSummary plate) => plate.Ended ?? plate.Submitted;
}

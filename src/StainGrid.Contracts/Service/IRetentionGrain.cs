using Orleans.Concurrency;

namespace StainGrid.Contracts;

/// <summary>Deletes what the service keeps longer than its operator wants. There is one, of key 0.</summary>
[Alias("staingrid.retention")]
public interface IRetentionGrain : IGrainWithIntegerKey
{
    /// <summary>From silos, now and then: deletes what is due, if the last time, or the grain's start, is long enough ago.</summary>
    [Alias("tick"), OneWay]
    Task TickAsync();

    /// <summary>Deletes what is due now.</summary>
    /// <param name="dryRun">Only tells it.</param>
    [Alias("run"), ResponseTimeout("00:10:00")]
    Task<RetentionReport> RunAsync(bool dryRun);
}

/// <summary>What is due to be deleted, or was deleted.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.retention-report")]
public sealed record RetentionReport
{
    /// <summary>Plates, by their ids in the cluster.</summary>
    [Id(0)] public IReadOnlyList<string> Plates { get; init; } = [];

    /// <summary>Uploads, as "TENANT/ID".</summary>
    [Id(1)] public IReadOnlyList<string> Uploads { get; init; } = [];

    /// <summary>Days of the audit log, as "2026-11-26".</summary>
    [Id(2)] public IReadOnlyList<string> AuditDays { get; init; } = [];

    /// <summary>How many could not be deleted, and will be tried again; the silo's log says why.</summary>
    [Id(3)] public int Failures { get; init; }

    /// <summary>Whether more is due than is deleted at once.</summary>
    [Id(4)] public bool HasMore { get; init; }

    /// <summary>Why nothing is deleted, and what to do; null where it is.</summary>
    [Id(5)] public string? Refused { get; init; }
}

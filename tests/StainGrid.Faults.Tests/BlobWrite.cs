namespace StainGrid.Faults.Tests;

/// <summary>A write or a delete that the proxy saw.</summary>
internal sealed record BlobWrite
{
    public string Container { get; init; } = "";

    public required string Key { get; init; }

    public bool Delete { get; init; }

    /// <summary>"block", "blocklist", "metadata" ..; empty for a blob written at once.</summary>
    public string Part { get; init; } = "";

    public DateTimeOffset Time { get; init; }

    /// <summary>When the request had come, and when the service had done it, on the proxy's counter, which only grows.</summary>
    public long Started { get; init; }

    /// <inheritdoc cref="Started"/>
    public long Done { get; init; }

    /// <summary>The service's answer; null where it gave none or never saw the request whole.</summary>
    public int? Status { get; init; }

    public string? IfMatch { get; init; }

    public string? IfNoneMatch { get; init; }

    /// <summary>The version that the write made.</summary>
    public string? ETag { get; init; }

    /// <summary>The same for all attempts that the Azure SDK makes of one call.</summary>
    public string RequestId { get; init; } = "";

    public string Sha256 { get; init; } = "";

    /// <summary>The body of a write of commits.</summary>
    public string? Commit { get; init; }

    /// <summary>What the proxy did to it.</summary>
    public BlobFault? Fault { get; init; }

    /// <summary>Whether the client got the service's (or the fault's) answer.</summary>
    public bool Answered { get; init; }

    public bool Accepted => Status is >= 200 and < 300;
}

using System.Diagnostics.Metrics;
using Azure;

namespace StainGrid.Imaging;

/// <summary>Counts what goes to and comes from blob stores, by OpenTelemetry's conventions (docs/telemetry.md).</summary>
public static class BlobMeter
{
    /// <summary>The meter's name.</summary>
    public const string Name = "StainGrid.Imaging";

    internal const string Folder = "folder";
    internal const string AzureBlob = "azure";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Bytes = Meter.CreateCounter<long>("staingrid.blob.io", "By", "Bytes of blobs that were read or written.");
    private static readonly Counter<long> Failures = Meter.CreateCounter<long>("staingrid.blob.failures", "{request}", "Requests that the store failed, after its retries.");

    internal static void Read(string store, long bytes) => Bytes.Add(bytes, new("staingrid.direction", "read"), new("staingrid.store", store));

    internal static void Write(string store, long bytes) => Bytes.Add(bytes, new("staingrid.direction", "write"), new("staingrid.store", store));

    internal static void Failed(string store, Exception exception) => Failures.Add(1, new("staingrid.store", store), new("error.type", Kind(exception)));

    // What the store says, where it says something: authentication, throttling and outages are one type of exception.
    private static string? Kind(Exception exception) => exception is RequestFailedException { ErrorCode: { Length: > 0 } code } ? code : exception.GetBaseException().GetType().FullName;
}

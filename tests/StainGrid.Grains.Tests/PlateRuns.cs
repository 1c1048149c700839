using StainGrid.Client;
using StainGrid.Contracts;

namespace StainGrid.Grains.Tests;

/// <summary>Plates to their ends.</summary>
internal static class PlateRuns
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    internal static async Task<PlateStatus> RunAsync(GrainClient client, string plate, PlateRequest request)
    {
        await client.SubmitPlateAsync(plate, request, Stop);
        return await WatchAsync(client, plate);
    }

    internal static async Task<PlateStatus> WatchAsync(GrainClient client, string plate)
    {
        PlateStatus? last = null;
        await foreach (var status in client.WatchPlateAsync(plate, Stop))
            last = status;
        return last!;
    }
}

using System.Diagnostics;
using Microsoft.Extensions.Logging;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo;

namespace StainGrid.Cli;

/// <summary>An embedded silo and what is stained on it.</summary>
internal sealed class StainSession : IAsyncDisposable
{
    private readonly EmbeddedSilo silo;
    private readonly GrainClient client;

    private StainSession(EmbeddedSilo silo)
    {
        this.silo = silo;
        client = new GrainClient(silo.Grains);
    }

    public BlobFiles Inputs => silo.Inputs;

    /// <exception cref="ArgumentException">The device is not here.</exception>
    public static async Task<StainSession> StartAsync(DeviceOptions devices, bool verbose) => new(await EmbeddedSilo.StartAsync(
        devices, verbose ? LogLevel.Information : LogLevel.None));

    /// <summary>Stains one slide, showing its progress. Cancelling cancels the slide and waits until it has ended.</summary>
    public async Task<StainResult> StainAsync(SlideRequest request, string name, bool showProgress, CancellationToken cancellationToken)
    {
        var clock = Stopwatch.StartNew();
        string slide = await client.SubmitAsync(request);
        await using var cancel = cancellationToken.Register(() => client.CancelAsync(slide).Ignore());
        SlideStatus? last = null;
        using (var progress = showProgress ? new ProgressDisplay(name) : null)
        {
            await foreach (var status in client.WatchAsync(slide, CancellationToken.None))
            {
                progress?.Show(status);
                last = status;
            }
        }

        return new StainResult(name, request, last!, clock.Elapsed);
    }

    public ValueTask DisposeAsync() => silo.DisposeAsync();
}

/// <summary>How one slide ended.</summary>
internal sealed record StainResult(string Name, SlideRequest Request, SlideStatus Status, TimeSpan Elapsed);

using Microsoft.Extensions.DependencyInjection;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Silo;
using StainGrid.TestSupport;

namespace StainGrid.Grains.Tests;

/// <summary>A real embedded silo, small random models and random slides, shared by the tests of a class.</summary>
public sealed class Slides : IAsyncLifetime
{
    private readonly TemporaryFolder folder = new();
    private EmbeddedSilo? silo;

    internal GrainClient Client { get; private set; } = null!;

    internal IGrainFactory Grains => silo!.Grains;

    internal BlobFiles Blobs => silo!.Inputs;

    /// <summary>Holds blocks back.</summary>
    internal HeldDevice.Gate Blocks { get; } = new();

    internal string Model { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), configure: host => host.Services.AddSingleton<Func<string, IDeviceExecutor>>(
            services => name => new HeldDevice(new DeviceExecutor(name, services.GetRequiredService<BlobFiles>()), Blocks)));
        Client = new GrainClient(silo.Grains);
        Model = File("small.safetensors");
        using var model = StainModel.Create(
            new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution },
            [new("FIRST", 13_000, 65_535, "FF0000"), new("SECOND", 0, 40_000, "00FF00")],
            seed: 3);
        model.Save(Model);
    }

    public async ValueTask DisposeAsync()
    {
        await silo!.DisposeAsync();
        folder.Dispose();
    }

    internal string File(string name) => folder.File(name);

    internal string[] RandomSlide(int width, int height, int planes = 1)
    {
        var random = new Random(width * 31 + height);
        return [.. Enumerable.Range(0, planes).Select(plane =>
        {
            string path = File($"{Guid.NewGuid():n}-{plane}.png");
            var pixels = new ushort[width * height];
            for (int i = 0; i < pixels.Length; i++)
                pixels[i] = (ushort)(20_000 + 10_000 * Math.Sin(i % width * 0.11 + plane) * Math.Cos(i / width * 0.07) + random.Next(2000));
            PngWriter.WriteGrey16(path, pixels, width, height);
            return path;
        })];
    }

    // Two tiles at once, so that the fixed batch shape and its filling up are seen too.
    internal SlideRequest Request(string[] files) => new() { Files = files, Settings = new() { Model = Model, BatchSize = 2 }, Output = File($"{Guid.NewGuid():n}.ome.zarr") };

    /// <summary>Runs a slide to its end.</summary>
    internal async Task<SlideStatus> RunAsync(SlideRequest request)
    {
        string slide = await Client.SubmitAsync(request);
        SlideStatus? last = null;
        await foreach (var status in Client.WatchAsync(slide, TestContext.Current.CancellationToken))
            last = status;
        return last!;
    }
}

/// <summary>Requests with other settings.</summary>
internal static class Requests
{
    internal static SlideRequest Set(this SlideRequest request, Func<StainSettings, StainSettings> change) => request with { Settings = change(request.Settings) };

    internal static PlateRequest Set(this PlateRequest request, Func<StainSettings, StainSettings> change) => request with { Settings = change(request.Settings) };
}

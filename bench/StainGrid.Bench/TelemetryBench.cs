using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Silo;

namespace StainGrid.Bench;

/// <summary>What full telemetry costs: plates with a small network, whose tiles take about what a GPU takes for those of the large one, in silos without
/// telemetry and in silos with a Prometheus that scrapes and a collector that takes every span and log, in turns. Every run is a process of its own, and so is the collector.</summary>
internal static class TelemetryBench
{
    private const string OneRun = "--telemetry-run", Sink = "--telemetry-sink";
    private const int Side = 1024, WarmWells = 10, Wells = 20;

    /// <summary>Runs the turns and prints them. With the words of one run, that run, printed as JSON; with those of the collector, that, until its input ends.</summary>
    public static async Task RunAsync(string[] args, int rounds)
    {
        if (Array.IndexOf(args, Sink) is >= 0 and var sink)
        {
            await CollectAsync(args[sink + 1]);
            return;
        }

        if (Array.IndexOf(args, OneRun) is >= 0 and var at)
        {
            ChildProcess.Print(await MeasureAsync(args[at + 1] == "1"));
            return;
        }

        List<TelemetryRun> without = [], with = [];
        for (int round = 0; round < rounds; round++)
        {
            bool first = round % 2 == 0;
            (first ? without : with).Add(await ChildProcess.RunAsync<TelemetryRun>("--telemetry " + OneRun, first ? 0 : 1));
            (first ? with : without).Add(await ChildProcess.RunAsync<TelemetryRun>("--telemetry " + OneRun, first ? 1 : 0));
            Console.WriteLine(Line($"round {round + 1}: processor time a tile {without[^1].CpuMsPerTile:F3} ms without, {with[^1].CpuMsPerTile:F3} with; wall {without[^1].WallMsPerTile:F3}, {with[^1].WallMsPerTile:F3} (others took {without[^1].OtherCores:F2}, {with[^1].OtherCores:F2} cores); {with[^1].Requests} requests to the collector"));
        }

        double[] ratios = [.. without.Zip(with, (a, b) => b.CpuMsPerTile / a.CpuMsPerTile).Order()];
        Console.WriteLine(Line($"full telemetry over none, processor time a tile: {Median(ratios):F4} (median of {rounds} pairs, {ratios[0]:F3} to {ratios[^1]:F3}); of the medians {Median(with.Select(run => run.CpuMsPerTile)) / Median(without.Select(run => run.CpuMsPerTile)):F4}; asked is below 1.02"));
    }

    private static async Task<TelemetryRun> MeasureAsync(bool full)
    {
        string folder = Directory.CreateTempSubdirectory("staingrid-bench-").FullName;
        using var collector = full ? ChildProcess.Start("--telemetry", Sink, Path.Combine(folder, "collector")) : null;
        try
        {
            string? url = null;
            for (int i = 0; full && (url = File.Exists(Path.Combine(folder, "collector")) ? await File.ReadAllTextAsync(Path.Combine(folder, "collector")) : "").Length == 0; i++)
                await Task.Delay(i < 200 ? 100 : throw new InvalidOperationException("The collector did not start."));
            Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
            string model = Path.Combine(folder, "small.safetensors");
            using (var created = StainModel.Create(
                new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("DAPI_CONFOCAL", 0, 65_535, "0000FF"), new("MAP2_CONFOCAL", 0, 65_535, "00FF00")], 1))
            {
                created.Save(model);
            }

            var random = new Random(1);
            ushort[] pixels = [.. Enumerable.Range(0, Side * Side).Select(i => (ushort)(30_000 + i % Side % 500 * 20 + random.Next(3000)))];
            foreach (var (name, wells) in ((string, int)[])[("warm", WarmWells), ("plate", Wells)])
            {
                string plate = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
                for (int well = 1; well <= wells; well++)
                    PngWriter.WriteGrey16(Path.Combine(plate, Line($"r02c{well:D2}f01p01-ch1sk1fk1fl1.tiff")), pixels, Side, Side);
            }

            await using var silo = await EmbeddedSilo.StartAsync(
                new DeviceOptions(), LogLevel.Warning, BlobStores.Open(Path.Combine(folder, "state")), telemetry: full ? new TelemetryOptions { Monitoring = "127.0.0.1:0", Otlp = url } : null);
            using var stop = new CancellationTokenSource();
            var scraping = full ? Task.Run(() => ScrapeAsync(silo.MonitoringUrl!, stop.Token)) : Task.CompletedTask;
            await StainAsync(silo, Path.Combine(folder, "warm"), model);
            var meter = new Meter();
            long tiles = await StainAsync(silo, Path.Combine(folder, "plate"), model);
            var run = new TelemetryRun(tiles, meter.CpuSeconds, meter.Seconds, meter.OtherCores, 0);
            await stop.CancelAsync();
            await scraping;
            return url is null ? run : run with { Requests = int.Parse(await new HttpClient().GetStringAsync(new Uri(url + "/count")), CultureInfo.InvariantCulture) };
        }
        finally
        {
            collector?.Kill();
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task ScrapeAsync(string url, CancellationToken stop)
    {
        using var http = new HttpClient();
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(5));   // thrice as often as usual
        try
        {
            while (await timer.WaitForNextTickAsync(stop))
                await http.GetStringAsync(new Uri(url + "/metrics"), stop);
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }
    }

    private static async Task<long> StainAsync(EmbeddedSilo silo, string source, string model)
    {
        var plate = silo.Grains.GetGrain<IPlateGrain>(Path.GetFileName(source));
        await plate.SubmitAsync(new PlateRequest { Source = source, Settings = new StainSettings { Model = model }, Output = source + ".out" });
        PlateStatus status;
        while ((status = await plate.GetStatusAsync()).State == PlateState.Running)
            await Task.Delay(50);
        return status.State == PlateState.Complete ? status.TilesDone : throw new InvalidOperationException($"{status.State}: {status.Error}");
    }

    private static async Task CollectAsync(string file)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        int count = 0;
        app.MapGet("/count", () => $"{count}");
        app.MapPost("/v1/{signal}", async (HttpRequest request) =>
        {
            await request.Body.CopyToAsync(Stream.Null);
            Interlocked.Increment(ref count);
            return Results.Bytes(Array.Empty<byte>(), "application/x-protobuf");
        });
        await app.StartAsync();
        await File.WriteAllTextAsync(file + ".tmp", app.Urls.First());
        File.Move(file + ".tmp", file);
        await Task.Delay(Timeout.Infinite);
    }

    private static double Median(IEnumerable<double> values) => values.Order().ElementAt(values.Count() / 2);

    private static string Line(FormattableString text) => FormattableString.Invariant(text);

    private sealed record TelemetryRun(long Tiles, double CpuSeconds, double WallSeconds, double OtherCores, int Requests)
    {
        public double CpuMsPerTile => CpuSeconds * 1000 / Tiles;

        public double WallMsPerTile => WallSeconds * 1000 / Tiles;
    }
}

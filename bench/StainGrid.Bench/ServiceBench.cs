using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Silo;
using StainGrid.Silo.Http;

namespace StainGrid.Bench;

/// <summary>The HTTP service under load: many who watch, many plates a second, and how long a question takes meanwhile. Callers and service share this process and its cores;
/// plates are of one field of one tile, and the network costs little, so that it is the service that works.</summary>
internal static class ServiceBench
{
    private const int Side = 128;

    /// <summary>Runs it and prints the figures.</summary>
    public static async Task RunAsync(int watchers, int perSecond, int seconds)
    {
        string folder = Directory.CreateTempSubdirectory("staingrid-bench-").FullName;
        try
        {
            using (var model = StainModel.Create(
                new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("DAPI_CONFOCAL", 0, 65_535, "0000FF")], 1))
            {
                model.Save(Path.Combine(folder, "small.safetensors"));
            }

            string images = Directory.CreateDirectory(Path.Combine(folder, "share", "plate")).FullName;
            var random = new Random(1);
            PngWriter.WriteGrey16(Path.Combine(images, "r02c02f01p01-ch1sk1fk1fl1.tiff"), [.. Enumerable.Range(0, Side * Side).Select(_ => (ushort)random.Next(20_000, 40_000))], Side, Side);
            await using var silo = await EmbeddedSilo.StartAsync(new DeviceOptions { Threads = 1 }, state: BlobStores.Open(Path.Combine(folder, "state")), http: new HttpOptions
            {
                Listen = "127.0.0.1:0",
                RequestsPerSecond = 100_000,
                ConcurrentRequests = 100_000,
                Service = new ServiceOptions
                {
                    Results = Path.Combine(folder, "results"),
                    Models = [new("small", Path.Combine(folder, "small.safetensors"))],
                    Shares = new Dictionary<string, string> { ["all"] = Path.Combine(folder, "share") },
                    MostRunning = 1_000_000,
                },
            });
            using var client = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 10_000 }) { BaseAddress = new Uri(silo.Url!), Timeout = TimeSpan.FromMinutes(2) };
            await MeasureAsync(client, 1, 5, 3);   // warm
            await MeasureAsync(client, watchers, perSecond, seconds);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task MeasureAsync(HttpClient client, int watchers, int perSecond, int seconds)
    {
        var plates = new ConcurrentQueue<string>();
        var (submissions, questions, failures) = (new ConcurrentBag<double>(), new ConcurrentBag<double>(), new ConcurrentBag<string>());
        using var end = new CancellationTokenSource();
        long events = 0, ended = 0;
        plates.Enqueue(await SubmitAsync());
        var watching = Enumerable.Range(0, watchers).Select(i => Task.Run(async () =>
        {
            var mine = new Random(i);
            while (!end.IsCancellationRequested)
            {
                string[] known = [.. plates];
                try
                {
                    using var response = await client.GetAsync($"/v1/plates/{known[^mine.Next(1, Math.Min(known.Length, 20) + 1)]}/events", HttpCompletionOption.ResponseHeadersRead, end.Token);
                    response.EnsureSuccessStatusCode();
                    using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(end.Token));
                    bool final = false;
                    while (await reader.ReadLineAsync(end.Token) is { } line)
                    {
                        if (line.StartsWith("data: ", StringComparison.Ordinal))
                        {
                            Interlocked.Increment(ref events);
                            final = line.Contains("\"is_final\":true", StringComparison.Ordinal);
                        }
                    }

                    if (!final)
                        failures.Add("a watch ended before its plate");
                    Interlocked.Increment(ref ended);
                }
                catch (Exception e) when (!end.IsCancellationRequested)
                {
                    failures.Add(e.Message);
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
        })).ToArray();
        var asking = Task.Run(async () =>
        {
            var mine = new Random(7);
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
            while (await timer.WaitForNextTickAsync())
            {
                if (end.IsCancellationRequested)
                    return;
                string[] known = [.. plates];
                _ = TimedAsync(questions, async () => (await client.GetAsync($"/v1/plates/{known[mine.Next(known.Length)]}", CancellationToken.None)).EnsureSuccessStatusCode());
            }
        });
        var clock = Stopwatch.StartNew();
        var sent = new List<Task>();
        for (int i = 0; i < perSecond * seconds; i++)
        {
            var wait = TimeSpan.FromSeconds((double)i / perSecond) - clock.Elapsed;
            if (wait > TimeSpan.Zero)
                await Task.Delay(wait);
            sent.Add(TimedAsync(submissions, async () => plates.Enqueue(await SubmitAsync())));
        }

        await Task.WhenAll(sent);
        double took = clock.Elapsed.TotalSeconds;
        await end.CancelAsync();
        await asking;
        await Task.WhenAll(watching);
        int complete = 0;
        foreach (string plate in plates)
        {
            string text = await client.GetStringAsync(new Uri($"/v1/plates/{plate}/events", UriKind.Relative));
            complete += text.Contains("\"state\":\"complete\"", StringComparison.Ordinal) ? 1 : 0;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{watchers} watchers, {sent.Count} submissions in {took:F1} s ({sent.Count / took:F1}/s), {events} events, {ended} plates watched to their end, {complete} of {plates.Count} plates complete after {clock.Elapsed.TotalSeconds:F1} s; {failures.Count} failures {failures.FirstOrDefault()}"));
        Console.WriteLine($"  a status:     {Spread(questions)}");
        Console.WriteLine($"  a submission: {Spread(submissions)}");

        async Task<string> SubmitAsync()
        {
            using var body = new StringContent("{\"source\":\"share:all/plate\"}", Encoding.UTF8, "application/json");
            using var response = await client.PostAsync(new Uri("/v1/plates", UriKind.Relative), body);
            response.EnsureSuccessStatusCode();
            return (string)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["plate_id"]!;
        }

        async Task TimedAsync(ConcurrentBag<double> times, Func<Task> act)
        {
            long before = Stopwatch.GetTimestamp();
            try
            {
                await act();
                times.Add(Stopwatch.GetElapsedTime(before).TotalMilliseconds);
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
            {
                failures.Add(e.Message);
            }
        }
    }

    private static string Spread(ConcurrentBag<double> times)
    {
        double[] sorted = [.. times.Order()];
        return sorted.Length == 0 ? "none" : string.Create(CultureInfo.InvariantCulture,
            $"{sorted.Length}, median {sorted[sorted.Length / 2]:F0} ms, p99 {sorted[(int)(sorted.Length * 0.99)]:F0} ms, longest {sorted[^1]:F0} ms");
    }
}

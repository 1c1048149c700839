using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Bench;

/// <summary>Whole plates through all grains with stand-in devices: what a block costs the cluster, and how much memory a plate takes.</summary>
internal sealed class ClusterBench : IDisposable
{
    private const int FieldsPerWell = 9;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(4);

    private readonly ClusterBenchOptions options;
    private readonly string folder = Directory.CreateTempSubdirectory("staingrid-bench-").FullName;
    private readonly string model;
    private int plates;

    private ClusterBench(ClusterBenchOptions options)
    {
        this.options = options;
        model = Path.Combine(folder, "model.safetensors");
        using (var created = StainModel.Create(
            options.FullModel ? new NetworkOptions() : new NetworkOptions { StemChannels = 2, Growth = 2, Resampling = Resampling.Convolution },
            FluorescenceLabels.All.Take(options.Labels).ToArray(), 1))
        {
            created.Save(model);
        }

        var random = new Random(1);
        for (int image = 0; image < options.Images; image++)
        {
            PngWriter.WriteGrey16(Path.Combine(folder, $"{image}.png"),
                [.. Enumerable.Range(0, options.Side * options.Side).Select(_ => (ushort)random.Next(20_000, 40_000))], options.Side, options.Side);
        }
    }

    /// <summary>Prints the table.</summary>
    public static async Task RunAsync(ClusterBenchOptions options)
    {
        using var bench = new ClusterBench(options);
        Console.WriteLine(Line($"fields of {options.Side}x{options.Side}, {options.Labels} labels, stride {options.Stride}, blocks of {options.Block}x{options.Block} tiles, ")
            + Line($"{FieldsPerWell} fields a well of {options.Images} image files, {Environment.ProcessorCount} cores, ")
            + (options.Whole ? "whole plates" : Line($"{options.Seconds} s of each plate after {WarmUp.TotalSeconds} s")));
        await bench.MeasureAsync(16, 96, 50, print: false);   // compiles
        Console.WriteLine("devices  wells  latency   blocks  blocks/s  of devices/latency  CPU ms/block  cores  others'  submit s  peak MB  RSS MB  live MB  KB/field");
        foreach (int latency in options.Latencies)
        {
            foreach (int devices in options.Devices)
            {
                foreach (int wells in options.Wells)
                    await bench.MeasureAsync(devices, wells, latency, print: true);
            }
        }
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private async Task MeasureAsync(int devices, int wells, int latency, bool print)
    {
        string id = Line($"plate-{plates++}"), output = Path.Combine(folder, id);
        var silo = await BenchSilo.StartAsync(Path.Combine(folder, "state-" + id), devices, TimeSpan.FromMilliseconds(latency));
        long before = Live();
        var client = new GrainClient(silo.Grains);
        var submit = new Meter();
        await client.SubmitPlateAsync(id, new PlateRequest
        {
            Source = Manifest(wells),
            Output = output,
            Settings = new() { Model = model, Stride = options.Stride, BlockSide = options.Block },
        });
        double submitted = submit.Seconds;
        var watching = WatchAsync(client, id);

        // Until every device has had its first blocks: plates of large fields take a while to prepare these.
        while ((silo.Counter.Blocks < 2 * devices || submit.Seconds < WarmUp.TotalSeconds) && !watching.IsCompleted)
            await Task.Delay(20);
        var meter = new Meter();
        long first = silo.Counter.Blocks;
        double limit = print ? options.Whole ? double.MaxValue : options.Seconds : 1;
        while (meter.Seconds < limit && !watching.IsCompleted)
        {
            await Task.WhenAny(watching, Task.Delay(100));
            meter.Sample();
        }

        double seconds = meter.Seconds, cpu = meter.CpuSeconds, others = meter.OtherCores;
        long blocks = silo.Counter.Blocks - first;
        long live = Math.Max(0, Live() - before);
        if (print)
        {
            double rate = blocks / seconds;
            Console.WriteLine(Line($"{devices,7}{wells,7}{latency,6} ms{blocks,9}{rate,10:F1}{rate * latency / 1000 / devices,19:P1}{cpu * 1000 / blocks,15:F2}")
                + Line($"{cpu / seconds,7:F2}{others,9:F2}{submitted,10:F2}{meter.PeakManaged >> 20,9}{meter.PeakResident >> 20,8}{live / 1048576.0,9:F1}{live / 1024.0 / (wells * FieldsPerWell),10:F2}"));
        }

        await client.CancelPlateAsync(id);
        var last = await watching;
        if (last.FieldsFailed > 0 || last.BlocksRetried > 0)
            Console.WriteLine(Line($"        {last.FieldsFailed} fields failed, {last.BlocksRetried} blocks retried: the row does not count"));
        await silo.DisposeAsync();
        Directory.Delete(output, recursive: true);
    }

    private static long Live()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return GC.GetTotalMemory(forceFullCollection: true);
    }

    private static async Task<PlateStatus> WatchAsync(GrainClient client, string id)
    {
        PlateStatus? last = null;
        await foreach (var status in client.WatchPlateAsync(id))
            last = status;
        return last!;
    }

    private string Manifest(int wells)
    {
        string file = Path.Combine(folder, Line($"plate-{wells}.csv"));
        int columns = wells switch { 96 => 12, 384 => 24, _ => 48 };
        var rows = from well in Enumerable.Range(0, wells)
                   from field in Enumerable.Range(0, FieldsPerWell)
                   select Line($"{Row(well / columns)}{well % columns + 1:00},{field},{(well * FieldsPerWell + field) % options.Images}.png");
        File.WriteAllLines(file, rows.Prepend("well,field,file"));
        return file;

        static string Row(int row) => row < 26 ? ((char)('A' + row)).ToString() : "A" + (char)('A' + row - 26);
    }

    private static string Line(FormattableString text) => FormattableString.Invariant(text);
}

/// <summary>What is run.</summary>
internal sealed record ClusterBenchOptions
{
    public int[] Devices { get; init; } = [1, 4, 16, 64];

    public int[] Wells { get; init; } = [96, 384, 1536];

    /// <summary>What a device takes for a block, ms.</summary>
    public int[] Latencies { get; init; } = [200];

    public int Side { get; init; } = 512;

    public int Stride { get; init; } = 128;

    /// <summary>Tiles along each side of a block.</summary>
    public int Block { get; init; } = 1;

    public int Labels { get; init; } = 1;

    public int Images { get; init; } = 1;

    /// <summary>Whether the model file is the paper's network: silos read it for every field.</summary>
    public bool FullModel { get; init; }

    public int Seconds { get; init; } = 12;

    /// <summary>Whether plates run to their end.</summary>
    public bool Whole { get; init; }
}

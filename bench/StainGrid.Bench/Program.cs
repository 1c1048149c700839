// Prints the figures that the project promises, as ratios and peaks of one run: dotnet run -c Release --project bench/StainGrid.Bench
//   --side N    side of the slide, pixels (4600)
//   --stride N  (64)
//   --network small|full   a narrow convolutional network, or the paper's with eight labels (small)
//   --tiles N   tiles of the leak check (1000)
//   --scheduler only the dispatcher's queue: leases and completions per second, bytes a queued block
//   --dispatcher only the dispatcher's grain: leases per second by grain calls
//   --pipeline  whole slides with a network that takes no time: tiles per second, memory against size and labels
//   --cluster   whole plates with stand-in devices; its options are in README.md
using System.Diagnostics;
using StainGrid.Bench;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Silo;
using StainGrid.Tiling;

if (args.Contains("--scheduler"))
{
    SchedulerBench.Run();
    return;
}

if (args.Contains("--dispatcher"))
{
    await DispatcherBench.RunAsync();
    return;
}

if (args.Contains("--pipeline"))
{
    await PipelineBench.RunAsync(args);
    return;
}

if (args.Contains("--cluster"))
{
    var defaults = new ClusterBenchOptions();
    bool all = args.Contains("full");
    await ClusterBench.RunAsync(defaults with
    {
        Devices = Numbers("--devices", defaults.Devices),
        Wells = Numbers("--wells", defaults.Wells),
        Latencies = Numbers("--latency", all ? [50, 200, 1000] : defaults.Latencies),
        Side = Number("--side", defaults.Side),
        Stride = Number("--stride", defaults.Stride),
        Block = Number("--block", defaults.Block),
        Labels = Number("--labels", defaults.Labels),
        Images = Number("--images", defaults.Images),
        FullModel = args.Contains("--full-model"),
        Seconds = Number("--seconds", all ? 60 : defaults.Seconds),
        Whole = args.Contains("--whole"),
    });
    return;
}

int side = Number("--side", 4600), stride = Number("--stride", 64), leakTiles = Number("--tiles", 1000);
bool full = Array.IndexOf(args, "full") >= 0;
string folder = Directory.CreateTempSubdirectory("staingrid-bench-").FullName;
try
{
    string modelFile = Path.Combine(folder, "model.safetensors");
    using (var created = StainModel.Create(
        full ? new NetworkOptions() : new NetworkOptions { StemChannels = 2, Growth = 2, Resampling = Resampling.Convolution }, FluorescenceLabels.All, 1))
    {
        created.Save(modelFile);
    }

    string slide = Path.Combine(folder, "slide.png");
    var random = new Random(1);
    PngWriter.WriteGrey16(slide, [.. Enumerable.Range(0, side * side).Select(i => (ushort)(30_000 + i % side % 500 * 20 + random.Next(3000)))], side, side);
    Console.WriteLine($"slide {side}x{side}, stride {stride}, network {(full ? "full, 8 labels" : "small, 8 labels")}, {Environment.ProcessorCount} cores");

    // No tensor leak: resident memory over many tiles through the bare predictor.
    using var model = StainModel.Load(modelFile);
    var plan = new TilingPlan(side, side, new TilingOptions(stride));
    using var threads = new ComputeThreads(model.Device);
    var predictor = new TilePredictor(model, new PredictionOptions([.. Enumerable.Range(0, 8)], [MapLayer.Mean], plan.FixedPointBits(1)), threads);
    using var image = ImageReader.Open(slide);
    var range = PlaneRange.Measure(image, 0, model.Metadata.Normalisation);
    var clock = new Stopwatch();
    long tiles = 0, warm = 0;
    for (int index = 0; tiles < leakTiles; index = (index + 1) % plan.BlockCount)
    {
        var block = plan.Block(index);
        var window = PlaneWindow.Read(image, 0, block.Input, range, model.Metadata.Normalisation);
        if (tiles > 0)
            clock.Start();
        predictor.Predict(plan, block, [window]);
        clock.Stop();
        if (tiles == 0)
            warm = block.TileCount;
        tiles += block.TileCount;
        if (tiles == block.TileCount || tiles >= leakTiles || index % 4 == 0)
            Console.WriteLine($"  after {tiles} tiles: RSS {Rss()} MB");
    }

    double bare = clock.Elapsed.TotalSeconds / (tiles - warm);
    Console.WriteLine($"bare predictor: {bare * 1000:F1} ms a tile");

    // The whole slide through an embedded silo, and the same tiles bare.
    await using var silo = await EmbeddedSilo.StartAsync(new DeviceOptions());
    var client = new StainGridClient(silo.Grains);
    var wall = Stopwatch.StartNew();
    string id = await client.SubmitAsync(new SlideRequest { Files = [slide], Settings = new() { Model = modelFile, Stride = stride }, Output = Path.Combine(folder, "out.ome.zarr") });
    var running = new Stopwatch();
    SlideStatus? last = null;
    await foreach (var status in client.WatchAsync(id))
    {
        last = status;
        if (status.State == SlideState.Running)
            running.Start();
    }

    Console.WriteLine($"{last!.State} {last.Error}: {last.TilesTotal} tiles in {wall.Elapsed.TotalSeconds:F1} s, {running.Elapsed.TotalSeconds:F1} s from the first tile to the end");
    Console.WriteLine($"slide over bare tiles: {wall.Elapsed.TotalSeconds / (bare * last.TilesTotal):F3} whole, {running.Elapsed.TotalSeconds / (bare * last.TilesTotal):F3} running");
    Console.WriteLine($"peak RSS: {Process.GetCurrentProcess().PeakWorkingSet64 >> 20} MB");
}
finally
{
    Directory.Delete(folder, recursive: true);
}

int Number(string name, int otherwise) => Numbers(name, [otherwise])[0];

int[] Numbers(string name, int[] otherwise) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length
    ? [.. args[at + 1].Split(',').Select(number => int.Parse(number, System.Globalization.CultureInfo.InvariantCulture))]
    : otherwise;

static long Rss()
{
    using var process = Process.GetCurrentProcess();
    return process.WorkingSet64 >> 20;
}

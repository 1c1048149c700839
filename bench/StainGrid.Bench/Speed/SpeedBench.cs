using System.Diagnostics;
using System.Text.Json;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Imaging.Specimen;
using StainGrid.Model;
using StainGrid.Silo;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Bench;

/// <summary>What is run.</summary>
/// <param name="Rounds">How often each of the rates is measured, in turns.</param>
/// <param name="Side">Side of the whole slide, pixels; 0 to leave it out.</param>
/// <param name="Stride">Its stride.</param>
/// <param name="Slides">How many in one process.</param>
/// <param name="Pipeline">Whether to measure the pipeline with a network that takes no time.</param>
/// <param name="Json">The file for the figures.</param>
internal sealed record SpeedBenchOptions(int Rounds = 5, int Side = 4600, int Stride = 64, int Slides = 1, bool Pipeline = true, string Json = "speed.json");

/// <summary>The table of speeds: the network of the paper with eight labels against this machine's products and against its peers, and whole slides against the network.
/// All ratios are of figures measured in turns in one run.</summary>
internal static class SpeedBench
{
    /// <summary>Of a tile with eight labels, multiply-adds counted twice (docs/speed.md).</summary>
    private const double GigaflopsPerTile = 60.5;

    /// <summary>What makes this program a run of whole slides: the word before its numbers.</summary>
    public const string SlideRun = "--slide-run";

    private const int Labels = 8;
    private const int PlainTiles = 8;
    private const int ProductSide = 1024;

    /// <summary>Prints the table and writes it.</summary>
    public static async Task RunAsync(SpeedBenchOptions options)
    {
        using var model = StainModel.Create(new NetworkOptions(), FluorescenceLabels.All.Take(Labels).ToArray(), 1);
        using var threads = new ComputeThreads(CPU);
        var figures = await RatesAsync(model, threads, options);
        figures.Add(Accuracy());
        if (options.Side > 0)
        {
            // A process of its own, which has the memory of no peer.
            var run = await ChildProcess.RunAsync<SlideFigures>(SlideRun, options.Side, options.Stride, options.Slides);
            figures.Add(new(Line($"whole slide of {options.Side}x{options.Side}, stride {options.Stride}, {run.Tiles} tiles, s"), run.Seconds[^1]));
            figures.Add(Figure.Of("whole slide over tiles x bare tile time", run.Ratios, atMost: 1.05));
            figures.Add(new("whole slide, embedded: peak RSS, MB", run.PeakResidentMb, AtMost: 3072, Rounds: run.ResidentMb));
        }

        if (options.Pipeline && await PipelineBench.RunAsync([]) is { } pipeline)
        {
            figures.Add(new("instant network, 4600x4600, 8 labels, tiles/s", pipeline.Slides.TilesPerSecond, AtLeast: 500));
            figures.Add(new("instant network, 10 slides: peak RSS, MB", pipeline.Slides.PeakResidentMb, AtMost: 3072));
            figures.Add(new("instant network, 10 slides: last RSS over first", (double)pipeline.Slides.ResidentMb[^1] / pipeline.Slides.ResidentMb[0]));
            figures.Add(new("20,480 over 1,024 pixels wide, processor time a tile", pipeline.Widths.CpuRatio, AtMost: 1.05));
            figures.Add(new("20,480 over 1,024 pixels wide, wall time a tile", pipeline.Widths.WallRatio, AtMost: 1.05));
        }

        Figure.Print(figures);
        await File.WriteAllTextAsync(options.Json, JsonSerializer.Serialize(
            new { Date = DateTime.UtcNow, Cores = Environment.ProcessorCount, Figures = figures }, JsonSerializerOptions.Web));
        Console.WriteLine($"written to {options.Json}");
    }

    private static async Task<List<Figure>> RatesAsync(StainModel model, ComputeThreads threads, SpeedBenchOptions options)
    {
        using var plain = new TilePredictor(model, threads);
        using var fast = new TilePredictor(model, threads, Precision.BFloat16);
        var plainRates = new Dictionary<string, Func<Task<double>>>
        {
            ["batches of 1 side by side"] = () => TilesPerSecondAsync(plain, 1, PlainTiles),
            ["batches of 4 side by side"] = () => TilesPerSecondAsync(plain, 4, PlainTiles),
            ["batches of 1 over all cores"] = () => Task.FromResult(TogetherPerSecond(model, 1)),
            ["batches of 4 over all cores"] = () => Task.FromResult(TogetherPerSecond(model, 4)),
        };
        Console.WriteLine("plain float32 forward, tiles/s:");
        string best = "";
        double most = 0;
        foreach (var (name, measure) in plainRates)
        {
            await measure();
            double rate = await measure();
            Console.WriteLine(Line($"  {name}: {rate:F2}"));
            if (rate > most)
                (best, most) = (name, rate);
        }

        Console.WriteLine("ONNX Runtime, float32:");
        var onnx = OnnxBench.Measure(model.Network, OnnxBench.Print);
        float[] patches = OnnxBench.RandomPatches(model.Network, onnx.Settings.Batch);
        using var peer = new OnnxPeer(model.Network, onnx.Settings.Threads);
        await TilesPerSecondAsync(fast, 1, 64);

        List<double> float32 = [], bfloat16 = [], plains = [], onnxes = [], ours = [], others = [];
        for (int round = 0; round < options.Rounds; round++)
        {
            var meter = new Meter();
            float32.Add(await ProductsAsync(threads, ScalarType.Float32));
            bfloat16.Add(await ProductsAsync(threads, ScalarType.BFloat16));
            ours.Add(await TilesPerSecondAsync(fast, 1, 64));
            plains.Add(await plainRates[best]());
            ours.Add(await TilesPerSecondAsync(fast, 1, 64));
            onnxes.Add(OnnxBench.Measure(peer, onnx.Settings, patches).TilesPerSecond);
            bfloat16.Add(await ProductsAsync(threads, ScalarType.BFloat16));
            others.Add(meter.OtherCores);
        }

        // Of a round: the mean of what was measured before and after its peers.
        double Ours(int round) => (ours[2 * round] + ours[2 * round + 1]) / 2;
        double Products(int round) => (bfloat16[2 * round] + bfloat16[2 * round + 1]) / 2;
        int[] rounds = [.. Enumerable.Range(0, options.Rounds)];
        return
        [
            Figure.Of("product rate float32, all cores, GFLOP/s", float32),
            Figure.Of("product rate bfloat16, all cores, GFLOP/s", rounds.Select(Products)),
            Figure.Of("cores that others took", others),
            Figure.Of($"plain float32 forward ({best}), tiles/s", plains),
            Figure.Of(Line($"ONNX Runtime ({onnx.Settings}), tiles/s"), onnxes),
            Figure.Of("StainGrid, bfloat16, tiles/s", rounds.Select(Ours)),
            Figure.Of("a tile's GFLOP/s over the bfloat16 product rate", rounds.Select(round => Ours(round) * GigaflopsPerTile / Products(round)), atLeast: 0.5),
            Figure.Of("tiles/s over the plain float32 forward", rounds.Select(round => Ours(round) / plains[round]), atLeast: 4),
            Figure.Of("tiles/s over ONNX Runtime", rounds.Select(round => Ours(round) / onnxes[round]), atLeast: 2),
        ];
    }

    // Mean image of bfloat16 against float32, in levels of 255: the shipped model on a synthetic specimen.
    private static Figure Accuracy()
    {
        using var model = StainModel.Load(Path.Combine(AppContext.BaseDirectory, "models", "staingrid-neuron.safetensors"));
        var specimen = SyntheticSpecimen.Generate(new SpecimenOptions { Width = 512, Height = 512 });
        string file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName() + ".png");
        try
        {
            PngWriter.WriteGrey16(file, specimen.Plane(specimen.FocusPlane), specimen.Width, specimen.Height);
            using var image = ImageReader.Open(file);
            return new Figure("bfloat16 against float32, mean image, mean difference in levels of 255", QualityBench.Compare(model, image, [new TilingOptions()])[0].Difference, AtMost: 0.5);
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>Whole slides through an embedded silo, printed as JSON.</summary>
    public static async Task RunSlidesAsync(int side, int stride, int slides)
    {
        string folder = Directory.CreateTempSubdirectory("staingrid-bench-").FullName;
        try
        {
            using var model = StainModel.Create(new NetworkOptions(), FluorescenceLabels.All.Take(Labels).ToArray(), 1);
            string file = Path.Combine(folder, "model.safetensors"), slide = Path.Combine(folder, "slide.png"), small = Path.Combine(folder, "small.png");
            model.Save(file);
            Write(slide, side);
            Write(small, 512);
            await using var silo = await EmbeddedSilo.StartAsync(new DeviceOptions());
            var client = new GrainClient(silo.Grains);
            await StainAsync(client, file, small, stride);
            var figures = new SlideFigures(0, [], [], 0, []);
            double bare = await BareAsync(model);
            for (int i = 0; i < slides; i++)
            {
                var (tiles, seconds) = await StainAsync(client, file, slide, stride);
                double after = await BareAsync(model);
                using var process = Process.GetCurrentProcess();
                figures = new SlideFigures(
                    tiles, [.. figures.Seconds, seconds], [.. figures.Ratios, seconds / (tiles * (bare + after) / 2)],
                    process.PeakWorkingSet64 >> 20, [.. figures.ResidentMb, process.WorkingSet64 >> 20]);
                bare = after;
            }

            ChildProcess.Print(figures);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        static void Write(string path, int side)
        {
            var random = new Random(1);
            PngWriter.WriteGrey16(path, [.. Enumerable.Range(0, side * side).Select(i => (ushort)(30_000 + i % side % 500 * 20 + random.Next(3000)))], side, side);
        }
    }

    private static async Task<double> BareAsync(StainModel model)
    {
        using var threads = new ComputeThreads(CPU);
        using var predictor = new TilePredictor(model, threads, Precision.BFloat16);
        await TilesPerSecondAsync(predictor, 1, 64);
        return 1 / await TilesPerSecondAsync(predictor, 1, 256);
    }

    private static async Task<(long Tiles, double Seconds)> StainAsync(GrainClient client, string model, string image, int stride)
    {
        var clock = Stopwatch.StartNew();
        string id = await client.SubmitAsync(new SlideRequest
        {
            Files = [image],
            Settings = new() { Model = model, Stride = stride, Precision = Precision.BFloat16 },
            Output = Path.ChangeExtension(image, ".ome.zarr"),
            Overwrite = true,
        });
        SlideStatus? last = null;
        await foreach (var status in client.WatchAsync(id))
            last = status;
        return last!.State == SlideState.Complete ? (last.TilesTotal, clock.Elapsed.TotalSeconds) : throw new InvalidOperationException($"The slide ended {last.State}: {last.Error}");
    }

    // A block of tiles, each thread with batches of its own.
    private static async Task<double> TilesPerSecondAsync(TilePredictor predictor, int batch, int tiles)
    {
        int side = (int)Math.Sqrt(tiles), rows = tiles / side;
        var plan = new TilingPlan(Tile.Size + 64 * (side - 1), Tile.Size + 64 * (rows - 1), new TilingOptions(64, Blend.Uniform, TilingOptions.MaxBlockSide));
        var block = plan.Block(0);
        var random = new Random(1);
        var window = new PlaneWindow(block.Input, [.. Enumerable.Range(0, (int)block.Input.Area).Select(_ => random.NextSingle() * 2 - 1)]);
        var options = new PredictionOptions([.. Enumerable.Range(0, Labels)], [MapLayer.Mean], plan.FixedPointBits(1)) { BatchSize = batch };
        long started = Stopwatch.GetTimestamp();
        await predictor.PredictAsync(plan, block, [window], options);
        return block.TileCount / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    // One batch after the other, each product over all cores.
    private static double TogetherPerSecond(StainModel model, int batch)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        int before = get_num_threads();
        set_num_threads(Environment.ProcessorCount);
        var pass = new ModulePass(model);
        var patches = rand([batch, model.Network.Options.PatchScales.Count, Tile.Size, Tile.Size]) * 2 - 1;
        var images = new float[batch * Labels * Tile.Size * Tile.Size];
        long started = Stopwatch.GetTimestamp();
        for (int done = 0; done < PlainTiles; done += batch)
        {
            using var one = NewDisposeScope();
            pass.Run(patches, [.. Enumerable.Range(0, Labels)], [MapLayer.Mean], images);
        }

        set_num_threads(before);
        return PlainTiles / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    // Large products, each thread with its own.
    private static async Task<double> ProductsAsync(ComputeThreads threads, ScalarType type)
    {
        int products = threads.Count * (type == ScalarType.BFloat16 ? 60 : 15);
        var matrices = Enumerable.Range(0, 3 * threads.Count).Select(_ => ones([ProductSide, ProductSide], type).DetachFromDisposeScope()).ToArray();
        await threads.RunAsync(threads.Count, Multiply);
        long started = Stopwatch.GetTimestamp();
        await threads.RunAsync(products, Multiply);
        double seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        foreach (var matrix in matrices)
            matrix.Dispose();
        return 2.0 * products * ProductSide * ProductSide * ProductSide / seconds / 1e9;

        void Multiply(int thread, int item)
        {
            using var scope = NewDisposeScope();
            using var gradients = no_grad();
            matrices[3 * thread].addmm_(matrices[3 * thread + 1], matrices[3 * thread + 2], beta: 0, alpha: 1);
        }
    }

    private static string Line(FormattableString text) => FormattableString.Invariant(text);
}

/// <summary>Whole slides in one process.</summary>
/// <param name="Tiles">Tiles of a slide.</param>
/// <param name="Seconds">Of each, from its submission to its end.</param>
/// <param name="Ratios">Of each, over its tiles times the time of a tile without the pipeline, measured before and after.</param>
/// <param name="PeakResidentMb">The peak of resident memory, MB.</param>
/// <param name="ResidentMb">Resident memory after each, MB.</param>
internal sealed record SlideFigures(long Tiles, double[] Seconds, double[] Ratios, double PeakResidentMb, double[] ResidentMb);

using System.Diagnostics;
using System.Globalization;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Bench;

/// <summary>Whole slides with a network that takes no time: what all the rest costs, and the memory that it takes. Every run is a process
/// of its own, so that none has the memory of another.</summary>
internal static class PipelineBench
{
    /// <summary>What makes this program one run: the words before its numbers.</summary>
    private const string OneRun = "--pipeline-run", WidthsRun = "--pipeline-widths";

    private const int Slides = 10;
    // Whole chunks: in those at an edge the fill makes matches that keep the compressor from skipping over noise.
    private const int Narrow = 1024, Wide = 20_480, Low = 2048, High = Wide * Low / Narrow;
    private const int Rounds = 4, Smalls = 4;

    /// <summary>Runs the parts one after the other and prints them. With the words of one run, that run, printed as JSON.</summary>
    /// <returns>The figures; null from one run.</returns>
    public static async Task<PipelineFigures?> RunAsync(string[] args)
    {
        if (Array.IndexOf(args, OneRun) is >= 0 and var at)
        {
            ChildProcess.Print(await MeasureAsync(Number(at + 1), Number(at + 2), Number(at + 3), Number(at + 4)));
            return null;
        }

        if (args.Contains(WidthsRun))
        {
            ChildProcess.Print(await WidthsAsync());
            return null;
        }

        var many = await ChildProcess.RunAsync<PipelineRun>("--pipeline " + OneRun, 4600, 4600, 8, Slides);
        Console.WriteLine(Line($"instant network, 4600x4600, 8 labels, stride 64, blocks of 8x8, {Environment.ProcessorCount} cores (others took {many.OtherCores:F2})"));
        Console.WriteLine(Line($"{many.TilesPerSecond:F0} tiles/s (median of {Slides} slides), {many.CpuMsPerTile:F2} ms of processor time a tile, {many.DeviceMsPerTile:F2} of it summing tiles into blocks"));
        Console.WriteLine(Line($"a slide takes {many.WallSeconds:F1} s: {many.PrepareSeconds:F1} preparing, {many.RunSeconds:F1} running, {many.FinishSeconds:F1} finishing"));
        Console.WriteLine(Line($"peak RSS {many.PeakResidentMb} MB; after each slide {string.Join(", ", many.ResidentMb)} MB"));

        var widths = await ChildProcess.RunAsync<PipelineWidths>("--pipeline " + WidthsRun);
        Console.WriteLine(Line($"{Wide}x{Low} over {Narrow}x{High}, a tile: processor time {widths.CpuRatio:F3} ({widths.Wide.CpuMsPerTile:F2} and {widths.Narrow.CpuMsPerTile:F2} ms), ")
            + Line($"wall {widths.WallRatio:F3} ({widths.Wide.WallMsPerTile:F2} and {widths.Narrow.WallMsPerTile:F2} ms)"));
        Console.WriteLine(Line($"{Narrow}x{Low}: {widths.Small.CpuMsPerTile:F2} ms of processor time a tile, so a slide costs {widths.SlideCpuMs:F0} ms beside its tiles"));

        var memory = new List<PipelineRun>();
        Console.WriteLine("    size      labels  tiles/s  CPU ms/tile  peak RSS MB  peak managed MB");
        foreach (var (width, height) in ((int, int)[])[(1000, 1000), (2300, 2300), (4600, 4600), (9200, 9200), (20_000, 2000), (2000, 20_000)])
        {
            foreach (int labels in (int[])[1, 3, 8])
            {
                var run = await ChildProcess.RunAsync<PipelineRun>("--pipeline " + OneRun, width, height, labels, 2);
                memory.Add(run);
                Console.WriteLine(Line($"{width,6}x{height,-7}{labels,6}{run.TilesPerSecond,9:F0}{run.CpuMsPerTile,13:F2}{run.PeakResidentMb,13}{run.PeakManagedMb,17}"));
            }
        }

        return new PipelineFigures(many, widths, memory);

        int Number(int place) => int.Parse(args[place], CultureInfo.InvariantCulture);
    }

    private static async Task<PipelineRun> MeasureAsync(int width, int height, int labels, int slides)
    {
        await using var slide = await PipelineSlides.StartAsync(labels);
        string image = slide.Image(width, height);
        var runs = new List<PipelineRun> { await slide.RunAsync(image, width, height) };
        for (int i = 0; i < slides; i++)
            runs.Add(await slide.RunAsync(image, width, height));
        var median = runs.Skip(1).OrderBy(run => run.WallSeconds).ElementAt(slides / 2);
        using var process = Process.GetCurrentProcess();
        return median with
        {
            PeakResidentMb = process.PeakWorkingSet64 >> 20,
            PeakManagedMb = runs.Max(run => run.PeakManagedMb),
            ResidentMb = [.. runs.Skip(1).Select(run => run.ResidentMb[0])],
        };
    }

    // In turns, so that a machine that others use is as busy for all.
    private static async Task<PipelineWidths> WidthsAsync()
    {
        await using var slide = await PipelineSlides.StartAsync(8);
        string narrow = slide.Image(Narrow, High), wide = slide.Image(Wide, Low), small = slide.Image(Narrow, Low);
        await slide.RunAsync(narrow, Narrow, High);
        await slide.RunAsync(wide, Wide, Low);
        List<PipelineRun> narrows = [], wides = [], smalls = [];
        for (int round = 0; round < Rounds; round++)
        {
            narrows.Add(await slide.RunAsync(narrow, Narrow, High));
            wides.Add(await slide.RunAsync(wide, Wide, Low));
            for (int i = 0; i < Smalls; i++)
                smalls.Add(await slide.RunAsync(small, Narrow, Low));
        }

        return new PipelineWidths(Sum(narrows), Sum(wides), Sum(smalls), smalls.Count);

        static PipelineRun Sum(IEnumerable<PipelineRun> runs) => runs.Aggregate((sum, run) => sum with
        {
            Tiles = sum.Tiles + run.Tiles,
            WallSeconds = sum.WallSeconds + run.WallSeconds,
            CpuSeconds = sum.CpuSeconds + run.CpuSeconds,
            DeviceSeconds = sum.DeviceSeconds + run.DeviceSeconds,
            PrepareSeconds = sum.PrepareSeconds + run.PrepareSeconds,
            RunSeconds = sum.RunSeconds + run.RunSeconds,
            FinishSeconds = sum.FinishSeconds + run.FinishSeconds,
        });
    }

    private static string Line(FormattableString text) => FormattableString.Invariant(text);

    /// <summary>A silo with an instant device, and its slides.</summary>
    private sealed class PipelineSlides : IAsyncDisposable
    {
        private readonly string folder = Directory.CreateTempSubdirectory("staingrid-bench-").FullName;
        private readonly InstantDevice device = new();
        private BenchSilo? silo;
        private int count;

        private string Model => Path.Combine(folder, "model.safetensors");

        public static async Task<PipelineSlides> StartAsync(int labels)
        {
            var slides = new PipelineSlides();
            using (var created = StainModel.Create(
                new NetworkOptions { StemChannels = 2, Growth = 2, Resampling = Resampling.Convolution }, FluorescenceLabels.All.Take(labels).ToArray(), 1))
            {
                created.Save(slides.Model);
            }

            slides.silo = await BenchSilo.StartAsync(Path.Combine(slides.folder, "state"), 1, TimeSpan.Zero, create: _ => slides.device);
            return slides;
        }

        public string Image(int width, int height)
        {
            string file = Path.Combine(folder, Line($"{width}x{height}.png"));
            var random = new Random(1);
            var pixels = new ushort[width * height];
            for (int i = 0; i < pixels.Length; i++)
                pixels[i] = (ushort)(30_000 + i % width % 500 * 20 + random.Next(3000));
            PngWriter.WriteGrey16(file, pixels, width, height);
            return file;
        }

        public async Task<PipelineRun> RunAsync(string image, int width, int height)
        {
            var client = new GrainClient(silo!.Grains);
            string output = Path.Combine(folder, Line($"out-{count++}.ome.zarr"));
            double deviceBefore = device.Seconds;
            var meter = new Meter();
            using var done = new CancellationTokenSource();
            var sampling = Task.Run(async () =>
            {
                while (!done.IsCancellationRequested)
                {
                    meter.Sample();
                    await Task.Delay(20);
                }
            });
            string id = await client.SubmitAsync(new SlideRequest { Files = [image], Settings = new() { Model = Model }, Output = output });
            SlideStatus? last = null;
            double running = 0, finishing = 0;
            await foreach (var status in client.WatchAsync(id))
            {
                if (status.State == SlideState.Running && last?.State != SlideState.Running)
                    running = meter.Seconds;
                else if (status.State == SlideState.Finishing)
                    finishing = meter.Seconds;
                last = status;
            }

            double seconds = meter.Seconds, cpu = meter.CpuSeconds, others = meter.OtherCores;
            await done.CancelAsync();
            await sampling;
            if (last!.State != SlideState.Complete)
                throw new InvalidOperationException($"{last.State}: {last.Error}");
            long bytes = new DirectoryInfo(output).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length);
            Directory.Delete(output, recursive: true);
            using var process = Process.GetCurrentProcess();
            return new PipelineRun
            {
                Width = width,
                Height = height,
                Tiles = last.TilesTotal,
                WallSeconds = seconds,
                CpuSeconds = cpu,
                OtherCores = others,
                DeviceSeconds = device.Seconds - deviceBefore,
                OutputBytes = bytes,
                PrepareSeconds = running,
                RunSeconds = finishing - running,
                FinishSeconds = seconds - finishing,
                PeakManagedMb = meter.PeakManaged >> 20,
                PeakResidentMb = meter.PeakResident >> 20,
                ResidentMb = [process.WorkingSet64 >> 20],
            };
        }

        public async ValueTask DisposeAsync()
        {
            if (silo is not null)
                await silo.DisposeAsync();
            Directory.Delete(folder, recursive: true);
        }
    }
}

/// <summary>What the pipeline without its network does.</summary>
/// <param name="Slides">Ten slides of 4600x4600 pixels and eight labels in one process; of its times, the median slide's.</param>
/// <param name="Widths">Narrow and wide slides.</param>
/// <param name="Sizes">Two slides of each size and number of labels in a process of their own.</param>
internal sealed record PipelineFigures(PipelineRun Slides, PipelineWidths Widths, IReadOnlyList<PipelineRun> Sizes);

/// <summary>Slides of one area, narrow and wide, and of a twentieth of it.</summary>
internal sealed record PipelineWidths(PipelineRun Narrow, PipelineRun Wide, PipelineRun Small, int SmallSlides)
{
    public double CpuRatio => Wide.CpuMsPerTile / Narrow.CpuMsPerTile;

    public double WallRatio => Wide.WallMsPerTile / Narrow.WallMsPerTile;

    /// <summary>Processor time of a small slide that its tiles do not explain.</summary>
    public double SlideCpuMs => (Small.CpuMsPerTile - Narrow.CpuMsPerTile) * Small.Tiles / SmallSlides;
}

/// <summary>A slide from its submission to its completion.</summary>
internal sealed record PipelineRun
{
    public int Width { get; init; }

    public int Height { get; init; }

    public long Tiles { get; init; }

    public double WallSeconds { get; init; }

    public double CpuSeconds { get; init; }

    /// <summary>Cores that other processes took.</summary>
    public double OtherCores { get; init; }

    /// <summary>The device's thread: summing the tiles of a block.</summary>
    public double DeviceSeconds { get; init; }

    /// <summary>What was written.</summary>
    public long OutputBytes { get; init; }

    public double PrepareSeconds { get; init; }

    public double RunSeconds { get; init; }

    public double FinishSeconds { get; init; }

    /// <summary>The most in the managed heap, as sampled.</summary>
    public long PeakManagedMb { get; init; }

    /// <summary>The most resident memory, of the process since its start.</summary>
    public long PeakResidentMb { get; init; }

    /// <summary>Resident memory after each slide.</summary>
    public IReadOnlyList<long> ResidentMb { get; init; } = [];

    public double TilesPerSecond => Tiles / WallSeconds;

    public double CpuMsPerTile => CpuSeconds * 1000 / Tiles;

    public double WallMsPerTile => WallSeconds * 1000 / Tiles;

    public double DeviceMsPerTile => DeviceSeconds * 1000 / Tiles;
}

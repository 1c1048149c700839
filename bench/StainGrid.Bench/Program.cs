// Prints the figures that the project promises, as ratios of one run, and writes them as JSON: dotnet run -c Release --project bench/StainGrid.Bench
// What else there is, and all options: bench/README.md.
using System.Globalization;
using StainGrid.Bench;

if (args.Contains("--scheduler"))
{
    SchedulerBench.Run();
}
else if (args.Contains("--dispatcher"))
{
    await DispatcherBench.RunAsync();
}
else if (args.Contains("--autoscaling"))
{
    AutoscalingBench.Run(Number("--seeds", 5), Number("--days", 14), Number("--threads", Environment.ProcessorCount),
        Array.IndexOf(args, "--only") is >= 0 and var only ? args[only + 1] : "", Array.IndexOf(args, "--plot") is >= 0 and var plot ? args[plot + 1] : null);
}
else if (args.Contains("--onnx"))
{
    OnnxBench.Run();
}
else if (args.Contains("--training"))
{
    TrainingBench.Run(Number("--rounds", 7));
}
else if (args.Contains("--service"))
{
    await ServiceBench.RunAsync(Number("--watchers", 200), Number("--rate", 50), Number("--seconds", 20));
}
else if (args.Contains("--telemetry"))
{
    await TelemetryBench.RunAsync(args, Number("--rounds", 5));
}
else if (args.Contains("--pipeline"))
{
    await PipelineBench.RunAsync(args);
}
else if (Array.IndexOf(args, "--quality") is >= 0 and var quality)
{
    QualityBench.Run(args[quality + 1], args[quality + 2], Number("--plane", 0), [.. args.Skip(quality + 3).Where(arg => arg.Contains('=', StringComparison.Ordinal))]);
}
else if (Array.IndexOf(args, SpeedBench.SlideRun) is >= 0 and var slide)
{
    await SpeedBench.RunSlidesAsync(int.Parse(args[slide + 1], CultureInfo.InvariantCulture), int.Parse(args[slide + 2], CultureInfo.InvariantCulture), int.Parse(args[slide + 3], CultureInfo.InvariantCulture));
}
else if (args.Contains("--cluster"))
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
}
else
{
    var defaults = new SpeedBenchOptions();
    await SpeedBench.RunAsync(defaults with
    {
        Rounds = Number("--rounds", defaults.Rounds),
        Side = Number("--side", defaults.Side),
        Stride = Number("--stride", defaults.Stride),
        Slides = Number("--slides", defaults.Slides),
        Pipeline = !args.Contains("--no-pipeline"),
        Json = Array.IndexOf(args, "--json") is >= 0 and var json ? args[json + 1] : defaults.Json,
    });
}

int Number(string name, int otherwise) => Numbers(name, [otherwise])[0];

int[] Numbers(string name, int[] otherwise) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length
    ? [.. args[at + 1].Split(',').Select(number => int.Parse(number, CultureInfo.InvariantCulture))]
    : otherwise;

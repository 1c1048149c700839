// Times the kernels of inference at the sizes of the paper's network: dotnet run -c Release --project bench/StainGrid.KernelBench
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using StainGrid.KernelBench;

BenchmarkRunner.Run<KernelBenchmarks>(DefaultConfig.Instance
    .AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance))
    .WithOptions(ConfigOptions.DisableLogFile)
    .WithArtifactsPath(Path.Combine(Path.GetTempPath(), "staingrid-kernels")), args: args);

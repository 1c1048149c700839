using System.Diagnostics;
using OpenTelemetry.Trace;

namespace StainGrid.Silo;

/// <summary>
/// Keeps the traces of requests and of fields, a share of them, and of grain calls only those that carry work on: a cluster that waits makes some hundred calls
/// a second that ask whether there is something to do, each of which would be a trace.
/// </summary>
/// <param name="ratio">The share, 0 to 1.</param>
internal sealed class WorkSampler(double ratio) : Sampler
{
    private static readonly HashSet<string> Calls = ["IServiceGrain/SubmitAsync", "IPlateGrain/SubmitAsync", "IPlateGrain/RetryAsync", "IPlateGrain/CancelAsync", "IStitcherGrain/AddAsync"];

    private readonly ParentBasedSampler shared = new(new TraceIdRatioBasedSampler(ratio));

    public override SamplingResult ShouldSample(in SamplingParameters parameters)
    {
        bool grainCall = parameters.Kind is ActivityKind.Client or ActivityKind.Server && parameters.Name.Contains("Grain/", StringComparison.Ordinal);
        return grainCall && !Calls.Contains(parameters.Name[(parameters.Name.LastIndexOf('.') + 1)..]) ? new SamplingResult(SamplingDecision.Drop) : shared.ShouldSample(parameters);
    }
}

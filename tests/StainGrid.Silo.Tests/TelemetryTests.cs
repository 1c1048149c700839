using System.Diagnostics;
using OpenTelemetry.Trace;

namespace StainGrid.Silo.Tests;

public class TelemetryTests
{
    [Theory]
    [InlineData("GET /v1/plates", ActivityKind.Server, true)]
    [InlineData("field", ActivityKind.Internal, true)]
    [InlineData("IStitcherGrain/AddAsync", ActivityKind.Client, true)]
    [InlineData("StainGrid.Contracts.IPlateGrain/SubmitAsync", ActivityKind.Server, true)]
    [InlineData("IDispatcherGrain/LeaseAsync", ActivityKind.Client, false)]
    [InlineData("IPlateGrain/GetStatusAsync", ActivityKind.Server, false)]
    public void Calls_that_only_ask_are_no_spans(string name, ActivityKind kind, bool kept)
    {
        var sampled = new WorkSampler(1).ShouldSample(Parameters(default, ActivityTraceId.CreateRandom(), name, kind));
        Assert.Equal(kept ? SamplingDecision.RecordAndSample : SamplingDecision.Drop, sampled.Decision);
    }

    [Fact]
    public void A_share_of_traces_is_kept_and_each_as_a_whole()
    {
        var sampler = new WorkSampler(0.25);
        int kept = 0;
        for (int i = 0; i < 2000; i++)
        {
            var trace = ActivityTraceId.CreateRandom();
            bool root = Kept(sampler, default, trace);
            var parent = new ActivityContext(trace, ActivitySpanId.CreateRandom(), root ? ActivityTraceFlags.Recorded : ActivityTraceFlags.None, isRemote: true);
            Assert.Equal(root, Kept(sampler, parent, trace));
            kept += root ? 1 : 0;
        }

        Assert.InRange(kept, 400, 600);
    }

    [Theory]
    [InlineData("0.0.0.0:9464", null, 1, null)]
    [InlineData("[::]:9464", "http://collector:4317", 0.1, null)]
    [InlineData("9464", null, 1, "Monitoring '9464' is not IP:PORT")]
    [InlineData("0.0.0.0", null, 1, "Monitoring '0.0.0.0' is not IP:PORT")]
    [InlineData("host:9464", null, 1, "Monitoring 'host:9464' is not IP:PORT")]
    [InlineData(null, "collector:4317", 1, "Otlp 'collector:4317' is not a URL")]
    [InlineData(null, null, 1.5, "TraceRatio")]
    public void A_wrong_option_is_named(string? monitoring, string? otlp, double ratio, string? error)
    {
        var options = new TelemetryOptions { Monitoring = monitoring, Otlp = otlp, TraceRatio = ratio };
        if (error is null)
            options.ThrowIfInvalid();
        else
            Assert.Contains(error, Assert.Throws<ArgumentException>(options.ThrowIfInvalid).Message, StringComparison.Ordinal);
    }

    private static bool Kept(WorkSampler sampler, ActivityContext parent, ActivityTraceId trace) =>
        sampler.ShouldSample(Parameters(parent, trace, "field", ActivityKind.Internal)).Decision == SamplingDecision.RecordAndSample;

    private static SamplingParameters Parameters(ActivityContext parent, ActivityTraceId trace, string name, ActivityKind kind) => new(parent, trace, name, kind);
}

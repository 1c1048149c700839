using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using StainGrid.Contracts;
using StainGrid.Tiling;

namespace StainGrid.Grains.Tests;

/// <summary>In one silo messages pass by reference; these go through the bytes that travel between silos.</summary>
public class MessageTests
{
    private static readonly Serializer Serializer = new ServiceCollection().AddSerializer().BuildServiceProvider().GetRequiredService<Serializer>();

    private static SlideJob Job => new()
    {
        SlideId = "s",
        Files = ["a", "b"],
        Model = "m",
        ModelSha256 = "ff",
        Output = "o",
        Name = "n",
        Width = 10,
        Height = 20,
        Planes = [new SlidePlane(2, 0.5f, 7)],
        Labels = [1, 0],
        Statistics = [Statistic.Median, Statistic.Entropy],
        Channels = [new OutputChannel("DAPI", "0000FF", 13, 99, true)],
        Stride = 32,
        Blend = Blend.Gaussian,
        BlockSide = 5,
        Clamp = true,
        PhysicalSizeX = 0.65,
        BatchSize = 6,
        Precision = Precision.BFloat16,
        PlateId = "p",
        Weight = 3,
        PlanHash = "aa",
        Epoch = 4,
        TraceParent = "00-1-2-01",
    };

    [Fact]
    public void A_probability_map_arrives_as_it_was_sent()
    {
        var map = new ProbabilityMap(7, new Region(3, 4, 2, 1), [5, 6], [[1, -2], [int.MaxValue, 4]]);
        var copy = RoundTrip(map);
        Assert.Equal((map.Block, map.Extent), (copy.Block, copy.Extent));
        Assert.Equal(map.Weights, copy.Weights);
        Assert.Equal(map.Sums, copy.Sums);
    }

    [Fact]
    public void A_probability_map_is_not_copied_within_a_silo()
    {
        var map = new ProbabilityMap(7, new Region(3, 4, 2, 1), [5, 6], [[1, -2], [int.MaxValue, 4]]);
        var copy = new ServiceCollection().AddSerializer().BuildServiceProvider().GetRequiredService<DeepCopier>().Copy(map);
        Assert.Same(map.Weights, copy.Weights);
        Assert.All(map.Sums.Zip(copy.Sums), sums => Assert.Same(sums.First, sums.Second));
    }

    [Fact]
    public void A_lease_arrives_as_it_was_sent() => Assert.Equivalent(new BlockLease(Job, 3, 2, 1), RoundTrip(new BlockLease(Job, 3, 2, 1)), strict: true);

    [Fact]
    public void What_is_told_of_a_call_has_no_signature()
    {
        const string Signed = "https://a/c/x?sv=1&sig=secret";
        var settings = new StainSettings { Model = Signed };
        var job = Job with { Files = [Signed], Model = Signed, Output = Signed };
        object[] arguments =
        [
            settings, job, new BlockLease(job, 3, 2, 1), new SlideRequest { Files = [Signed], Settings = settings, Output = Signed },
            new PlateRequest { Source = Signed, Settings = settings, Output = Signed },
        ];
        Assert.All(arguments, argument => Assert.DoesNotContain("sig", argument.ToString(), StringComparison.Ordinal));
    }

    [Fact]
    public void A_renewed_signature_is_the_same_request()
    {
        static SlideRequest Slide(string signature) => new()
        {
            Files = ["https://a/c/x" + signature],
            Settings = new() { Model = "https://a/c/m" + signature },
            Output = "https://a/c/o" + signature,
        };
        Assert.True(Slide("?sig=1").SameAs(Slide("?sig=2")));
        Assert.False(Slide("?sig=1").SameAs(Slide("?sig=1") with { Output = "https://a/c/p?sig=1" }));
        Assert.False(Slide("?sig=1").SameAs(Slide("?sig=1") with { Files = ["https://a/c/y?sig=1"] }));
    }

    [Fact]
    public void A_status_arrives_as_it_was_sent()
    {
        var status = new SlideStatus(SlideState.Complete, 1, 2, 3, 4, 5, "e", new SlideReport(new StitchCheck(1, 2, 3.5, 4, 5.5, 6), 7, 8.5), ErrorType: "store");
        Assert.Equal(status, RoundTrip(status));
    }

    [Fact]
    public void A_request_arrives_as_it_was_sent()
    {
        var settings = new StainSettings { Model = "m", Labels = ["l"], Plane = 3, Statistics = [Statistic.Mode], Blend = Blend.CentreCrop, BlockSide = 2, BatchSize = 6 };
        var slide = new SlideRequest { Files = ["f"], Settings = settings, Output = "o", Overwrite = true, PlateId = "p", Weight = 7, ModelSha256 = "ff", TraceParent = "00-1-2-01" };
        Assert.Equivalent(slide, RoundTrip(slide), strict: true);
        Assert.True(slide.SameAs(RoundTrip(slide)));
        Assert.True(slide.SameAs(slide with { TraceParent = null }));   // a plate that was woken elsewhere asks again in a trace of its own
        Assert.False(slide.SameAs(slide with { Settings = settings with { Labels = ["k"] } }));
        var plate = new PlateRequest { Source = "s", Pattern = "isl", Settings = settings, Output = "o", Weight = 9 };
        Assert.Equivalent(plate, RoundTrip(plate), strict: true);
        Assert.True(plate.SameAs(RoundTrip(plate)));
        Assert.Equal(Blend.Uniform, RoundTrip(settings with { Blend = Blend.Uniform }).Blend);   // an enum's first value, but not what a request has by itself
        Assert.False(plate.SameAs(plate with { Settings = settings with { Stride = 32 } }));
    }

    private static T RoundTrip<T>(T value) => Serializer.Deserialize<T>(Serializer.SerializeToArray(value))!;
}

using StainGrid.Bench;

namespace StainGrid.Grains.Tests;

/// <summary>The simulation behind docs/autoscaling.md keeps its own rules, and its scaler those of Kubernetes and KEDA.</summary>
public sealed class AutoscalingTests
{
    private static readonly WorkloadOptions s_workload = new() { Length = TimeSpan.FromDays(2), Plates = [(24, 1, 0.5), (24, 4, 0.5)], Day = 1.5 };

    /// <summary>The policies that are compared.</summary>
    public static TheoryData<string> Policies => [.. s_policies.Keys];

    private static readonly Dictionary<string, ScalingPolicy> s_policies = new ScalingPolicy[]
    {
        TotalPolicy.Work(120), TotalPolicy.Work(1200), TotalPolicy.Queue(100), TotalPolicy.Queue(400), UsePolicy.Busy(70), UsePolicy.Cpu(70), new FixedPolicy(3),
    }.ToDictionary(policy => policy.Name);

    [Fact]
    public void A_field_of_4600_pixels_is_81_blocks_and_5041_tiles_of_3_125_ms()
    {
        var times = new WorkloadOptions().BlockTimes();

        Assert.Equal(81, times.Length);
        Assert.Equal(TimeSpan.FromMilliseconds(200), times[0]);
        Assert.Equal(TimeSpan.FromTicks(5041 * 31250), Sum(times));
    }

    [Fact]
    public void One_field_alone_goes_through_as_computed_by_hand()
    {
        // Submitted at 100 s, seen by the scrape at 120, wished by the poll at 130, ready at 310, computed in 15.753125 s. The poll at 310 is the last
        // that sees work (of the scrape at 300); at 610, 300 s later, the silo goes.
        var run = ClusterSimulation.Run([new PlateArrival(TimeSpan.FromSeconds(100), 1)], new WorkloadOptions().BlockTimes(), TimeSpan.FromSeconds(1000), TotalPolicy.Work(120), watched: true);

        Assert.Equal(TimeSpan.FromSeconds(325.753125), Assert.Single(run.Plates).Finished);
        Assert.Equal(TimeSpan.FromSeconds(15.753125), run.Busy);
        Assert.Equal(TimeSpan.FromSeconds(480), run.Held);
        Assert.Equal((1, 1, 81L), (run.ColdStarts, run.Peak, run.Blocks));
        Assert.Equal(TimeSpan.FromSeconds(180), run.ShortestStart);
        Assert.Equal([0, 1, 1, 0], ((int[])[120, 150, 600, 630]).Select(second => run.Samples.Single(sample => sample.At.TotalSeconds == second).Gpus));
    }

    [Fact]
    public void Two_devices_share_a_field()
    {
        TimeSpan[] blocks = [.. Enumerable.Repeat(TimeSpan.FromSeconds(1), 8)];
        var run = ClusterSimulation.Run([new PlateArrival(TimeSpan.Zero, 1)], blocks, TimeSpan.FromSeconds(10), new FixedPolicy(2));

        // Eight blocks of a second: four each, in four seconds; both silos are held for the ten.
        Assert.Equal(TimeSpan.FromSeconds(4), run.Plates[0].Finished);
        Assert.Equal(TimeSpan.FromSeconds(8), run.Busy);
        Assert.Equal(TimeSpan.FromSeconds(20), run.Held);
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void All_work_is_done_once_within_the_silos_there_may_be_and_after_their_cold_start(string name)
    {
        var times = s_workload.BlockTimes();
        var options = new ScalerOptions { Most = 6 };
        for (int seed = 1; seed <= 3; seed++)
        {
            var plates = s_workload.Draw(seed);
            var run = ClusterSimulation.Run(plates, times, s_workload.Length, s_policies[name], options, watched: true);
            var seen = options.Scrape * run.Samples.Sum(sample => sample.Gpus);
            var missed = options.Scrape * (run.ColdStarts + run.Peak);   // a silo may begin and end between two looks

            Assert.Equal(plates.Sum(plate => (long)plate.Fields) * times.Length, run.Blocks);
            Assert.Equal(Sum(times) * plates.Sum(plate => plate.Fields), run.Busy);
            Assert.True(run.Held >= run.Busy, $"held {run.Held}, busy {run.Busy}");
            Assert.InRange(run.Held, seen - missed, seen + missed);
            Assert.InRange(run.Peak, 1, options.Most);
            if (name is "work 120 s" or "busy 70 %")
                Assert.Equal(options.Most, run.Peak);   // it went as far as it may
            Assert.True(run.ShortestStart >= TimeSpan.FromMinutes(3), $"a silo computed {run.ShortestStart} after it was wished");
            Assert.Equal(plates.Select(plate => (plate.At, plate.Fields)), run.Plates.Select(plate => (plate.Submitted, plate.Fields)));
            Assert.All(run.Plates, plate => Assert.True(plate.Finished - plate.Submitted >= Sum(times) * plate.Fields / options.Most, $"{plate}"));
        }
    }

    [Theory]
    [MemberData(nameof(Policies))]
    public void A_seed_gives_the_same_run_and_another_seed_another(string name)
    {
        SimulationResult Run(int seed) => ClusterSimulation.Run(s_workload.Draw(seed), s_workload.BlockTimes(), s_workload.Length, s_policies[name]);
        var run = Run(1);

        Assert.Equal(run.Plates, Run(1).Plates);
        Assert.Equal((run.Held, run.Busy, run.ColdStarts), (Run(1).Held, Run(1).Busy, Run(1).ColdStarts));
        Assert.NotEqual(run.Plates, Run(2).Plates);
    }

    [Fact]
    public void Plates_come_at_the_rate_of_their_hour()
    {
        var plates = new WorkloadOptions { Length = TimeSpan.FromDays(700) }.Draw(1);
        bool IsWeekend(PlateArrival plate) => (int)plate.At.TotalDays % 7 >= 5;
        bool IsDay(PlateArrival plate) => plate.At.TotalHours % 24 is >= 8 and < 20;

        // 100 weeks, and four standard deviations of a Poisson count.
        AssertNear(100 * 5 * 12 * 0.6, plates.Count(plate => !IsWeekend(plate) && IsDay(plate)));
        AssertNear(100 * 5 * 12 * 0.1, plates.Count(plate => !IsWeekend(plate) && !IsDay(plate)));
        AssertNear(100 * 2 * 24 * 0.05, plates.Count(IsWeekend));
        AssertNear(plates.Count * 0.1, plates.Count(plate => plate.Fields == 384 * 9));

        static void AssertNear(double expected, int count) => Assert.InRange(count, expected - 4 * Math.Sqrt(expected), expected + 4 * Math.Sqrt(expected));
    }

    [Fact]
    public void A_total_is_divided_by_its_target_rounded_up_within_the_speed_of_scaling_up()
    {
        var scaler = Started(TotalPolicy.Work(100));

        Assert.Equal([5, 10, 16, 16], Sync(scaler, 0, 2000, 2000, 2000, 2000));
    }

    [Fact]
    public void A_tenth_more_or_less_changes_nothing()
    {
        var scaler = Started(TotalPolicy.Work(100));

        Assert.Equal([4, 4, 5], Sync(scaler, 0, 400, 439, 441));
    }

    [Fact]
    public void Fewer_silos_only_when_nothing_asked_for_more_for_300_s()
    {
        var scaler = Started(TotalPolicy.Work(100));

        Assert.Equal([4], Sync(scaler, 0, 400));
        Assert.Equal([.. Enumerable.Repeat(4, 20), 2], Sync(scaler, 15, [.. Enumerable.Repeat(200.0, 21)]));
    }

    [Fact]
    public void Use_scales_in_proportion_and_silos_that_start_count_as_idle()
    {
        var scaler = new Scaler(UsePolicy.Busy(70), new ScalerOptions());
        int Sync(int second, int unready, params double[] shares)
        {
            scaler.Sync(TimeSpan.FromSeconds(second), new Signals(0, 0, shares, unready));
            return scaler.Replicas;
        }

        Assert.Equal(1, scaler.Replicas);                       // it cannot go to zero
        Assert.Equal(2, Sync(0, 0, 1));                         // 1/0.7 = 1.43
        Assert.Equal(2, Sync(15, 1, 1));                        // 1/2/0.7 = 0.71: the direction would turn
        Assert.Equal(3, Sync(30, 0, 1, 1));                     // 2.86
        Assert.Equal(3, Sync(45, 0, 0.7, 0.7, 0.7));
        Assert.Equal(3, Sync(60, 0, 0.1, 0.1, 0.1));            // not yet
        Assert.Equal(3, Sync(400, 2, 1));                       // 1/3/0.7 = 0.48: the direction would turn
        Assert.Equal(1, Sync(800, 0, 0.1, 0.1, 0.1));
    }

    [Fact]
    public void None_to_one_at_a_poll_with_work_and_back_after_300_s_without()
    {
        var scaler = new Scaler(TotalPolicy.Work(100), new ScalerOptions());
        int Poll(int second, double work)
        {
            scaler.Poll(TimeSpan.FromSeconds(second), new Signals(work, 0, [], 0));
            return scaler.Replicas;
        }

        scaler.Sync(TimeSpan.Zero, new Signals(1000, 0, [], 0));
        Assert.Equal(0, scaler.Replicas);                       // the HorizontalPodAutoscaler sleeps at none
        Assert.Equal([0, 1, 1, 1, 0], [Poll(10, 0), Poll(40, 1000), Poll(70, 0), Poll(330, 0), Poll(340, 0)]);
    }

    private static Scaler Started(ScalingPolicy policy)
    {
        var scaler = new Scaler(policy, new ScalerOptions());
        scaler.Poll(TimeSpan.Zero, new Signals(1, 0, [], 0));
        Assert.Equal(1, scaler.Replicas);
        return scaler;
    }

    private static int[] Sync(Scaler scaler, int second, params double[] totals) => [.. totals.Select((total, turn) =>
    {
        scaler.Sync(TimeSpan.FromSeconds(second + 15 * turn), new Signals(total, 0, [], 0));
        return scaler.Replicas;
    })];

    private static TimeSpan Sum(IEnumerable<TimeSpan> times) => times.Aggregate(TimeSpan.Zero, (sum, time) => sum + time);
}

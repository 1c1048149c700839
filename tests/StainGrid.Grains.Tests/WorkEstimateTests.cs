namespace StainGrid.Grains.Tests;

public class WorkEstimateTests
{
    private readonly WorkEstimate work = new();
    private DateTimeOffset now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Before_anything_was_measured_the_guess_is_a_gpu_and_a_slide_of_4600()
    {
        Assert.Equal(64 * WorkEstimate.FirstGuess, work.Seconds("kind", 64));
        work.SetBacklog("plate", 10, now);
        Assert.Equal(10 * WorkEstimate.FieldTiles * WorkEstimate.FirstGuess, work.BacklogSeconds(now), 1e-9);
    }

    [Fact]
    public void A_devices_first_block_of_a_kind_says_nothing_since_its_libraries_start()
    {
        work.Completed("device", "kind", 64, 30);
        Assert.Equal(64 * WorkEstimate.FirstGuess, work.Seconds("kind", 64));
        work.Completed("device", "kind", 64, 4);
        work.Completed("another", "kind", 64, 30);
        work.Completed("another", "kind", 64, 4);
        Assert.Equal(40, work.Seconds("kind", 640), 1e-6);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_time_that_cannot_be_is_left_out(double seconds)
    {
        Complete("kind", 2);
        work.Completed("device", "kind", 64, seconds);
        Assert.Equal(2, work.Seconds("kind", 1), 1e-6);
    }

    [Fact]
    public void Kinds_are_told_apart_and_what_is_new_takes_their_mean()
    {
        Complete("dear", 10);
        Complete("cheap", 1);
        Assert.Equal(10, work.Seconds("dear", 1), 1e-6);
        Assert.Equal(1, work.Seconds("cheap", 1), 1e-6);
        Assert.InRange(work.Seconds("new", 1), 1.5, 9.5);
        Assert.InRange(work.Seconds(null, 1), 1.5, 9.5);
    }

    [Fact]
    public void A_device_that_becomes_slower_is_known_soon()
    {
        Complete("kind", 1);
        Complete("kind", 3);
        Assert.InRange(work.Seconds("kind", 1), 2.5, 3);
    }

    [Fact]
    public void Fields_that_have_not_begun_cost_what_the_plates_others_do()
    {
        Complete("kind", 0.5);
        work.Began("plate", "kind", 100, now);
        work.Began("plate", "kind", 300, now);
        work.SetBacklog("plate", 7, now);
        Assert.Equal(7 * 200 * 0.5, work.BacklogSeconds(now), 1e-6);
        work.SetBacklog("plate", 2, now);
        Assert.Equal(2 * 200 * 0.5, work.BacklogSeconds(now), 1e-6);
        work.Ended("plate");
        Assert.Equal(0, work.BacklogSeconds(now));
    }

    [Fact]
    public void A_plate_that_is_not_heard_of_for_a_minute_has_no_work()
    {
        work.SetBacklog("lost", 7, now);
        Assert.Equal(["lost"], work.Plates(now));
        now += TimeSpan.FromSeconds(40);
        work.SetBacklog("there", 1, now);
        now += TimeSpan.FromSeconds(30);
        Assert.Equal(["there"], work.Plates(now));
        Assert.Equal(WorkEstimate.FieldTiles * WorkEstimate.FirstGuess, work.BacklogSeconds(now), 1e-9);
    }

    [Fact]
    public void A_slide_alone_is_forgotten_too()
    {
        work.Began("slide", "kind", 100, now);
        Assert.Equal(["slide"], work.Plates(now));
        now += TimeSpan.FromMinutes(2);
        Assert.Equal(0, work.BacklogSeconds(now));
        Assert.Empty(work.Plates(DateTimeOffset.MinValue));
    }

    private void Complete(string kind, double secondsPerTile)
    {
        for (int i = 0; i < 41; i++)
            work.Completed("device", kind, 1, secondsPerTile);
    }
}

namespace StainGrid.Grains.Tests;

public class BlockSchedulerTests
{
    private readonly BlockScheduler scheduler = new();
    private DateTimeOffset now = DateTimeOffset.UnixEpoch;

    [Fact]
    public void A_block_is_queued_then_leased_then_done()
    {
        Assert.True(Enqueue("slide", 3));
        Assert.Equal((3, 0, 3), Counts("slide"));

        var leased = Lease("device", "silo", 2);
        Assert.Equal([0, 1], leased.Select(block => block.Block));
        Assert.All(leased, block => Assert.Equal(("slide", 1L, 1, false), (block.SlideId, block.Epoch, block.Attempt, block.Alone)));
        Assert.Equal((1, 2, 3), Counts("slide"));

        Assert.True(scheduler.Complete(leased[0].Lease));
        Assert.False(scheduler.Complete(leased[0].Lease));
        Assert.Equal((1, 1, 2), Counts("slide"));

        Assert.True(scheduler.Complete(leased[1].Lease));
        Assert.True(scheduler.Complete(Assert.Single(Lease("device", "silo", 2)).Lease));
        Assert.Equal((0, 0, 0), Counts("slide"));
        Assert.Empty(Lease("device", "silo", 2));
    }

    [Fact]
    public void What_there_is_of_each_plate_adds_up()
    {
        Enqueue("first", 4, "one");
        Enqueue("second", 3, "one");
        Enqueue("third", 2, "two");
        Lease("device", "silo", 2);
        now += TimeSpan.FromSeconds(5);
        var later = Lease("device", "silo", 3);
        now += TimeSpan.FromSeconds(2);
        var plates = scheduler.Plates(now).OrderBy(plate => plate.PlateId).ToList();
        Assert.Equal(["one", "two"], plates.Select(plate => plate.PlateId));
        Assert.Equal((9 - 5, 5), (plates.Sum(plate => plate.Queued), plates.Sum(plate => plate.Leased)));
        Assert.Equal(TimeSpan.FromSeconds(7), plates.Max(plate => plate.OldestLease));
        Assert.All(later, block => Assert.True(scheduler.Complete(block.Lease, out var done) && done == new CompletedBlock(block.SlideId, block.Block, "device")));
        Assert.Equal((4, 2), (scheduler.Plates(now).Sum(plate => plate.Queued), scheduler.Plates(now).Sum(plate => plate.Leased)));
        foreach (string slide in (string[])["first", "second", "third"])
            scheduler.Remove(slide);
        Assert.Empty(scheduler.Plates(now));
    }

    [Fact]
    public void Nothing_is_leased_to_a_device_that_asks_for_nothing()
    {
        Enqueue("slide", 1);
        Assert.Empty(Lease("device", "silo", 0));
        Assert.Equal((1, 0, 1), Counts("slide"));
    }

    [Fact]
    public void Slides_of_a_plate_are_served_first_come_first_served()
    {
        Enqueue("first", 2);
        Enqueue("second", 2);
        Assert.Equal(["first", "first", "second", "second"], Lease("device", "silo", 9).Select(block => block.SlideId));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(64)]
    public void A_small_plate_gets_as_many_leases_as_one_ten_times_larger(int count)
    {
        Enqueue("large", 1000, "large");
        Enqueue("small", 100, "small");
        var served = Serve(200, count);
        for (int taken = 1; taken <= served.Count; taken++)
        {
            int small = served.Take(taken).Count(slide => slide == "small");
            Assert.InRange(2 * small - taken, -1, 1);
        }

        Assert.All(Serve(900, count), slide => Assert.Equal("large", slide));
    }

    [Fact]
    public void A_plate_that_comes_later_gets_its_share_but_not_what_it_missed()
    {
        Enqueue("large", 1000, "large");
        Serve(400);
        Enqueue("late", 100, "late");
        for (int pair = 0; pair < 100; pair++)
            Assert.Equal(["large", "late"], Serve(2).Order());
    }

    [Fact]
    public void Weights_of_three_to_one_give_leases_of_three_to_one()
    {
        Enqueue("heavy", 900, "heavy", weight: 3);
        Enqueue("light", 900, "light");
        var served = Serve(1200);
        for (int taken = 1; taken <= served.Count; taken++)
        {
            double heavy = served.Take(taken).Count(slide => slide == "heavy");
            Assert.InRange(heavy - 0.75 * taken, -1.5, 1.5);
        }

        Assert.Equal(900, served.Count(slide => slide == "heavy"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_plate_whose_slides_come_one_block_at_a_time_is_neither_starved_nor_favoured(bool removed)
    {
        Enqueue("large", 1000, "large");
        int drops = 0, slides = 0;
        for (int step = 0; step < 600; step++)
        {
            // As soon as its block is done the plate's next slide comes.
            if (slides == drops)
                Enqueue($"drop {slides++}", 1, "drops");
            var block = Assert.Single(Lease("device", "silo", 1));
            scheduler.Complete(block.Lease);
            if (block.SlideId == "large")
                continue;
            drops++;
            if (removed)
                scheduler.Remove(block.SlideId);
        }

        Assert.InRange(drops, 299, 301);
    }

    [Fact]
    public void A_plate_that_paused_gets_nothing_for_the_time_it_had_no_work()
    {
        Enqueue("large", 1000, "large");
        Enqueue("drop 0", 1, "drops");
        Serve(101);
        Enqueue("drop 1", 50, "drops");
        Assert.InRange(Serve(40).Count(slide => slide == "drop 1"), 19, 21);
    }

    [Fact]
    public void A_higher_epoch_replaces_the_slide_and_ends_its_leases()
    {
        Enqueue("slide", 3);
        long old = Lease("device", "silo", 1)[0].Lease;
        Assert.True(Enqueue("slide", 2, epoch: 2));
        Assert.Equal(0, scheduler.Pending("slide", 1));
        Assert.Equal(2, scheduler.Pending("slide", 2));
        Assert.Equal((2L, 0L), (scheduler.QueuedBlocks, scheduler.LeasedBlocks));
        Assert.Equal([old], scheduler.Renew("device", [old], now));
        Assert.False(scheduler.Complete(old));
        Assert.Empty(scheduler.Return(old, "late", now));
        Assert.Equal([(2L, 0), (2L, 1)], Lease("device", "silo", 9).Select(block => (block.Epoch, block.Block)));
    }

    [Fact]
    public void A_lower_epoch_queues_nothing()
    {
        Enqueue("slide", 1, epoch: 2);
        Assert.False(Enqueue("slide", 9, epoch: 1));
        Assert.Equal(1, scheduler.Pending("slide", 2));
        Assert.Equal(0, scheduler.Pending("slide", 1));
        Assert.Single(Lease("device", "silo", 9));
    }

    [Fact]
    public void A_higher_epoch_forgets_troubles_and_quarantine()
    {
        Enqueue("slide", 1);
        Quarantine("silo");
        Enqueue("slide", 1, epoch: 2);
        var block = Assert.Single(Lease("device", "silo", 9));
        Assert.Equal((2L, 1, false), (block.Epoch, block.Attempt, block.Alone));
    }

    [Fact]
    public void Queueing_the_same_epoch_again_changes_nothing_of_what_waits_is_computed_or_is_given_up()
    {
        Enqueue("slide", 1);
        Quarantine("silo");   // block 0
        Enqueue("slide", 2);
        Fail(Assert.Single(Lease("device", "silo", 9)));   // block 1 is suspect
        Enqueue("slide", 3);
        var leased = Assert.Single(Lease("device", "silo", 9));   // block 2
        Enqueue("slide", 4);   // block 3 waits
        for (int again = 0; again < 3; again++)
        {
            Assert.True(Enqueue("slide", 4));
            Assert.Equal((2, 1, 3), Counts("slide"));
        }

        Assert.Equal([], scheduler.Renew("device", [leased.Lease], now));
        Assert.Equal(3, Assert.Single(Lease("device", "silo", 9)).Block);
    }

    [Fact]
    public void A_removed_slide_leaves_nothing()
    {
        Enqueue("slide", 3);
        Enqueue("other", 1);
        Fail(Lease("device", "silo", 1)[0]);
        long lease = Lease("device", "silo", 1)[0].Lease;
        scheduler.Remove("slide");
        scheduler.Remove("slide");
        Assert.Equal((1L, 0L), (scheduler.QueuedBlocks, scheduler.LeasedBlocks));
        Assert.False(scheduler.Complete(lease));
        now += TimeSpan.FromMinutes(5);
        Assert.Empty(scheduler.Expire(now));
        Assert.Equal("other", Assert.Single(Lease("device", "silo", 9)).SlideId);
    }

    [Fact]
    public void A_slide_that_is_removed_frees_the_silo_that_was_drained_for_it()
    {
        SuspectAndBusySilo();
        Assert.Empty(Lease("device", "silo", 1));   // drains
        scheduler.Remove("poison");
        Assert.Single(Lease("device", "silo", 1));
    }

    [Fact]
    public void A_removed_slide_that_ran_alone_frees_its_silo()
    {
        Enqueue("poison", 1);
        Enqueue("other", 1);
        Fail(Lease("device", "silo", 1)[0]);
        Wait(0.5);
        Assert.True(Lease("device", "silo", 1)[0].Alone);
        scheduler.Remove("poison");
        Assert.Equal("other", Assert.Single(Lease("device", "silo", 1)).SlideId);
    }

    [Fact]
    public void Nothing_is_kept_of_plates_devices_and_silos_that_were()
    {
        Enqueue("large", 1000, "large");
        var names = Enumerable.Range(0, 100).SelectMany(RunPlate).ToArray();
        Serve(3);
        Wait(60);
        scheduler.Expire(now);
        GC.Collect();
        Assert.Equal(0, names.Count(name => name.IsAlive));
        GC.KeepAlive(scheduler);

        WeakReference[] RunPlate(int plate)
        {
            string[] names = [$"slide {plate}", $"plate {plate}", $"device {plate}", $"silo {plate}"];
            Enqueue(names[0], 1, names[1]);
            foreach (var block in Lease(names[2], names[3], 2))
                scheduler.Complete(block.Lease);
            scheduler.Remove(names[0]);
            Wait(1);
            scheduler.Expire(now);
            return [.. names.Select(name => new WeakReference(name))];
        }
    }

    [Fact]
    public void A_lease_that_is_not_renewed_ends_after_its_time()
    {
        Enqueue("slide", 2);
        var leased = Lease("device", "silo", 2);
        Wait(30);
        Assert.Empty(scheduler.Renew("device", [leased[0].Lease], now));
        Wait(29);
        Assert.Empty(scheduler.Expire(now));
        Wait(1);
        var failure = Assert.Single(scheduler.Expire(now));
        Assert.Equal(("slide", 1L, 1, 1, false), (failure.SlideId, failure.Epoch, failure.Block, failure.Attempts, failure.Quarantined));
        Assert.Contains("device", failure.Reason, StringComparison.Ordinal);
        Assert.Equal(TimeSpan.FromSeconds(60), failure.Wasted);
        Assert.Equal([leased[1].Lease], scheduler.Renew("device", [.. leased.Select(block => block.Lease)], now));
        Assert.False(scheduler.Complete(leased[1].Lease));
        Assert.Equal((1, 1, 2), Counts("slide"));
    }

    [Fact]
    public void A_lease_lasts_as_long_as_was_asked_for()
    {
        var quick = new BlockScheduler(TimeSpan.FromSeconds(2));
        quick.Enqueue("slide", "plate", 1, 1, [0]);
        quick.Lease("device", "silo", 1, now);
        Assert.Empty(quick.Expire(now + TimeSpan.FromSeconds(1.9)));
        Assert.Single(quick.Expire(now + TimeSpan.FromSeconds(2)));
    }

    [Fact]
    public void A_device_cannot_renew_what_another_computes()
    {
        Enqueue("slide", 1);
        long lease = Lease("device", "silo", 1)[0].Lease;
        Wait(59);
        Assert.Equal([lease], scheduler.Renew("another", [lease], now));
        Wait(1);
        Assert.Single(scheduler.Expire(now));
    }

    [Fact]
    public void Devices_are_counted_while_they_are_heard_of()
    {
        Lease("one", "silo", 1);
        Wait(10);
        scheduler.Renew("two", [], now);
        Assert.Equal(2, scheduler.Devices(now));
        Wait(5);
        Assert.Equal(1, scheduler.Devices(now));
    }

    [Fact]
    public void A_lost_silo_gives_back_its_blocks_and_no_others()
    {
        Enqueue("slide", 5);
        var lost = Lease("one", "dies", 1).Concat(Lease("two", "dies", 2)).ToArray();
        var kept = Assert.Single(Lease("three", "lives", 1));
        Assert.Equal(["dies", "lives"], scheduler.SilosWithLeases().Order());
        Wait(7);
        var failures = scheduler.LoseSilo("dies", now);
        Assert.Equal(lost.Select(block => block.Block), failures.Select(failure => failure.Block).Order());
        Assert.All(failures, failure => Assert.Equal((1, false, TimeSpan.FromSeconds(7)), (failure.Attempts, failure.Quarantined, failure.Wasted)));
        Assert.Equal(["lives"], scheduler.SilosWithLeases());
        Assert.Empty(scheduler.LoseSilo("dies", now));
        Assert.Equal((4, 1, 5), Counts("slide"));
        Assert.True(scheduler.Complete(kept.Lease));
        Assert.All(lost, block => Assert.False(scheduler.Complete(block.Lease)));
    }

    [Fact]
    public void Handed_back_blocks_come_first_without_blame()
    {
        Enqueue("slide", 4);
        Enqueue("next", 1);
        var stopped = Lease("stops", "silo", 2);
        foreach (var block in stopped)
            Assert.Empty(scheduler.Return(block.Lease, null, now));
        Assert.Equal((5L, 0L), (scheduler.QueuedBlocks, scheduler.LeasedBlocks));
        var again = Lease("device", "silo", 9);
        Assert.Equal([0, 1], again.Take(2).Select(block => block.Block).Order());
        Assert.Equal([2, 3, 0], again.Skip(2).Select(block => block.Block));
        Assert.All(again, block => Assert.Equal((1, false), (block.Attempt, block.Alone)));
    }

    [Fact]
    public void Handed_back_blocks_come_before_other_slides()
    {
        Enqueue("first", 1);
        Enqueue("second", 2);
        var stopped = Lease("stops", "silo", 1)[0];
        scheduler.Return(stopped.Lease, null, now);
        Assert.Equal("first", Lease("device", "silo", 1)[0].SlideId);

        // Also where more of their slide was queued meanwhile, behind the others.
        stopped = Lease("stops", "silo", 1)[0];
        Assert.Equal("second", stopped.SlideId);
        Lease("device", "silo", 1);
        Enqueue("third", 1);
        Enqueue("second", 3);
        scheduler.Return(stopped.Lease, null, now);
        Assert.Equal(("second", stopped.Block), Lease("device", "silo", 1).Select(block => (block.SlideId, block.Block)).Single());
    }

    [Fact]
    public void A_suspect_that_is_handed_back_stays_alone_without_blame()
    {
        Enqueue("slide", 1);
        Fail(Lease("device", "silo", 1)[0]);
        Wait(1);
        for (int stop = 0; stop < 9; stop++)
        {
            var alone = Assert.Single(Lease("device", "silo", 1));
            Assert.Equal((2, true), (alone.Attempt, alone.Alone));
            Assert.Empty(scheduler.Return(alone.Lease, null, now));
        }
    }

    [Fact]
    public void A_failed_block_waits_twice_as_long_each_time()
    {
        for (int epoch = 1; epoch <= 2; epoch++)
        {
            Enqueue("slide", 1, epoch: epoch);
            var wait = TimeSpan.FromSeconds(0.5);
            for (int attempt = 1; attempt <= 3; attempt++, wait *= 2)
            {
                var block = Assert.Single(Lease("device", "silo", 1));
                Assert.Equal((attempt, attempt > 1), (block.Attempt, block.Alone));
                Fail(block);
                now += wait - TimeSpan.FromTicks(1);
                Assert.Empty(Lease("device", "silo", 1));
                now += TimeSpan.FromTicks(1);
            }
        }
    }

    [Fact]
    public void While_a_block_waits_for_its_next_attempt_others_go_on()
    {
        Enqueue("slide", 3);
        Fail(Lease("device", "silo", 1)[0]);
        Assert.Equal([1, 2], Lease("device", "silo", 9).Select(block => block.Block));
    }

    [Fact]
    public void A_suspect_runs_alone_on_its_silo()
    {
        Enqueue("slide", 9);
        Fail(Lease("device", "silo", 1)[0]);
        Wait(0.5);
        var alone = Assert.Single(Lease("device", "silo", 9));
        Assert.Equal((0, 2, true), (alone.Block, alone.Attempt, alone.Alone));
        Assert.Empty(Lease("device", "silo", 9));
        Assert.Empty(Lease("its neighbour", "silo", 9));
        Assert.Equal(4, Lease("elsewhere", "other silo", 4).Count);
        Assert.True(scheduler.Complete(alone.Lease));
        Assert.Equal(4, Lease("its neighbour", "silo", 9).Count);
    }

    [Fact]
    public void A_silo_is_emptied_before_a_suspect_runs_on_it()
    {
        var busy = SuspectAndBusySilo();
        Assert.Empty(Lease("device", "silo", 1));
        Assert.Empty(Lease("its neighbour", "silo", 1));
        Assert.True(scheduler.Complete(busy.Lease));
        Assert.True(Assert.Single(Lease("its neighbour", "silo", 1)).Alone);
    }

    [Fact]
    public void Draining_a_silo_leaves_another_one_working()
    {
        Enqueue("poison", 2);
        Enqueue("other", 100);
        foreach (var block in Lease("device", "silo", 2))
            Fail(block);
        Lease("device", "silo", 1);
        var busy = Lease("elsewhere", "other silo", 1)[0];
        Wait(1);
        Assert.Empty(Lease("device", "silo", 1));   // drains for the first
        Assert.Equal("other", Assert.Single(Lease("elsewhere", "other silo", 1)).SlideId);   // the second waits
        Assert.True(scheduler.Complete(busy.Lease));
        Assert.Equal("other", Assert.Single(Lease("elsewhere", "other silo", 1)).SlideId);
    }

    [Fact]
    public void A_silo_that_computes_a_suspect_for_long_still_counts_as_taken()
    {
        Enqueue("poison", 2);
        Enqueue("other", 100);
        foreach (var block in Lease("device", "silo", 2))
            Fail(block);
        Lease("elsewhere", "other silo", 1);
        Wait(1);
        var alone = Assert.Single(Lease("device", "silo", 1));
        Assert.True(alone.Alone);

        // Devices do not ask while they compute: they renew.
        Wait(20);
        Assert.Empty(scheduler.Renew("device", [alone.Lease], now));
        Assert.Empty(scheduler.Expire(now));
        Assert.Equal("other", Assert.Single(Lease("elsewhere", "other silo", 1)).SlideId);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_drained_silo_that_vanishes_gives_the_suspect_free(bool computing)
    {
        var busy = SuspectAndBusySilo(elsewhere: true);
        Assert.Empty(Lease("device", "silo", 1));   // drains, but never asks again
        if (!computing)
            scheduler.Complete(busy.Lease);
        Wait(computing ? 58 : 14);
        Assert.Empty(scheduler.Expire(now));
        Assert.False(Assert.Single(Lease("elsewhere", "other silo", 1)).Alone);
        Wait(1);
        Assert.Equal(computing ? 2 : 0, scheduler.Expire(now).Count);
        Wait(1);
        Assert.Empty(scheduler.Expire(now));
        Assert.Empty(Lease("elsewhere", "other silo", 1));   // drains now
    }

    [Fact]
    public void A_drained_silo_that_dies_gives_the_suspect_free()
    {
        SuspectAndBusySilo();
        Assert.Empty(Lease("device", "silo", 1));   // drains
        var other = Assert.Single(Lease("elsewhere", "other silo", 1));
        Assert.False(other.Alone);
        scheduler.Complete(other.Lease);
        Assert.Single(scheduler.LoseSilo("silo", now));
        var alone = Assert.Single(Lease("elsewhere", "other silo", 1));
        Assert.Equal(("poison", true), (alone.SlideId, alone.Alone));
    }

    [Theory]
    [InlineData("error")]
    [InlineData("lost silo")]
    [InlineData("expiry")]
    public void Exactly_three_lone_failures_quarantine(string cause)
    {
        Enqueue("slide", 1);
        for (int attempt = 1; attempt <= 4; attempt++)
        {
            var block = Assert.Single(Lease("device", "silo", 9));
            Assert.Equal((attempt, attempt > 1), (block.Attempt, block.Alone));
            Wait(cause == "expiry" ? 60 : 3);
            var failure = Assert.Single(cause switch
            {
                "error" => scheduler.Return(block.Lease, "broken", now),
                "lost silo" => scheduler.LoseSilo("silo", now),
                _ => scheduler.Expire(now),
            });
            Assert.Equal((attempt, attempt == 4), (failure.Attempts, failure.Quarantined));
            Assert.Equal(TimeSpan.FromSeconds(cause == "expiry" ? 60 : 3), failure.Wasted);
            Assert.Equal((attempt == 4 ? 0 : 1, 0, attempt == 4 ? 0 : 1), Counts("slide"));
            Wait(30);
        }

        Assert.Empty(Lease("device", "silo", 9));
    }

    [Fact]
    public void Innocents_that_died_beside_a_poison_block_go_free()
    {
        const int Poison = 3;
        Enqueue("slide", 8);
        int losses = 0;
        var done = new List<int>();
        BlockFailure? quarantined = null;
        for (int step = 0; step < 100; step++)
        {
            Wait(30);
            scheduler.Expire(now);
            var leased = Lease("device", "silo", 8);
            if (leased.Any(block => block.Block == Poison))
            {
                losses++;
                quarantined ??= scheduler.LoseSilo("silo", now).SingleOrDefault(failure => failure.Quarantined);
                continue;
            }

            foreach (var block in leased)
            {
                Assert.True(scheduler.Complete(block.Lease));
                done.Add(block.Block);
            }
        }

        Assert.Equal(1 + BlockScheduler.LoneAttempts, losses);
        Assert.Equal(Poison, quarantined!.Block);
        Assert.Equal([0, 1, 2, 4, 5, 6, 7], done.Order());
        Assert.Equal((0, 0, 0), Counts("slide"));

        // What was done alone is trusted again.
        Enqueue("slide", 3);
        Assert.All(Lease("device", "silo", 9), block => Assert.Equal((1, false), (block.Attempt, block.Alone)));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Random_operations_lose_no_block_and_lease_none_twice(int seed) => new Model(seed).Run(3000);

    public static TheoryData<int> Seeds() => [.. Enumerable.Range(1, 20)];

    private bool Enqueue(string slide, int count, string plate = "plate", int weight = 1, long epoch = 1) =>
        scheduler.Enqueue(slide, plate, weight, epoch, Enumerable.Range(0, count));

    private IReadOnlyList<ScheduledBlock> Lease(string device, string silo, int count) => scheduler.Lease(device, silo, count, now);

    private void Fail(ScheduledBlock block) => Assert.Single(scheduler.Return(block.Lease, "broken", now));

    private void Wait(double seconds) => now += TimeSpan.FromSeconds(seconds);

    private (long Queued, long Leased, int Pending) Counts(string slide) => (scheduler.QueuedBlocks, scheduler.LeasedBlocks, scheduler.Pending(slide, 1));

    // The slides of the next blocks, leased so many at a time and computed at once.
    private List<string> Serve(int blocks, int count = 1)
    {
        var served = new List<string>();
        while (served.Count < blocks)
        {
            var leased = Lease("device", "silo", Math.Min(count, blocks - served.Count));
            Assert.NotEmpty(leased);
            served.AddRange(leased.Select(block => block.SlideId));
            Assert.All(leased, block => Assert.True(scheduler.Complete(block.Lease)));
        }

        return served;
    }

    private void Quarantine(string silo)
    {
        for (int attempt = 0; attempt <= BlockScheduler.LoneAttempts; attempt++, Wait(30))
            Fail(Assert.Single(Lease("device", silo, 1)));
    }

    // A suspect whose back-off is over, and the block that its silo computes besides.
    private ScheduledBlock SuspectAndBusySilo(bool elsewhere = false)
    {
        Enqueue("poison", 1);
        Enqueue("other", 100);
        Fail(Lease("device", "silo", 1)[0]);
        var busy = Lease("device", "silo", 1)[0];
        if (elsewhere)
            Assert.Single(Lease("elsewhere", "other silo", 1));
        Wait(1);
        return busy;
    }

    // What the scheduler promises, kept in the plainest way, beside the scheduler under random operations.
    private sealed class Model(int seed)
    {
        private readonly Random random = new(seed);
        private readonly BlockScheduler scheduler = new();
        private readonly Dictionary<string, (long Epoch, Dictionary<int, Block> Blocks)> slides = [];
        private readonly Dictionary<long, Leased> leases = [];
        private readonly List<long> everyLease = [];
        private DateTimeOffset now = DateTimeOffset.UnixEpoch;

        private enum State
        {
            Queued,
            Suspect,
            Leased,
            Done,
            Quarantined,
        }

        private IEnumerable<Block> Blocks => slides.Values.SelectMany(slide => slide.Blocks.Values);

        public void Run(int operations)
        {
            for (int operation = 0; operation < operations; operation++)
            {
                switch (random.Next(100))
                {
                    case < 12:
                        Enqueue();
                        break;
                    case < 13:
                        Remove();
                        break;
                    case < 55:
                        Lease();
                        break;
                    case < 75:
                        Complete();
                        break;
                    case < 83:
                        Return();
                        break;
                    case < 90:
                        Renew();
                        break;
                    case < 98:
                        now += TimeSpan.FromSeconds(random.NextDouble() * 8);
                        CheckFailures(leases.Where(lease => lease.Value.Expires <= now), () => scheduler.Expire(now));
                        break;
                    default:
                        string silo = Silo(random.Next(12));
                        CheckFailures(leases.Where(lease => lease.Value.Silo == silo), () => scheduler.LoseSilo(silo, now));
                        break;
                }

                CheckCounts();
            }

            Finish();
        }

        private static string Silo(int device) => $"silo {device / 4}";

        private void Enqueue()
        {
            string id = $"slide {random.Next(8)}";
            long epoch = slides.TryGetValue(id, out var slide) ? slide.Epoch + (random.Next(20) switch { 0 => 1, 1 => -1, _ => 0 }) : random.Next(1, 5);
            int[] blocks = [.. Enumerable.Range(0, random.Next(1, 9)).Select(_ => random.Next(40))];
            bool taken = scheduler.Enqueue(id, $"plate {id[^1] % 3}", 1 + id[^1] % 3, epoch, blocks);
            Assert.Equal(slide.Blocks is null || epoch >= slide.Epoch, taken);
            if (!taken)
                return;
            if (slide.Blocks is null || epoch > slide.Epoch)
            {
                Forget(id);
                slides[id] = slide = (epoch, []);
            }

            foreach (int block in blocks)
            {
                if (!slide.Blocks.TryGetValue(block, out var known) || known.State == State.Done)
                    slide.Blocks[block] = new Block();
            }
        }

        private void Remove()
        {
            string id = $"slide {random.Next(8)}";
            scheduler.Remove(id);
            Forget(id);
        }

        private void Forget(string id)
        {
            if (!slides.Remove(id, out var slide))
                return;
            foreach (long lease in leases.Where(lease => slide.Blocks.ContainsValue(lease.Value.Block)).Select(lease => lease.Key).ToArray())
                leases.Remove(lease);
        }

        private void Lease() => Lease(random.Next(12), random.Next(5));

        private void Lease(int number, int count)
        {
            string device = $"device {number}", silo = Silo(number);
            var beside = leases.Values.Where(lease => lease.Silo == silo).ToArray();
            bool alone = beside.Any(lease => lease.Alone);
            bool suspects = Blocks.Any(block => block.State == State.Suspect && block.NotBefore <= now);
            long queued = Blocks.Count(block => block.State == State.Queued);
            var granted = scheduler.Lease(device, silo, count, now);
            Assert.True(granted.Count <= count);
            if (alone)
                Assert.Empty(granted);
            else if (!suspects)
                Assert.Equal(Math.Min(count, queued), granted.Count);
            else if (beside.Length == 0 && count > 0 && queued > 0)
                Assert.NotEmpty(granted);
            foreach (var block in granted)
            {
                var known = slides[block.SlideId].Blocks[block.Block];
                Assert.Equal(slides[block.SlideId].Epoch, block.Epoch);
                Assert.Equal(known.Attempts + 1, block.Attempt);
                Assert.Equal(block.Alone ? State.Suspect : State.Queued, known.State);
                Assert.True(known.NotBefore <= now);
                if (block.Alone)
                    Assert.True(beside.Length == 0 && granted.Count == 1);
                known.State = State.Leased;
                Assert.True(everyLease.Count == 0 || block.Lease > everyLease[^1]);
                everyLease.Add(block.Lease);
                leases[block.Lease] = new Leased(block, known, device, silo, block.Alone, now) { Expires = now + TimeSpan.FromSeconds(60) };
            }
        }

        private void Complete()
        {
            long id = SomeLease();
            bool valid = leases.Remove(id, out var lease);
            Assert.Equal(valid, scheduler.Complete(id));
            if (lease is not null)
                lease.Block.State = State.Done;
        }

        private void Return()
        {
            long id = SomeLease();
            if (random.Next(2) == 0)
            {
                CheckFailures(leases.Where(lease => lease.Key == id), () => scheduler.Return(id, "broken", now));
                return;
            }

            Assert.Empty(scheduler.Return(id, null, now));
            if (leases.Remove(id, out var lease))
                lease.Block.State = lease.Alone ? State.Suspect : State.Queued;
        }

        private void Renew()
        {
            string device = $"device {random.Next(12)}";
            long[] ids = [.. everyLease.TakeLast(60)];
            Assert.Equal(ids.Where(id => leases.GetValueOrDefault(id)?.Device != device), scheduler.Renew(device, ids, now));
            foreach (var lease in ids.Select(id => leases.GetValueOrDefault(id)).Where(lease => lease?.Device == device))
                lease!.Expires = now + TimeSpan.FromSeconds(60);
        }

        // Mostly a recent one, valid or not.
        private long SomeLease() => everyLease.Count == 0 ? 1 : everyLease[^random.Next(1, Math.Min(everyLease.Count, 25) + 1)];

        private void CheckFailures(IEnumerable<KeyValuePair<long, Leased>> ended, Func<IReadOnlyList<BlockFailure>> operation)
        {
            var expected = new List<(string, long, int, int, bool, TimeSpan)>();
            foreach (var (id, lease) in ended.ToArray())
            {
                leases.Remove(id);
                var block = lease.Block;
                block.Attempts++;
                block.LoneFailures += lease.Alone ? 1 : 0;
                block.State = block.LoneFailures == 3 ? State.Quarantined : State.Suspect;
                block.NotBefore = now + TimeSpan.FromSeconds(Math.Min(30, 0.5 * Math.Pow(2, block.Attempts - 1)));
                expected.Add((lease.Granted.SlideId, lease.Granted.Epoch, lease.Granted.Block, block.Attempts, block.State == State.Quarantined, now - lease.At));
            }

            var failures = operation().Select(failure => (failure.SlideId, failure.Epoch, failure.Block, failure.Attempts, failure.Quarantined, failure.Wasted));
            Assert.Equal(expected.Order(), failures.Order());
        }

        private void CheckCounts()
        {
            foreach (var (id, slide) in slides)
            {
                Assert.Equal(slide.Blocks.Values.Count(block => block.State <= State.Leased), scheduler.Pending(id, slide.Epoch));
                Assert.Equal(0, scheduler.Pending(id, slide.Epoch + 1));
            }

            Assert.Equal(Blocks.Count(block => block.State <= State.Suspect), scheduler.QueuedBlocks);
            Assert.Equal(Blocks.Count(block => block.State == State.Leased), leases.Count);
            Assert.Equal(leases.Count, scheduler.LeasedBlocks);
            Assert.Equal(leases.Count, leases.Values.Select(lease => (lease.Granted.SlideId, lease.Granted.Epoch, lease.Granted.Block)).Distinct().Count());
            var bySilo = leases.Values.ToLookup(lease => lease.Silo);
            Assert.Equal(bySilo.Select(silo => silo.Key).Order(), scheduler.SilosWithLeases().Order());
            Assert.All(bySilo, silo => Assert.True(silo.Count() == 1 || !silo.Any(lease => lease.Alone), $"{silo.Key} computes beside a suspect."));
        }

        // Everything that still waits is given out and computed: no block is stuck.
        private void Finish()
        {
            for (int round = 0; Blocks.Any(block => block.State <= State.Leased); round++)
            {
                Assert.True(round < 2000, $"{scheduler.QueuedBlocks} blocks are stuck.");
                foreach (long id in leases.Keys.ToArray())
                {
                    Assert.True(scheduler.Complete(id));
                    leases.Remove(id, out var lease);
                    lease!.Block.State = State.Done;
                }

                now += TimeSpan.FromSeconds(1);
                Assert.Empty(scheduler.Expire(now));
                for (int device = 0; device < 12; device++)
                    Lease(device, 2);
                CheckCounts();
            }
        }

        private sealed class Block
        {
            public State State { get; set; }

            public int Attempts { get; set; }

            public int LoneFailures { get; set; }

            public DateTimeOffset NotBefore { get; set; }
        }

        private sealed record Leased(ScheduledBlock Granted, Block Block, string Device, string Silo, bool Alone, DateTimeOffset At)
        {
            public DateTimeOffset Expires { get; set; }
        }
    }
}

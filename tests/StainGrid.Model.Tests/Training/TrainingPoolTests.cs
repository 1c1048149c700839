using StainGrid.Imaging;

namespace StainGrid.Model.Tests.Training;

public sealed class TrainingPoolTests
{
    [Fact]
    public void All_fields_stay_where_they_fit_and_are_read_once()
    {
        var read = new List<int>();
        var pool = new TrainingPool(Sources(read, 10, 20, 30), 60, 1);
        Assert.True(pool.HoldsAll);
        for (int step = 0; step < 3000; step += 100)
            Assert.Equal(["0", "1", "2"], pool.At(step).Select(Number));
        Assert.Equal([0, 1, 2], read);
    }

    [Fact]
    public void Fields_have_the_weight_of_their_source()
    {
        var sources = Sources([], 10, 20);
        sources[1] = sources[1] with { Weight = 2.5 };
        Assert.Equal([1, 2.5], new TrainingPool(sources, 100, 1).At(0).Select(field => field.Weight));
    }

    [Fact]
    public void Where_not_all_fit_each_has_its_turn_and_memory_is_never_exceeded()
    {
        long[] sizes = [50, 10, 30, 40, 25, 5];
        var read = new List<int>();
        var sources = Sources(read, sizes);
        var pool = new TrainingPool(sources, 60, 3);
        Assert.False(pool.HoldsAll);
        var rounds = new List<string>();
        for (int round = 0; round < 30; round++)
        {
            var first = pool.At(round * TrainingPool.RoundSteps);
            Assert.InRange(first.Sum(field => sizes[int.Parse(Number(field))]), 1, 60);
            int before = read.Count;
            Assert.Equal(first, pool.At((round + 1) * TrainingPool.RoundSteps - 1));
            Assert.Equal(before, read.Count);
            rounds.Add(string.Join(' ', first.Select(Number)));
        }

        Assert.Equal(sizes.Length, rounds.SelectMany(round => round.Split(' ')).Distinct().Count());
        Assert.True(rounds.Distinct().Count() > 5, "Rounds differ.");

        // Seed and step alone tell which, not what was there before.
        Assert.Equal(rounds[17], string.Join(' ', new TrainingPool(sources, 60, 3).At(17 * TrainingPool.RoundSteps + 5).Select(Number)));
        Assert.NotEqual(rounds, Enumerable.Range(0, 30).Select(round => string.Join(' ', new TrainingPool(sources, 60, 4).At(round * TrainingPool.RoundSteps).Select(Number))));
    }

    [Fact]
    public void A_field_that_stays_is_not_read_again()
    {
        var read = new List<int>();
        var pool = new TrainingPool(Sources(read, 50, 10, 10), 60, 3);
        string before = "";
        for (int round = 0; round < 10; round++)
        {
            read.Clear();
            string[] now = [.. pool.At(round * TrainingPool.RoundSteps).Select(Number)];
            Assert.Equal(now.Except(before.Split(' ')), read.Order().Select(number => $"{number}"));
            before = string.Join(' ', now);
        }
    }

    [Fact]
    public void A_field_that_is_larger_than_the_memory_is_refused()
    {
        var error = Assert.Throws<ImageException>(() => new TrainingPool(Sources([], 10, 3_100_000_000), 2_000_000_000, 1));
        Assert.Equal("1 takes 3.1 GB of memory, and 2.0 GB are allowed. Allow more (--memory), or give a part of the field.", error.Message);
    }

    private static string Number(TrainingField field) => field.Name;

    private static TrainingSource[] Sources(List<int> read, params long[] sizes) => [.. sizes.Select((bytes, number) => new TrainingSource($"{number}", bytes, 1, () =>
    {
        read.Add(number);
        using var light = new FunctionImage(128, 128, 1, PixelType.UInt8, (_, x, y) => x + y);
        return TrainingField.Read($"{number}", light, new Dictionary<string, IPlaneImage>(), TrainingFiles.Labels, new NormalisationRule(), new Tiling.Region(0, 0, 128, 128));
    }))];
}

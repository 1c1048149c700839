using StainGrid.Imaging;
using StainGrid.TestSupport;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests.Data;

public class DataSplitsTests
{
    private static readonly PairedField[] Fields =
        [PairedFiles.Field(1, "B", "A4"), PairedFiles.Field(2, "B", "A4"), PairedFiles.Field(1, "B", "A5"), PairedFiles.Field(1, "C", "A4"), PairedFiles.Field(1, "C", "A6")];

    [Fact]
    public void Fields_of_a_well_are_on_one_side()
    {
        var split = DataSplits.ByWell(Fields, ["b/a4"], ["A6"]);
        Assert.Equal([Fields[0], Fields[1]], split.Test.Select(part => part.Field));
        Assert.Equal([Fields[4]], split.Validation.Select(part => part.Field));
        Assert.Equal([Fields[2], Fields[3]], split.Train.Select(part => part.Field));
        Assert.All(split.Train.Concat(split.Test), part => Assert.Null(part.Region));

        // Without its condition a well's name means that well of all conditions.
        Assert.Equal([Fields[0], Fields[1], Fields[3]], DataSplits.ByWell(Fields, ["A4"], []).Test.Select(part => part.Field));
    }

    [Fact]
    public void Wells_that_are_not_there_or_on_two_sides_are_refused()
    {
        Assert.Contains("no well A7; it has B/A4, B/A5, C/A4, C/A6", Assert.Throws<ImageException>(() => DataSplits.ByWell(Fields, ["A7"], [])).Message);
        Assert.Contains("B/A4 is chosen for test and for validation", Assert.Throws<ImageException>(() => DataSplits.ByWell(Fields, ["A4"], ["B/A4"])).Message);
        Assert.Throws<ImageException>(() => DataSplits.ByWell([PairedFiles.Field(1, well: "")], [""], []));
    }

    [Fact]
    public void Columns_are_held_out_and_the_rest_on_both_sides_is_trained_on()
    {
        var split = DataSplits.ByRegion([Fields[0]], new ColumnRange(300, 500), new ColumnRange(600, 728), _ => (1000, 200));
        Assert.Equal([new Region(300, 0, 200, 200)], Regions(split.Test));
        Assert.Equal([new Region(600, 0, 128, 200)], Regions(split.Validation));

        // The 100 columns between the two take no tile.
        Assert.Equal([new Region(0, 0, 300, 200), new Region(728, 0, 272, 200)], Regions(split.Train));
    }

    [Theory]
    [InlineData(0, 127, null, null, "for test are 127; 128 are the least")]
    [InlineData(0, 128, 200, 327, "for validation are 127; 128 are the least")]
    [InlineData(-1, 200, null, null, "not in it")]
    [InlineData(400, 601, null, null, "not in it")]
    [InlineData(200, 200, null, null, "not in it")]
    [InlineData(127, 473, null, null, "nowhere 128")]
    [InlineData(0, 200, 199, 400, "overlap")]
    [InlineData(100, 300, 0, 600, "overlap")]
    public void Columns_that_do_not_make_a_side_are_refused(int from, int to, int? validationFrom, int? validationTo, string reason) =>
        Assert.Contains(reason, Assert.Throws<ImageException>(() => DataSplits.ByRegion(
            [Fields[0]], new ColumnRange(from, to), validationFrom is { } first ? new ColumnRange(first, validationTo!.Value) : null, _ => (600, 200))).Message);

    [Fact]
    public void A_field_with_too_few_rows_is_refused() =>
        Assert.Contains("127 rows", Assert.Throws<ImageException>(() => DataSplits.ByRegion([Fields[0]], new ColumnRange(0, 200), null, _ => (600, 127))).Message);

    [Fact]
    public void No_pixel_is_on_two_sides_at_random_sizes_and_columns()
    {
        var random = new Random(11);
        int made = 0;
        for (int i = 0; i < 3000; i++)
        {
            int width = random.Next(100, 900), height = random.Next(128, 300);
            var test = Range();
            ColumnRange? validation = random.Next(2) == 0 ? null : Range();
            DataSplit split;
            try
            {
                split = DataSplits.ByRegion([Fields[0], Fields[1]], test, validation, _ => (width, height));
            }
            catch (ImageException)
            {
                continue;
            }

            made++;
            foreach (var field in Fields[..2])
            {
                // Each side's columns, by painting them.
                var painted = new char[width];
                foreach (var (parts, side) in ((IReadOnlyList<FieldPart>, char)[])[(split.Train, 't'), (split.Validation, 'v'), (split.Test, 'h')])
                {
                    foreach (var region in Regions(parts.Where(part => part.Field == field)))
                    {
                        Assert.True(region.Width >= Tile.Size && region.Y == 0 && region.Height == height);
                        for (int x = region.X; x < region.Right; x++)
                        {
                            Assert.Equal('\0', painted[x]);
                            painted[x] = side;
                        }
                    }
                }

                for (int x = 0; x < width; x++)
                {
                    Assert.Equal(x >= test.From && x < test.To, painted[x] == 'h');
                    Assert.Equal(validation is { } range && x >= range.From && x < range.To, painted[x] == 'v');
                }

                Assert.Contains('t', painted);
            }

            ColumnRange Range() => random.Next(width) is var from ? new(from, random.Next(from, width + 1)) : default;
        }

        Assert.True(made > 200, $"{made} splits were made.");
    }

    [Fact]
    public void A_seed_chooses_whole_wells_whatever_the_order_of_the_fields()
    {
        PairedField[] fields = [.. Enumerable.Range(0, 60).Select(i => PairedFiles.Field(i, "B", $"A{i % 20}"))];
        var choices = new HashSet<string>();
        for (ulong seed = 0; seed < 20; seed++)
        {
            var split = DataSplits.Random(fields, seed, 0.2, 0.1);
            Assert.Equal((4, 2, 14), (Wells(split.Test).Length, Wells(split.Validation).Length, Wells(split.Train).Length));
            Assert.Equal(20, Wells(split.Test).Union(Wells(split.Validation)).Union(Wells(split.Train)).Count());
            Assert.Equal(60, split.Test.Count + split.Validation.Count + split.Train.Count);
            Assert.Equal(Wells(split.Test), Wells(DataSplits.Random([.. fields.Reverse()], seed, 0.2, 0.1).Test));
            choices.Add(string.Join(' ', Wells(split.Test)));
        }

        Assert.True(choices.Count > 15);

        static string[] Wells(IReadOnlyList<FieldPart> parts) => [.. parts.Select(part => part.Field.Well).Distinct().Order()];
    }

    [Fact]
    public void Chance_leaves_something_to_train_on_or_says_that_it_cannot()
    {
        Assert.Single(DataSplits.Random(Fields[..3], 1, 0.01, 0).Test.Select(part => part.Field.Well).Distinct());
        Assert.Empty(DataSplits.Random(Fields, 1, 0, 0).Test);
        Assert.Contains("none is left", Assert.Throws<ImageException>(() => DataSplits.Random(Fields[..2], 1, 0.1, 0)).Message);
        foreach (var (test, validation) in ((double, double)[])[(-0.1, 0), (0.5, 0.5), (double.NaN, 0), (0, 1)])
            Assert.Contains("together below 1", Assert.Throws<ImageException>(() => DataSplits.Random(Fields, 1, test, validation)).Message);
    }

    [Fact]
    public void Figures_need_what_is_held_out_and_what_is_trained_on()
    {
        DataSplits.RequireFigures(DataSplits.ByWell(Fields, ["A5"], []));
        Assert.Contains("holds nothing out", Assert.Throws<ImageException>(() => DataSplits.RequireFigures(DataSplits.ByWell(Fields, [], ["A5"]))).Message);
        Assert.Contains("nothing to train on", Assert.Throws<ImageException>(() => DataSplits.RequireFigures(DataSplits.ByWell(Fields, ["A4", "A5", "A6"], []))).Message);
        Assert.Contains("for train and for test", Assert.Throws<ImageException>(() => DataSplits.RequireFigures(
            new DataSplit([new FieldPart(Fields[0], null)], [], [new FieldPart(Fields[0], new Region(0, 0, 128, 128))]))).Message);
        Assert.Contains("for train and for test", Assert.Throws<ImageException>(() => DataSplits.RequireFigures(
            new DataSplit([new FieldPart(Fields[0], new Region(0, 0, 300, 200))], [], [new FieldPart(Fields[0], new Region(299, 0, 128, 128))]))).Message);
    }

    [Fact]
    public void A_fields_size_is_read_from_its_file()
    {
        using var folder = new TemporaryFolder();
        var field = Fields[0] with { Planes = [folder.Image("z.png", width: 300, height: 140)] };
        Assert.Equal([new Region(0, 0, 150, 140)], Regions(DataSplits.ByRegion([field], new ColumnRange(150, 300)).Train));
    }

    private static Region[] Regions(IEnumerable<FieldPart> parts) => [.. parts.Select(part => part.Region!.Value)];
}

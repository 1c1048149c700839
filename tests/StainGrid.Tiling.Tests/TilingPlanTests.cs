namespace StainGrid.Tiling.Tests;

public class TilingPlanTests
{
    public static TheoryData<int, int, int, Blend, int> Sizes()
    {
        var data = new TheoryData<int, int, int, Blend, int>();
        var random = new Random(7);
        foreach (var blend in Enum.GetValues<Blend>())
        {
            data.Add(1, 1, 64, blend, 8);
            data.Add(128, 129, 64, blend, 1);
            data.Add(127, 300, 128, blend, 2);
            data.Add(576, 577, 64, blend, 8);
            for (int i = 0; i < 6; i++)
                data.Add(random.Next(1, 400), random.Next(1, 400), random.Next(16, 129), blend, random.Next(1, 9));
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Every_tile_is_in_exactly_one_block_and_every_pixel_has_the_weight_that_the_plan_says(
        int width, int height, int stride, Blend blend, int side)
    {
        var plan = new TilingPlan(width, height, new TilingOptions(stride, blend, side));
        var weights = new long[width, height];
        var wx = new int[Tile.Size];
        var wy = new int[Tile.Size];
        var seen = new HashSet<(int, int)>();
        for (int index = 0; index < plan.BlockCount; index++)
        {
            var block = plan.Block(index);
            int tiles = 0;
            foreach (var tile in plan.Tiles(block))
            {
                tiles++;
                Assert.True(seen.Add((tile.Column, tile.Row)));
                plan.X.CopyWeights(tile.Column, wx);
                plan.Y.CopyWeights(tile.Row, wy);
                var place = new Region(tile.X, tile.Y, Tile.Size, Tile.Size);
                Assert.Equal(place.Intersect(plan.Slide), place.Intersect(block.Extent));
                Assert.Equal(place.Inflate(Tile.Margin), place.Inflate(Tile.Margin).Intersect(block.Input));
                for (int y = 0; y < Tile.Size && tile.Y + y < height; y++)
                {
                    for (int x = 0; x < Tile.Size && tile.X + x < width; x++)
                        weights[tile.X + x, tile.Y + y] += wx[x] * wy[y];
                }
            }

            Assert.Equal(block.TileCount, tiles);
        }

        Assert.Equal(plan.TileCount, seen.Count);
        int wrong = 0;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
                wrong += weights[x, y] > 0 && weights[x, y] == plan.X.TotalWeights[x] * plan.Y.TotalWeights[y] ? 0 : 1;
        }

        Assert.Equal(0, wrong);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Blocks_over_a_region_are_those_whose_extent_meets_it(int width, int height, int stride, Blend blend, int side)
    {
        var plan = new TilingPlan(width, height, new TilingOptions(stride, blend, side));
        var random = new Random(width * 31 + height);
        for (int i = 0; i < 20; i++)
        {
            int x = random.Next(width), y = random.Next(height);
            var region = new Region(x, y, random.Next(1, width - x + 1), random.Next(1, height - y + 1));
            var expected = Enumerable.Range(0, plan.BlockCount).Where(b => !plan.Block(b).Extent.Intersect(region).IsEmpty);
            Assert.Equal(expected, plan.BlocksOver(region));
        }
    }

    [Fact]
    public void A_centre_crop_takes_each_pixel_from_one_tile()
    {
        var axis = new AxisTiling(1000, 48, Blend.CentreCrop);
        Assert.All(axis.TotalWeights.ToArray(), weight => Assert.Equal(1, weight));
    }

    [Fact]
    public void The_largest_slide_is_planned_without_listing_its_tiles()
    {
        var plan = new TilingPlan(100_000, 100_000, new TilingOptions());
        Assert.Equal(1562L * 1562L, plan.TileCount);
        var last = plan.Block(plan.BlockCount - 1);
        Assert.Equal(100_000, last.Extent.Right);
        Assert.Equal(100_000, last.Extent.Bottom);
    }

    [Theory]
    [InlineData(0, 5, 64, 8)]
    [InlineData(5, 100_001, 64, 8)]
    [InlineData(5, 5, 7, 8)]
    [InlineData(5, 5, 129, 8)]
    [InlineData(5, 5, 64, 0)]
    [InlineData(5, 5, 64, 65)]
    public void Sizes_and_options_out_of_range_are_refused(int width, int height, int stride, int side) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new TilingPlan(width, height, new TilingOptions(stride, Blend.Uniform, side)));

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Fixed_point_sums_never_overflow(int width, int height, int stride, Blend blend, int side)
    {
        var plan = new TilingPlan(width, height, new TilingOptions(stride, blend, side));
        foreach (int planes in (int[])[1, 13, 26])
        {
            long heaviest = (long)plan.X.TotalWeights.ToArray().Max() * plan.Y.TotalWeights.ToArray().Max() * planes;
            Assert.InRange(heaviest << plan.FixedPointBits(planes), 1, int.MaxValue);
        }
    }
}

using StainGrid.Imaging;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests.Training;

public sealed class TrainingTilesTests
{
    private const int Size = Tile.Size;
    private static readonly LabelInfo[] Labels = [new("ACROSS", 0, 65_535, "FFFFFF"), new("DOWN", 0, 65_535, "FFFFFF"), new("THIRD", 0, 65_535, "FFFFFF")];
    private static readonly NormalisationRule Whole = new() { LowPercentile = 0, HighPercentile = 100 };

    [Fact]
    public void The_same_seed_and_step_draw_the_same_tiles_and_others_others()
    {
        using var scope = NewDisposeScope();
        using var image = Rough(200, 180, 3);
        using var truth = Truth(200, 180, (x, y) => x);
        TrainingField[] fields = [Read(image, ("ACROSS", truth)), Read(image, ("DOWN", truth))];
        (string Contexts, string Targets) Drawn(int seed, int step)
        {
            var (contexts, targets) = new TrainingTiles(true, 180, 0.5, seed).Draw(fields, step, 3);
            return (Convert.ToHexString(contexts.bytes), string.Join(' ', targets.Select(target => target is null ? "-" : Convert.ToHexString(target.bytes))));
        }

        var expected = Drawn(7, 11);
        Assert.Equal(expected, Drawn(7, 11));
        foreach (var (seed, step) in ((int, int)[])[(7, 12), (8, 11), (11, 7), (7, -11), (7, 0)])
            Assert.NotEqual(expected.Contexts, Drawn(seed, step).Contexts);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    public void Without_augmentation_a_tile_is_the_fields_pixels(double brightShare)
    {
        using var scope = NewDisposeScope();
        using var image = Rough(200, 180, 3);
        using FunctionImage across = Truth(200, 180, (x, _) => x), down = Truth(200, 180, (_, y) => y);
        var field = Read(image, ("ACROSS", across), ("DOWN", down));
        var planes = new HashSet<int>();
        var places = new HashSet<(int, int)>();
        for (int step = 0; step < 6; step++)
        {
            var (contexts, targets) = new TrainingTiles(false, 180, brightShare, 3).Draw([field], step, 4);
            Assert.Equal([4, 1, 256, 256], contexts.shape);
            Assert.Equal([4, 128, 128], targets[0]!.shape);
            for (int tile = 0; tile < 4; tile++)
            {
                long[] columns = targets[0]![tile].data<long>().ToArray(), rows = targets[1]![tile].data<long>().ToArray();
                var (left, top) = ((int)columns[0], (int)rows[0]);
                places.Add((left, top));
                for (int i = 0; i < columns.Length; i++)
                    Assert.Equal((left + i % Size, top + i / Size), (columns[i], rows[i]));

                float[] context = contexts[tile].data<float>().ToArray();
                int plane = Enumerable.Range(0, 3).Single(z =>
                    PlaneWindow.Read(image, z, new Region(left - 64, top - 64, 256, 256), PlaneRange.Measure(image, z, Whole), Whole).Pixels.AsSpan().SequenceEqual(context));
                planes.Add(plane);
            }
        }

        Assert.Equal(3, planes.Count);
        Assert.True(places.Count > 15, "Tiles lie at many places.");
    }

    [Fact]
    public void Turns_mirrors_and_scales_move_light_and_targets_together()
    {
        using var scope = NewDisposeScope();
        using var image = Rough(240, 220, 1);
        using var truth = new FunctionImage(240, 220, 1, PixelType.UInt16, (_, x, y) => Level(0, x, y) * 257);
        var field = Read(image, ("ACROSS", truth));
        var gains = new List<double>();
        for (int step = 0; step < 12; step++)
        {
            var (contexts, targets) = new TrainingTiles(true, 180, 0, 5).Draw([field], step, 2);
            for (int tile = 0; tile < 2; tile++)
            {
                double[] light = [.. contexts[tile, 0].narrow(0, 64, Size).narrow(1, 64, Size).contiguous().data<float>().ToArray().Select(value => (double)value)];
                double[] levels = [.. targets[0]![tile].data<long>().ToArray().Select(level => 2 * level / 255.0 - 1)];
                double a = light.Average(), b = levels.Average();
                double gain = light.Zip(levels, (x, y) => (x - a) * (y - b)).Sum() / levels.Sum(y => (y - b) * (y - b));
                double offset = a - gain * b;
                Assert.InRange(gain, 0.84, 1.16);
                Assert.InRange(offset, -0.11, 0.11);
                gains.Add(gain);

                // Half a level is what targets are rounded by.
                Assert.True(light.Zip(levels, (x, y) => Math.Abs(x - gain * y - offset)).Max() < 1.2 * 1.2 / 255, $"Step {step}, tile {tile}: light and target differ.");
            }
        }

        Assert.True(gains.Max() - gains.Min() > 0.1, "Gains differ.");
    }

    [Fact]
    public void Half_of_the_placements_are_turned_by_quarters_and_half_by_any_angle_and_scaled()
    {
        var random = new Random(1);
        Placement[] all = [.. Enumerable.Range(0, 600).Select(_ => Placement.Random(10, 20, 180, random))];
        Assert.All(all, at =>
        {
            Assert.Equal((10, 20), (at.X, at.Y));
            Assert.Equal(0, at.RightX * at.DownX + at.RightY * at.DownY, 1e-12);
            double right = Math.Sqrt(at.RightX * at.RightX + at.RightY * at.RightY), down = Math.Sqrt(at.DownX * at.DownX + at.DownY * at.DownY);
            Assert.Equal(right, down, 1e-12);
            Assert.InRange(right, 0.8 - 1e-9, 1.25 + 1e-9);
        });
        var quarters = all.Where(at => Math.Abs(at.RightX) + Math.Abs(at.RightY) == 1 && Math.Abs(at.RightX) % 1 == 0).ToArray();
        Assert.InRange(quarters.Length, 240, 360);
        Assert.Equal(8, quarters.Distinct().Count());
        double[] scales = [.. all.Except(quarters).Select(at => Math.Sqrt(at.RightX * at.RightX + at.RightY * at.RightY))];
        Assert.True(scales.Min() < 0.83 && scales.Max() > 1.2);
        Assert.InRange(all.Except(quarters).Count(at => at.RightX * at.DownY - at.RightY * at.DownX < 0), 90, 210);
    }

    [Fact]
    public void Where_light_has_a_direction_half_of_the_placements_lie_as_they_do_and_none_is_mirrored_or_turned_far()
    {
        var random = new Random(1);
        Placement[] all = [.. Enumerable.Range(0, 600).Select(_ => Placement.Random(10, 20, 30, random))];
        Assert.InRange(all.Count(at => at == Placement.AsItLies(10, 20)), 240, 360);
        double[] angles = [.. all.Select(at => Math.Atan2(at.RightY, at.RightX) * 180 / Math.PI)];
        Assert.All(angles, angle => Assert.InRange(angle, -30, 30));
        Assert.True(angles.Min() < -27 && angles.Max() > 27);
        Assert.All(all, at =>
        {
            Assert.Equal(0, at.RightX * at.DownX + at.RightY * at.DownY, 1e-12);
            Assert.InRange(at.RightX * at.DownY - at.RightY * at.DownX, 0.64 - 1e-9, 1.5625 + 1e-9);
        });
        Assert.All(Enumerable.Range(0, 100), _ => Assert.Equal(Placement.AsItLies(10, 20), Placement.Random(10, 20, 0, random)));
    }

    [Fact]
    public void Labels_that_a_field_lacks_are_minus_one_and_null_where_no_field_has_them()
    {
        using var scope = NewDisposeScope();
        using var image = Rough(140, 130, 1);
        using var truth = Truth(140, 130, (x, _) => x);
        TrainingField[] fields = [Read(image, ("ACROSS", truth)), Read(image, ("ACROSS", truth), ("DOWN", truth))];
        var (_, targets) = new TrainingTiles(true, 180, 0.5, 1).Draw(fields, 0, 12);
        Assert.Null(targets[2]);
        Assert.True(targets[0]!.ge(0).all().item<bool>());
        bool[] has = [.. Enumerable.Range(0, 12).Select(tile =>
        {
            long[] levels = targets[1]![tile].data<long>().ToArray();
            Assert.True(levels.All(level => level >= 0) || levels.All(level => level == -1));
            return levels[0] >= 0;
        })];
        Assert.Contains(true, has);
        Assert.Contains(false, has);
        Assert.Null(new TrainingTiles(true, 180, 0.5, 1).Draw(fields[..1], 0, 2).Targets[1]);
        Assert.All(new TrainingTiles(true, 180, 1, 1).Draw([Read(image)], 0, 2).Targets, Assert.Null);
    }

    [Fact]
    public void Pixels_outside_the_part_are_never_read()
    {
        using var scope = NewDisposeScope();
        static float Guard(int plane, int x, int y) => x < 130 ? x * 100 + y : throw new InvalidOperationException($"({x}, {y}) was read.");
        using var light = new FunctionImage(300, 150, 2, PixelType.UInt16, Guard);
        using var truth = new FunctionImage(300, 150, 1, PixelType.UInt16, Guard);
        var field = TrainingField.Read("guarded", light, new Dictionary<string, IPlaneImage> { ["DOWN"] = truth }, Labels, new NormalisationRule(), new Region(0, 0, 130, 150));
        Assert.Equal((130, 150), (field.Width, field.Height));
        for (int step = 0; step < 10; step++)
        {
            var (contexts, _) = new TrainingTiles(true, 180, 0.5, 1).Draw([field], step, 2);
            Assert.InRange(contexts.abs().max().item<float>(), 0, 1.25f + 1e-5f);
        }
    }

    [Fact]
    public void A_part_that_is_not_in_its_image_or_smaller_than_a_tile_is_refused()
    {
        using var image = Rough(140, 130, 1);
        foreach (var part in (Region[])[new(0, 0, 141, 130), new(20, 0, 127, 130), new(-1, 0, 130, 130)])
            Assert.Contains("smaller than 128", Assert.Throws<ImageException>(() => TrainingField.Read("field", image, new Dictionary<string, IPlaneImage>(), Labels, Whole, part)).Message);
        using var other = Truth(140, 131, (_, _) => 1);
        Assert.Contains("field: function is 140x131", Assert.Throws<ImageException>(() => Read(image, ("DOWN", other))).Message);
    }

    [Fact]
    public void A_bright_spot_is_found_where_bright_places_are_wanted()
    {
        using var scope = NewDisposeScope();
        using var image = Rough(1200, 1000, 1);
        using var truth = Truth(1200, 1000, (x, y) => x is >= 900 and < 1040 && y is >= 700 and < 840 ? 255 : 0);
        var field = Read(image, ("DOWN", truth));
        int Found(double share) => Enumerable.Range(0, 10).Sum(step =>
        {
            var target = new TrainingTiles(false, 180, share, 2).Draw([field], step, 4).Targets[1]!;
            return Enumerable.Range(0, 4).Count(tile => target[tile].narrow(0, 32, 64).narrow(1, 32, 64).max().item<long>() == 255);
        });

        // The spot is 1/61 of the pixels: 64 tries find it twice of three times. Of tiles anywhere one in 22 has it.
        Assert.InRange(Found(1), 18, 40);
        Assert.InRange(Found(0), 0, 6);
    }

    [Fact]
    public void A_field_is_drawn_as_often_as_its_weight_says()
    {
        using var scope = NewDisposeScope();
        using var image = Rough(128, 128, 1);
        using FunctionImage first = Truth(128, 128, (_, _) => 1), second = Truth(128, 128, (_, _) => 2), third = Truth(128, 128, (_, _) => 3);
        TrainingField[] fields = [Read(image, ("DOWN", first)), Read(image, ("DOWN", second)), Read(image, ("DOWN", third))];
        (fields[0].Weight, fields[1].Weight, fields[2].Weight) = (3, 0, 1);
        long[] drawn = [.. Enumerable.Range(0, 20).SelectMany(step => new TrainingTiles(false, 180, 0, 1).Draw(fields, step, 10).Targets[1]!.select(1, 0).select(1, 0).data<long>().ToArray())];
        Assert.DoesNotContain(2, drawn);
        Assert.InRange(drawn.Count(level => level == 1), 125, 175);
    }

    // Each pixel another level, all levels there: normalised to 2 level/255 - 1.
    private static int Level(int plane, int x, int y) => (int)((uint)((x * 73_856_093) ^ (y * 19_349_663) ^ (plane * 83_492_791)) * 2_654_435_761 >> 24);

    private static FunctionImage Rough(int width, int height, int planes) => new(width, height, planes, PixelType.UInt16, (plane, x, y) => Level(plane, x, y) * 257);

    private static FunctionImage Truth(int width, int height, Func<int, int, int> level) => new(width, height, 1, PixelType.UInt16, (_, x, y) => level(x, y) * 257);

    private static TrainingField Read(FunctionImage image, params (string Label, IPlaneImage Truth)[] truths) => TrainingField.Read(
        "field", image, truths.ToDictionary(truth => truth.Label, truth => truth.Truth), Labels, Whole, new Region(0, 0, image.Info.Width, image.Info.Height));
}

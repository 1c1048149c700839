using NetVips;
using StainGrid.TestSupport;

namespace StainGrid.Imaging.Tests;

public sealed class LinePlotTests : IDisposable
{
    // Of LinePlotPng: where its axes begin and end, of a panel 960 x 320.
    private const int Left = 96, Right = 720, Upper = 52, Lower = 320 - 38;
    private static readonly double[] Ground = [24, 24, 24], Grid = [64, 64, 64], Blue = [86, 180, 233], Orange = [230, 159, 0];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(0, 10, new double[] { 0, 2, 4, 6, 8, 10 })]
    [InlineData(1, 9, new double[] { 0, 2, 4, 6, 8, 10 })]
    [InlineData(-3, 4, new double[] { -4, -2, 0, 2, 4 })]
    [InlineData(0.12, 0.34, new double[] { 0.1, 0.15, 0.2, 0.25, 0.3, 0.35 })]
    [InlineData(1, 250_000, new double[] { 0, 50_000, 100_000, 150_000, 200_000, 250_000 })]
    public void Ticks_are_round_numbers_from_below_the_least_to_above_the_most(double least, double most, double[] expected)
    {
        double[] ticks = LinePlotPng.Ticks(least, most);
        Assert.Equal(expected.Length, ticks.Length);
        foreach (var (wanted, tick) in expected.Zip(ticks))
            Assert.Equal(wanted, tick, 1e-9 * Math.Max(1, most));
    }

    [Fact]
    public void Ticks_are_a_few_and_rise_whatever_the_range()
    {
        var random = new Random(1);
        for (int i = 0; i < 3000; i++)
        {
            double least = (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-12, 13));
            double most = i % 3 == 0 ? least : least + random.NextDouble() * Math.Pow(10, random.Next(-20, 13));
            AssertTicks(least, most);
        }

        foreach (double value in (double[])[0, 1, -1, 5, 100, 1e-300, 1e300, 5.545177444479562])
            AssertTicks(value, value);
        AssertTicks(1, Math.BitIncrement(1));

        static void AssertTicks(double least, double most)
        {
            double[] ticks = LinePlotPng.Ticks(least, most);
            double tolerance = 1e-9 * Math.Max(Math.Abs(least), Math.Abs(most));
            Assert.InRange(ticks.Length, 2, 8);
            Assert.True(ticks[0] <= least + tolerance && ticks[^1] >= most - tolerance && ticks.Zip(ticks[1..]).All(pair => pair.First < pair.Second), $"{least} to {most}: {string.Join(", ", ticks)}");
        }
    }

    [Fact]
    public void Lines_are_where_their_points_are_in_the_order_of_the_legend()
    {
        using var image = Plot(new PlotPanel("TITLE", [new("RISES", [(0, 0), (10, 100)]), new("FLAT", [(2, 40), (6, 40)])]));
        Assert.Equal((960, 320, 3), (image.Width, image.Height, image.Bands));
        foreach (double part in (double[])[0, 0.1, 0.25, 0.5, 0.9, 1])
            Assert.Contains(Blue, ((int[])[-1, 0, 1]).Select(near => image[X(part), Y(part) + near]));
        for (int x = X(0.2); x <= X(0.6); x++)
            Assert.Equal(Orange, image[x, Y(0.4)]);
        Assert.NotEqual(Orange, image[X(0.2) - 1, Y(0.4)]);
        Assert.NotEqual(Orange, image[X(0.6) + 2, Y(0.4)]);

        // The grid at the ticks, nothing between, and the legend's dashes.
        Assert.Equal(Grid, image[X(0.8), Y(0.1)]);
        Assert.Equal(Grid, image[X(0.75), Y(0.2)]);
        Assert.Equal(Ground, image[X(0.75), Y(0.1)]);
        Assert.Equal(Blue, image[Right + 20, Upper + 7]);
        Assert.Equal(Orange, image[Right + 20, Upper + 26 + 7]);
        Assert.Contains(Enumerable.Range(12, 60), x => image[x, 12 + 2][0] == 230);
    }

    [Fact]
    public void The_same_points_give_the_same_bytes_and_others_others()
    {
        PlotPanel[] panels = [new("A", [new("L", [(1, 2.5), (2, 1.25), (3, 7)])]), new("B", [new("L", [(1, 0.5)])])];
        foreach (string name in (string[])["a.png", "b.png"])
            LinePlotPng.Write(_folder.File(name), "STEP", panels);
        LinePlotPng.Write(_folder.File("c.png"), "STEP", [panels[0], new("B", [new("L", [(1, 0.5), (2, 0.5)])])]);
        Assert.Equal(File.ReadAllBytes(_folder.File("a.png")), File.ReadAllBytes(_folder.File("b.png")));
        Assert.NotEqual(File.ReadAllBytes(_folder.File("a.png")), File.ReadAllBytes(_folder.File("c.png")));
        using var image = Image.Pngload(_folder.File("a.png"));
        Assert.Equal(640, image.Height);
    }

    [Fact]
    public void Points_that_are_not_finite_are_left_out()
    {
        var points = new (double, double)[] { (0, 0), (2, double.NaN), (double.NaN, 7), (3, double.PositiveInfinity), (10, 100) };
        LinePlotPng.Write(_folder.File("a.png"), "STEP", [new("T", [new("L", points), new("NONE", [(1, double.NaN)])])]);
        LinePlotPng.Write(_folder.File("b.png"), "STEP", [new("T", [new("L", [points[0], points[4]]), new("NONE", [])])]);
        Assert.Equal(File.ReadAllBytes(_folder.File("b.png")), File.ReadAllBytes(_folder.File("a.png")));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 5.5)]
    [InlineData(100, 1)]
    [InlineData(-7, -1e-9)]
    public void One_point_alone_is_seen(double x, double y)
    {
        using var image = Plot(new PlotPanel("T", [new("L", [(x, y)])]));
        byte[] pixels = image.WriteToMemory<byte>();
        int[] blue = [.. Enumerable.Range(0, image.Width * image.Height).Where(i => i % image.Width <= Right && Blue.SequenceEqual(pixels[(3 * i)..(3 * i + 3)].Select(value => (double)value)))];
        Assert.Equal([blue[0], blue[0] + 1, blue[0] + image.Width], blue);
    }

    [Fact]
    public void Without_points_there_is_the_title_alone()
    {
        using var image = Plot(new PlotPanel("T", [new("L", [])]));
        Assert.Equal(Ground, image[X(0), Y(0)]);
        Assert.Equal(230, image[12, 12][0]);
        LinePlotPng.Write(_folder.File("none.png"), "STEP", []);
        using var none = Image.Pngload(_folder.File("none.png"));
        Assert.Equal((960, 320), (none.Width, none.Height));
    }

    [Fact]
    public void More_lines_than_the_legend_has_room_for_and_a_folder_that_is_not_there()
    {
        using (Plot(new PlotPanel(new string('T', 200), [.. Enumerable.Range(0, 40).Select(i => new PlotLine(new string('N', 100), [(0, i), (1e9, -i * 1e-9)]))])))
        {
        }

        Assert.Throws<ImageException>(() => LinePlotPng.Write(_folder.File("no", "a.png"), "STEP", []));
    }

    private static int X(double part) => Left + (int)Math.Round(part * (Right - Left));

    private static int Y(double part) => Lower - (int)Math.Round(part * (Lower - Upper));

    private Image Plot(PlotPanel panel)
    {
        LinePlotPng.Write(_folder.File("plot.png"), "STEP", [panel]);
        return Image.Pngload(_folder.File("plot.png"));
    }
}

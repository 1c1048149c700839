using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Model.Tests.Training;

public sealed class LearningCurveTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_curve_that_was_written_is_read_as_it_was()
    {
        Curve(7).Write(folder.File("curve.csv"));
        string[] lines = File.ReadAllLines(folder.File("curve.csv"));
        Assert.Equal("step,learning_rate,loss_A,loss_B,pearson_A,pearson_B", lines[0]);
        Assert.Equal("1,0.001,3.3333333333333335,,,", lines[1]);
        Assert.Equal("3,0.003,1.1111111111111112,,0.1,", lines[3]);
        Assert.Equal("4,0.004,0.8333333333333334,0.4,,", lines[4]);
        Assert.Equal(8, lines.Length);

        var read = Read(7);
        read.Write(folder.File("again.csv"));
        Assert.Equal(lines, File.ReadAllLines(folder.File("again.csv")));
        var expected = Curve(7);
        Assert.Equal(expected.Losses, read.Losses);
        Assert.Equal(expected.Pearson, read.Pearson);
        Assert.False(read.IsEvaluated);
        Assert.Equal(["again.csv", "curve.csv"], Directory.GetFiles(folder.Path).Select(file => Path.GetFileName(file)!).Order());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(6)]
    [InlineData(100)]
    public void It_is_read_as_far_as_the_checkpoint_goes(int steps)
    {
        Curve(7).Write(folder.File("curve.csv"));
        var read = Read(steps);
        Assert.Equal(steps == 0, read.Losses is null);
        Assert.Equal(steps is 3 or 6, read.IsEvaluated);
        read.Write(folder.File("cut.csv"));
        Curve(Math.Min(7, steps)).Write(folder.File("expected.csv"));
        Assert.Equal(File.ReadAllText(folder.File("expected.csv")), File.ReadAllText(folder.File("cut.csv")));
    }

    [Fact]
    public void One_that_begins_at_a_later_step_is_cut_by_its_steps_too()
    {
        Curve(7).Write(folder.File("curve.csv"));
        string[] lines = File.ReadAllLines(folder.File("curve.csv"));
        File.WriteAllLines(folder.File("curve.csv"), [lines[0], .. lines[4..]]);
        Read(5).Write(folder.File("cut.csv"));
        Assert.Equal([lines[0], lines[4], lines[5]], File.ReadAllLines(folder.File("cut.csv")));
    }

    [Theory]
    [InlineData("", "is not the learning curve of this training")]
    [InlineData("step,learning_rate,loss_A,pearson_A\n1,0.1,2,", "is not the learning curve of this training")]
    [InlineData("step,learning_rate,loss_A,loss_B,pearson_A,pearson_B\n1,0.1,two,3,,", "is damaged")]
    [InlineData("step,learning_rate,loss_A,loss_B,pearson_A,pearson_B\n1,0.1,2,3,", "is damaged")]
    [InlineData("step,learning_rate,loss_A,loss_B,pearson_A,pearson_B\n1,0.1,2,3,,,", "is damaged")]
    [InlineData("step,learning_rate,loss_A,loss_B,pearson_A,pearson_B\n\n", "is damaged")]
    [InlineData("step,learning_rate,loss_A,loss_B,pearson_A,pearson_B\n1", "is damaged")]
    public void A_file_that_is_none_is_refused(string text, string why)
    {
        File.WriteAllText(folder.File("curve.csv"), text);
        string message = Assert.Throws<ImageException>(() => Read(9)).Message;
        Assert.StartsWith(folder.File("curve.csv"), message);
        Assert.Contains(why, message);
    }

    [Fact]
    public void Losses_are_averaged_over_the_last_steps_and_those_that_were_not_measured_left_out()
    {
        var curve = new LearningCurve(["A", "B"]);
        Assert.Null(curve.Losses);
        Assert.Null(curve.Pearson);
        curve.Add(new TrainingStep(1, [4, double.NaN], 1));
        Assert.Equal([4, double.NaN], curve.Losses!);
        curve.Add(new TrainingStep(2, [2, 7], 1));
        curve.Add(new TrainingStep(3, [2, double.NaN], 1));
        Assert.Equal(2 + 2 * 0.95 * 0.95, curve.Losses![0], 1e-12);
        Assert.Equal(7, curve.Losses[1]);
        curve.Add([0.5, double.NaN]);
        Assert.True(curve.IsEvaluated);
        curve.Add(new TrainingStep(4, [2, 3], 1));
        Assert.False(curve.IsEvaluated);
        Assert.Equal([0.5, double.NaN], curve.Pearson!);
    }

    [Fact]
    public void Without_a_file_nothing_is_read_and_a_plot_of_any_number_of_steps_is_drawn()
    {
        Assert.Null(Read(5).Losses);
        foreach (int steps in (int[])[0, 1, 2, 7, 1500])
        {
            Curve(steps).Plot(folder.File("curve.png"));
            using var image = NetVips.Image.Pngload(folder.File("curve.png"));
            Assert.Equal(steps < 3 ? 320 : 640, image.Height);   // the second panel is of correlations
        }
    }

    // Of label B the loss is there at every fourth step; A's correlation is measured at every third.
    private static LearningCurve Curve(int steps)
    {
        var curve = new LearningCurve(["A", "B"]);
        for (int step = 1; step <= steps; step++)
        {
            curve.Add(new TrainingStep(step, [10.0 / 3 / step, step % 4 == 0 ? step / 10.0 : double.NaN], step / 1000.0));
            if (step % 3 == 0)
                curve.Add([step / 30.0, double.NaN]);
        }

        return curve;
    }

    private LearningCurve Read(int steps)
    {
        var curve = new LearningCurve(["A", "B"]);
        curve.Read(folder.File("curve.csv"), steps);
        return curve;
    }
}

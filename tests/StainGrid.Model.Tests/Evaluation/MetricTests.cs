namespace StainGrid.Model.Tests.Evaluation;

/// <summary>Each figure against a plain computation over the pixels.</summary>
public class MetricTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 37)]
    [InlineData(3, 10_000)]
    public void Errors_and_correlation_are_those_of_the_pixels(int seed, int pixels)
    {
        var (predicted, truth) = Pair(seed, pixels);
        var histogram = new JointHistogram();
        histogram.Add(predicted.AsSpan(0, pixels / 2), truth.AsSpan(0, pixels / 2));
        var rest = new JointHistogram();
        rest.Add(predicted.AsSpan(pixels / 2), truth.AsSpan(pixels / 2));
        histogram.Add(rest);
        double absolute = 0, square = 0;
        for (int i = 0; i < pixels; i++)
        {
            double difference = (double)predicted[i] - truth[i];
            absolute += Math.Abs(difference);
            square += difference * difference;
        }

        Assert.Equal(pixels, histogram.Pixels);
        Assert.Equal(absolute / pixels, histogram.MeanAbsoluteError()!.Value, 1e-9);
        Assert.Equal(Math.Sqrt(square / pixels), histogram.RootMeanSquareError()!.Value, 1e-9);
        if (pixels == 1)
            Assert.Null(histogram.Pearson());
        else
            Assert.Equal(Correlation.Pearson<byte>(predicted, truth), histogram.Pearson()!.Value, 1e-9);
    }

    [Fact]
    public void Pearson_of_known_sets()
    {
        Assert.Equal(1, Of([0, 10, 20, 255], [0, 10, 20, 255])!.Value, 1e-12);
        Assert.Equal(-1, Of([3, 2, 1], [10, 20, 30])!.Value, 1e-12);
        Assert.Equal(0, Of([1, 1, 3, 3], [1, 3, 1, 3])!.Value, 1e-12);
        Assert.Equal(0.8, Of([1, 2, 3, 4], [1, 3, 2, 4])!.Value, 1e-12);
        Assert.Null(Of([7, 7, 7], [1, 2, 3]));
        Assert.Null(Of([1, 2, 3], [7, 7, 7]));
        Assert.Null(Of([], []));

        static double? Of(byte[] predicted, byte[] truth)
        {
            var histogram = new JointHistogram();
            histogram.Add(predicted, truth);
            return histogram.Pearson();
        }
    }

    [Fact]
    public void Random_pixels_are_spread_as_draws_with_replacement_are()
    {
        const int Draws = 200, Pixels = 1000;
        var (predicted, truth) = Pair(5, 3000);
        var histogram = new JointHistogram();
        histogram.Add(predicted, truth);
        var sampled = histogram.PearsonOfRandomPixels(Draws, Pixels, seed: 3)!;

        // The plain way, by another generator: indices into the images.
        var random = new Random(99);
        var plain = new double[Draws];
        for (int draw = 0; draw < Draws; draw++)
        {
            int[] places = [.. Enumerable.Range(0, Pixels).Select(_ => random.Next(truth.Length))];
            plain[draw] = Correlation.Pearson<byte>([.. places.Select(i => predicted[i])], [.. places.Select(i => truth[i])]);
        }

        double mean = plain.Average(), deviation = Math.Sqrt(plain.Sum(value => (value - mean) * (value - mean)) / (Draws - 1));
        Assert.Equal(mean, sampled.Mean, 5 * deviation / Math.Sqrt(Draws));
        Assert.InRange(sampled.StandardDeviation / deviation, 0.75, 1.33);
        Assert.Equal(sampled, histogram.PearsonOfRandomPixels(Draws, Pixels, seed: 3));
        Assert.NotEqual(sampled, histogram.PearsonOfRandomPixels(Draws, Pixels, seed: 4));
    }

    [Fact]
    public void Every_pixel_can_be_drawn_the_first_and_the_last_too()
    {
        // Without the first or the last pixel the draws would be flat.
        var histogram = new JointHistogram();
        histogram.Add([0, 255], [255, 0]);
        Assert.Equal(-1, histogram.PearsonOfRandomPixels(2, 50, seed: 1)!.Mean, 1e-9);
        histogram.Add([0, 0], [255, 255]);
        Assert.Equal(-1, histogram.PearsonOfRandomPixels(2, 50, seed: 1)!.Mean, 1e-9);
    }

    [Fact]
    public void Draws_of_a_flat_image_have_no_correlation()
    {
        var histogram = new JointHistogram();
        histogram.Add([9, 9, 9], [1, 2, 3]);
        Assert.Null(histogram.PearsonOfRandomPixels(2, 100, seed: 1));
        Assert.Null(new JointHistogram().PearsonOfRandomPixels(2, 100, seed: 1));
    }

    [Fact]
    public void The_confusion_matrix_counts_bins_of_a_tenth_of_the_range()
    {
        var histogram = new JointHistogram();
        histogram.Add(
            predicted: [0, 25, 26, 255, 230, 128, 0],
            truth: [0, 26, 25, 255, 231, 127, 255]);
        var matrix = histogram.Confusion();
        var expected = new long[10][];
        for (int row = 0; row < 10; row++)
            expected[row] = new long[10];
        expected[0][0] = 1;   // 0 as 0
        expected[1][0] = 1;   // 26 as 25
        expected[0][1] = 1;   // 25 as 26
        expected[9][9] = 1;   // 255 as 255
        expected[9][8] = 1;   // 231 as 230
        expected[4][5] = 1;   // 127 as 128
        expected[9][0] = 1;   // 255 as 0
        Assert.Equal(expected, matrix.Counts);
        Assert.Equal(2 / 7.0, matrix.Accuracy!.Value, 1e-12);
        Assert.Equal([0.5, 0, null, null, 0, null, null, null, null, 1 / 3.0], matrix.BinAccuracy);
        Assert.Equal(["0-25", "26-51", "231-255"], [matrix.BinName(0), matrix.BinName(1), matrix.BinName(9)]);
        Assert.Null(new JointHistogram().Confusion().Accuracy);
    }

    [Fact]
    public void Every_level_is_in_the_bin_that_its_name_says()
    {
        var matrix = new JointHistogram().Confusion();
        for (int level = 0; level < 256; level++)
        {
            var one = new JointHistogram();
            one.Add([(byte)level], [(byte)level]);
            int bin = one.Confusion().Counts.Select((row, i) => (Sum: row.Sum(), i)).Single(row => row.Sum == 1).i;
            int[] ends = [.. matrix.BinName(bin).Split('-').Select(int.Parse)];
            Assert.InRange(level, ends[0], ends[1]);
        }
    }

    [Theory]
    [InlineData(11, 11)]
    [InlineData(12, 11)]
    [InlineData(37, 23)]
    public void The_structural_similarity_is_the_formula_in_each_window(int width, int height)
    {
        var (first, second) = Pair(width, width * height);
        var (sum, windows) = StructuralSimilarity.Sum(first, second, width, height);
        double expected = 0;
        int count = 0;
        for (int top = 0; top + 11 <= height; top++)
        {
            for (int left = 0; left + 11 <= width; left++)
            {
                expected += Window(first, second, width, left, top);
                count++;
            }
        }

        Assert.Equal(count, windows);
        Assert.Equal(expected, sum, 1e-8);
        Assert.NotEqual(1, sum / windows, 0.05);
    }

    [Fact]
    public void An_image_below_11_pixels_a_side_has_no_window()
    {
        Assert.Equal((0, 0), StructuralSimilarity.Sum(new byte[10 * 40], new byte[10 * 40], 10, 40));
        Assert.Equal((0, 0), StructuralSimilarity.Sum(new byte[40 * 8], new byte[40 * 8], 40, 8));
        Assert.Equal((0, 0), StructuralSimilarity.Sum(new byte[1], new byte[1], 1, 1));
        Assert.Throws<ArgumentException>(() => StructuralSimilarity.Sum(new byte[120], new byte[121], 11, 11));
    }

    [Theory]
    [InlineData(1, 130, 90)]
    [InlineData(2, 11, 200)]
    [InlineData(3, 5, 7)]
    public void A_perfect_prediction_has_the_best_of_every_figure(int seed, int width, int height)
    {
        var (_, truth) = Pair(seed, width * height);
        var tally = new LabelTally();
        tally.Add(truth, truth, width, height, new Calibration());
        var metrics = tally.Metrics(new EvaluationOptions { Draws = 3, DrawPixels = 500 });
        Assert.Equal((1, width * height), (metrics.Fields, metrics.Pixels));
        Assert.Equal((0, 0), (metrics.MeanAbsoluteError, metrics.RootMeanSquareError));
        Assert.Equal(1, metrics.Confusion.Accuracy);
        Assert.All(metrics.Confusion.BinAccuracy, accuracy => Assert.True(accuracy is null or 1));
        Assert.Equal(1, metrics.Pearson!.Value, 1e-12);
        Assert.Equal(1, metrics.PearsonOfRandomPixels!.Mean, 1e-12);
        if (Math.Min(width, height) < 11)
            Assert.Null(metrics.StructuralSimilarity);
        else
            Assert.Equal(1, metrics.StructuralSimilarity!.Value, 1e-12);
    }

    [Fact]
    public void Tallies_added_up_are_those_of_all_fields()
    {
        var (a, b) = Pair(1, 20 * 15);
        var (c, d) = Pair(2, 13 * 40);
        var calibration = new Calibration();
        calibration.Add(10, [5, 8, 9, 9.5], [4, 7, 8, 9]);
        LabelTally first = new(), second = new(), together = new();
        first.Add(a, b, 20, 15, calibration);
        second.Add(c, d, 13, 40, new Calibration());
        together.Add(a, b, 20, 15, calibration);
        together.Add(c, d, 13, 40, new Calibration());
        first.Add(second);
        var options = new EvaluationOptions { Draws = 2, DrawPixels = 100 };
        LabelMetrics x = first.Metrics(options), y = together.Metrics(options);
        Assert.Equal(x.Confusion.Counts, y.Confusion.Counts);
        Assert.Equal(x.Coverage, y.Coverage);
        Assert.Equal(x with { Confusion = y.Confusion, Coverage = y.Coverage }, y);
        Assert.Equal((2, 20 * 15 + 13 * 40), (x.Fields, x.Pixels));
        Assert.Equal(new IntervalCoverage(0.8, 0.8, 0.7), x.Coverage[1]);
        Assert.Equal(new IntervalCoverage(0.5, null, null), new Calibration().Coverage[0]);
    }

    // SSIM of one window, from the definition: a Gaussian over both axes, weighted means, variances and covariance about the means.
    private static double Window(byte[] first, byte[] second, int width, int left, int top)
    {
        var weights = new double[11, 11];
        double total = 0;
        for (int y = 0; y < 11; y++)
        {
            for (int x = 0; x < 11; x++)
                total += weights[y, x] = Math.Exp(-((x - 5) * (x - 5) + (y - 5) * (y - 5)) / (2 * 1.5 * 1.5));
        }

        double meanA = Sum((a, b) => a), meanB = Sum((a, b) => b);
        double varianceA = Sum((a, b) => (a - meanA) * (a - meanA)), varianceB = Sum((a, b) => (b - meanB) * (b - meanB));
        double covariance = Sum((a, b) => (a - meanA) * (b - meanB));
        const double C1 = 6.5025, C2 = 58.5225;   // (0.01 255)^2, (0.03 255)^2
        return (2 * meanA * meanB + C1) * (2 * covariance + C2) / ((meanA * meanA + meanB * meanB + C1) * (varianceA + varianceB + C2));

        double Sum(Func<double, double, double> of)
        {
            double sum = 0;
            for (int y = 0; y < 11; y++)
            {
                for (int x = 0; x < 11; x++)
                    sum += weights[y, x] / total * of(first[(top + y) * width + left + x], second[(top + y) * width + left + x]);
            }

            return sum;
        }
    }

    // Noise about a wave, so that the two agree in part.
    private static (byte[] Predicted, byte[] Truth) Pair(int seed, int pixels)
    {
        var random = new Random(seed);
        byte[] truth = [.. Enumerable.Range(0, pixels).Select(i => (byte)(120 + 90 * Math.Sin(i * 0.07) + random.Next(40)))];
        byte[] predicted = [.. truth.Select(level => (byte)Math.Clamp(level * 0.7 + random.Next(80), 0, 255))];
        return (predicted, truth);
    }
}

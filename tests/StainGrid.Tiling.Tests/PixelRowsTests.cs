namespace StainGrid.Tiling.Tests;

public class PixelRowsTests
{
    public static TheoryData<int> Lengths => [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 511, 513];

    [Theory]
    [MemberData(nameof(Lengths))]
    public void Sums_are_those_of_plain_loops(int length)
    {
        var random = new Random(length);
        int[] target = Numbers(), weights = Numbers(), values = Numbers(extra: 3);
        int[] sums = [.. target.Select((t, i) => unchecked(t + values[i]))];
        int[] products = [.. target.Select((t, i) => unchecked(t + weights[i] * values[i]))];

        int[] actual = [.. target];
        PixelRows.Add(actual, values);
        Assert.Equal(sums, actual);
        actual = [.. target];
        PixelRows.AddProducts(actual, weights, values);
        Assert.Equal(products, actual);

        int[] Numbers(int extra = 0) => [.. Enumerable.Range(0, length + extra).Select(_ => random.Next(int.MinValue, int.MaxValue))];
    }

    [Theory]
    [MemberData(nameof(Lengths))]
    public void Steps_are_those_of_a_plain_loop(int length)
    {
        var random = new Random(length);
        float[] left = [.. Enumerable.Range(0, length).Select(_ => random.NextSingle())];
        float[] right = [.. Enumerable.Range(0, length + 2).Select(_ => random.NextSingle())];
        double expected = 0;
        for (int i = 0; i < length; i++)
            expected += Math.Abs(left[i] - right[i]);
        Assert.Equal(expected, PixelRows.Steps(left, right), 1e-12 * length);
    }
}

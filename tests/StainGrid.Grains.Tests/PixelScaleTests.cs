namespace StainGrid.Grains.Tests;

public class PixelScaleTests
{
    [Theory]
    [InlineData(1, 0, 65_535)]
    [InlineData(15, 13, 900)]
    [InlineData(16, 0, 65_535)]
    [InlineData(513, 60_000, 20_000)]
    [InlineData(1000, 300, -1000)]
    public void Pixels_are_those_of_a_plain_loop(int count, int low, int range)
    {
        var random = new Random(count);
        float[] shares = [.. Enumerable.Range(0, count).Select(i => (i % 4) switch
        {
            0 => random.Next(0, 2),
            1 => (random.Next(0, 1000) + 0.5f) / 65_535,   // half-way between two values
            2 => random.NextSingle() * 1.2f - 0.1f,
            _ => random.NextSingle(),
        })];
        var pixels = new ushort[count];
        PixelScale.Apply(shares, low, range, pixels);
        Assert.Equal([.. shares.Select(share => (ushort)Math.Clamp(MathF.Round(low + share * range), 0, ushort.MaxValue))], pixels);
    }
}

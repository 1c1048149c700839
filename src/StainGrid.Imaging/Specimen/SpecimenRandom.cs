namespace StainGrid.Imaging.Specimen;

/// <summary>SplitMix64 (Steele, Lea, Flood 2014): a small generator whose sequence will not change under us, as
/// System.Random's may.</summary>
internal sealed class SpecimenRandom(ulong seed)
{
    private ulong _state = seed;

    /// <summary>The next 64 bits.</summary>
    public ulong Next() => StableMath.Mix(_state += 0x9E3779B97F4A7C15UL);

    /// <summary>Uniform from 0 to below 1.</summary>
    public double Unit() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform between the two.</summary>
    public double Between(double low, double high) => low + (high - low) * Unit();

    /// <summary>Near-normal, mean 0 and standard deviation 1.</summary>
    public double Normal() => StableMath.Normal(Next());

    /// <summary>True with the probability.</summary>
    public bool Chance(double probability) => Unit() < probability;

    /// <summary>A whole number whose mean is <paramref name="expected"/>: rounded up or down at random.</summary>
    public int Count(double expected) => (int)(expected + Unit());

    /// <summary>A unit vector in any direction, without trigonometry.</summary>
    public (double X, double Y) Direction()
    {
        while (true)
        {
            double x = Between(-1, 1), y = Between(-1, 1), square = x * x + y * y;
            if (square is < 0.01 or > 1)
                continue;
            double length = Math.Sqrt(square);
            return (x / length, y / length);
        }
    }
}

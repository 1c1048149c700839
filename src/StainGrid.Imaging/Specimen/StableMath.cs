namespace StainGrid.Imaging.Specimen;

/// <summary>Arithmetic that gives the same bits everywhere: IEEE additions, products, quotients and square roots only, as
/// the platform's exp, sin and pow differ in their last bit. (.NET never fuses a product and a sum on its own.)</summary>
internal static class StableMath
{
    /// <summary>e to the <paramref name="x"/>, x at most 0, to about 1e-7: a Taylor series of x/256, squared 8 times.</summary>
    public static double ExpNegative(double x)
    {
        if (x < -80)
            return 0;
        double t = x / 256;
        double e = 1 + t * (1 + t * (0.5 + t * (1.0 / 6 + t * (1.0 / 24))));
        for (int i = 0; i < 8; i++)
            e *= e;
        return e;
    }

    /// <summary>A Gaussian's weights, summing to 1: 2 radius + 1 taps, radius 3 sigma.</summary>
    public static float[] GaussianTaps(double sigma)
    {
        int radius = Math.Max(1, (int)(3 * sigma + 0.999));
        var taps = new double[2 * radius + 1];
        double sum = 0;
        for (int i = 0; i < taps.Length; i++)
        {
            double d = i - radius;
            taps[i] = ExpNegative(-d * d / (2 * sigma * sigma));
            sum += taps[i];
        }

        var result = new float[taps.Length];
        for (int i = 0; i < taps.Length; i++)
            result[i] = (float)(taps[i] / sum);
        return result;
    }

    /// <summary>Well mixed 64 bits of <paramref name="x"/> (the finaliser of SplitMix64).</summary>
    public static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }

    /// <summary>A near-normal number (mean 0, standard deviation 1, within 3.5) of 64 mixed bits: the sum of four uniform
    /// 16-bit ones.</summary>
    public static float Normal(ulong bits)
    {
        int sum = (int)(bits & 0xFFFF) + (int)((bits >> 16) & 0xFFFF) + (int)((bits >> 32) & 0xFFFF) + (int)(bits >> 48);
        return (sum - 131070) * (1.7320508f / 65536f);
    }

    /// <summary>The near-normal number that belongs to a place, whoever asks for it and when.</summary>
    public static float NormalAt(ulong seed, long place) => Normal(Mix(seed + (ulong)place * 0x9E3779B97F4A7C15UL));

    /// <summary>Smooth noise from -1 to 1 whose bumps are about one unit wide.</summary>
    public static float ValueNoise(float x, float y, ulong seed)
    {
        int x0 = (int)MathF.Floor(x), y0 = (int)MathF.Floor(y);
        float fx = x - x0, fy = y - y0;
        fx = fx * fx * (3 - 2 * fx);
        fy = fy * fy * (3 - 2 * fy);
        float a = Lattice(x0, y0, seed), b = Lattice(x0 + 1, y0, seed);
        float c = Lattice(x0, y0 + 1, seed), d = Lattice(x0 + 1, y0 + 1, seed);
        float top = a + (b - a) * fx, bottom = c + (d - c) * fx;
        return top + (bottom - top) * fy;
    }

    private static float Lattice(int x, int y, ulong seed)
    {
        ulong bits = Mix(seed + (ulong)(uint)x * 0x9E3779B97F4A7C15UL + (ulong)(uint)y * 0xD1B54A32D192ED03UL);
        return (int)(bits >> 41) * (1f / (1 << 22)) - 1f;
    }
}

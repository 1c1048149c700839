using System.Text.Json.Serialization;

namespace StainGrid.Model;

/// <summary>
/// How a plane's intensities become the network's input: two percentiles over the whole plane of the slide, its low and its
/// high, map linearly to -1 and 1.
/// </summary>
public sealed record NormalisationRule
{
    /// <summary>The percentile that maps to -1, 0 to 100.</summary>
    [JsonRequired]
    public double LowPercentile { get; init; } = 0.1;

    /// <summary>The percentile that maps to 1, above <see cref="LowPercentile"/>, at most 100.</summary>
    [JsonRequired]
    public double HighPercentile { get; init; } = 99.9;

    /// <summary>Whether what lies beyond the two becomes -1 and 1.</summary>
    [JsonRequired]
    public bool Clamp { get; init; } = true;

    /// <summary>One intensity, given the plane's low and high. A flat plane (high not above low) is 0 everywhere.</summary>
    /// <param name="intensity">The intensity.</param>
    /// <param name="low">The plane's intensity at <see cref="LowPercentile"/>.</param>
    /// <param name="high">The plane's intensity at <see cref="HighPercentile"/>.</param>
    /// <returns>-1 at low, 1 at high; beyond them only if <see cref="Clamp"/> is off.</returns>
    public double Map(double intensity, double low, double high)
    {
        if (!(high > low))
            return 0;
        double mapped = ((intensity - low) / (high - low) * 2) - 1;
        return Clamp ? Math.Clamp(mapped, -1, 1) : mapped;
    }

    /// <summary>Checks every bound.</summary>
    /// <exception cref="ArgumentException">The percentiles do not rise or leave 0 to 100.</exception>
    public void Validate()
    {
        if (FindProblem() is { } problem)
            throw new ArgumentException(problem);
    }

    /// <summary>What is wrong, in words, or null.</summary>
    internal string? FindProblem() =>
        LowPercentile is >= 0 and <= 100 && HighPercentile is >= 0 and <= 100 && LowPercentile < HighPercentile
            ? null
            : $"The normalisation's percentiles are {LowPercentile} and {HighPercentile}; they must rise and lie in 0 to 100.";
}

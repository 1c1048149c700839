using System.Numerics;

namespace StainGrid.Model;

/// <summary>How well two images agree.</summary>
public static class Correlation
{
    /// <summary>Pearson's correlation coefficient over all pixels, in double precision.</summary>
    /// <param name="first">An image.</param>
    /// <param name="second">An image of as many pixels.</param>
    /// <returns>-1 to 1; NaN where an image is flat.</returns>
    /// <exception cref="ArgumentException">The images differ in size or are empty.</exception>
    public static double Pearson<T>(ReadOnlySpan<T> first, ReadOnlySpan<T> second)
        where T : INumber<T>
    {
        if (first.Length != second.Length || first.IsEmpty)
            throw new ArgumentException($"Images of {first.Length} and {second.Length} pixels cannot be compared.");
        double meanFirst = 0, meanSecond = 0;
        for (int i = 0; i < first.Length; i++)
        {
            meanFirst += double.CreateChecked(first[i]);
            meanSecond += double.CreateChecked(second[i]);
        }

        meanFirst /= first.Length;
        meanSecond /= second.Length;
        double together = 0, squareFirst = 0, squareSecond = 0;
        for (int i = 0; i < first.Length; i++)
        {
            double a = double.CreateChecked(first[i]) - meanFirst, b = double.CreateChecked(second[i]) - meanSecond;
            together += a * b;
            squareFirst += a * a;
            squareSecond += b * b;
        }

        return together / Math.Sqrt(squareFirst * squareSecond);
    }
}

using System.Globalization;

namespace StainGrid.Bench;

/// <summary>A row of the table.</summary>
/// <param name="Name">What is measured.</param>
/// <param name="Value">The median of the rounds.</param>
/// <param name="AtLeast">The least that it should be; null for none.</param>
/// <param name="AtMost">The most that it should be; null for none.</param>
/// <param name="Rounds">What each round measured.</param>
internal sealed record Figure(string Name, double Value, double? AtLeast = null, double? AtMost = null, IReadOnlyList<double>? Rounds = null)
{
    /// <summary>Whether it is what it should be; null where nothing is asked of it.</summary>
    public bool? Holds => AtLeast is null && AtMost is null ? null : !(Value < AtLeast) && !(Value > AtMost);

    /// <summary>The figure of several rounds.</summary>
    public static Figure Of(string name, IEnumerable<double> rounds, double? atLeast = null, double? atMost = null)
    {
        double[] values = [.. rounds];
        return new Figure(name, values.Order().ElementAt(values.Length / 2), atLeast, atMost, values);
    }

    /// <summary>Prints figures as a table.</summary>
    public static void Print(IEnumerable<Figure> figures)
    {
        Console.WriteLine($"{"figure",-72}{"asked",12}{"measured",12}  holds  rounds");
        foreach (var figure in figures)
        {
            string asked = figure.AtLeast is { } least ? $">= {Number(least)}" : figure.AtMost is { } most ? $"<= {Number(most)}" : "";
            string holds = figure.Holds is { } right ? right ? "yes" : "NO" : "";
            Console.WriteLine($"{figure.Name,-72}{asked,12}{Number(figure.Value),12}  {holds,-5}  {string.Join(' ', (figure.Rounds ?? []).Select(Number))}");
        }
    }

    private static string Number(double value) => value.ToString(Math.Abs(value) >= 100 ? "F0" : Math.Abs(value) >= 10 ? "F1" : "G3", CultureInfo.InvariantCulture);
}

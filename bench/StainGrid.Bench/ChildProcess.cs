using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace StainGrid.Bench;

/// <summary>This program once more, in a process of its own: its memory is of one run alone.</summary>
internal static class ChildProcess
{
    /// <summary>Runs a part and reads what it printed last.</summary>
    /// <param name="part">The words that make the program that part.</param>
    /// <param name="numbers">The numbers after them.</param>
    /// <exception cref="InvalidOperationException">It failed; the message holds what it printed.</exception>
    public static async Task<T> RunAsync<T>(string part, params int[] numbers)
    {
        using var child = Start([.. part.Split(' '), .. numbers.Select(number => number.ToString(CultureInfo.InvariantCulture))]);
        string output = await child.StandardOutput.ReadToEndAsync();
        await child.WaitForExitAsync();
        return child.ExitCode == 0
            ? JsonSerializer.Deserialize<T>(output.Trim().Split('\n')[^1])!
            : throw new InvalidOperationException($"{part} ended with {child.ExitCode}: {output}");
    }

    /// <summary>Starts this program with these words, its output to be read.</summary>
    public static Process Start(params string[] words)
    {
        string[] host = Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? [typeof(ChildProcess).Assembly.Location] : [];
        return Process.Start(new ProcessStartInfo(Environment.ProcessPath!, [.. host, .. words]) { RedirectStandardOutput = true })!;
    }

    /// <summary>Prints what <see cref="RunAsync"/> reads.</summary>
    public static void Print<T>(T figures) => Console.WriteLine(JsonSerializer.Serialize(figures));
}

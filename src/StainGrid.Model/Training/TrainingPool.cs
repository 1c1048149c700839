using System.Globalization;
using StainGrid.Imaging;

namespace StainGrid.Model;

/// <summary>A field that can be read to be trained on.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Bytes">The memory it takes.</param>
/// <param name="Weight">How likely it is to be drawn, beside the others.</param>
/// <param name="Read">Reads it.</param>
internal sealed record TrainingSource(string Name, long Bytes, double Weight, Func<TrainingField> Read);

/// <summary>The fields that are in memory: all where they fit; else for some steps as many as do, then others. Which ones depends on the seed and the
/// step alone.</summary>
internal sealed class TrainingPool
{
    /// <summary>Steps with the same fields, where not all fit: reading a field takes as long as a few steps.</summary>
    public const int RoundSteps = 200;

    private readonly IReadOnlyList<TrainingSource> sources;
    private readonly long memory;
    private readonly int seed;
    private readonly Dictionary<int, TrainingField> resident = [];
    private int round = -1;

    /// <param name="sources">The fields.</param>
    /// <param name="memory">The most bytes to hold.</param>
    /// <param name="seed">The seed.</param>
    /// <exception cref="ImageException">A field alone is larger.</exception>
    public TrainingPool(IReadOnlyList<TrainingSource> sources, long memory, int seed)
    {
        (this.sources, this.memory, this.seed) = (sources, memory, seed);
        if (sources.FirstOrDefault(source => source.Bytes > memory) is { } large)
        {
            throw new ImageException(string.Create(CultureInfo.InvariantCulture,
                $"{large.Name} takes {large.Bytes / 1e9:F1} GB of memory, and {memory / 1e9:F1} GB are allowed. Allow more (--memory), or give a part of the field."));
        }
    }

    /// <summary>Whether all are in memory at once.</summary>
    public bool HoldsAll => sources.Sum(source => source.Bytes) <= memory;

    /// <summary>The fields of a step; reads those that are not there.</summary>
    public IReadOnlyList<TrainingField> At(int step)
    {
        int wanted = HoldsAll ? 0 : step / RoundSteps;
        if (wanted != round)
        {
            var chosen = Choose(wanted);
            foreach (int gone in resident.Keys.Except(chosen).ToArray())
                resident.Remove(gone);
            foreach (int source in chosen.Where(source => !resident.ContainsKey(source)))
            {
                var field = sources[source].Read();
                field.Weight = sources[source].Weight;
                resident.Add(source, field);
            }

            round = wanted;
        }

        return [.. resident.OrderBy(field => field.Key).Select(field => field.Value)];
    }

    // In an order that the seed and round shuffle, those that fit.
    internal int[] Choose(int wanted)
    {
        int[] order = [.. Enumerable.Range(0, sources.Count)];
        if (!HoldsAll)
            new Random(TrainingTiles.HashCode(seed, -1_000_000 - wanted)).Shuffle(order);
        long taken = 0;
        return [.. order.Where(source =>
        {
            bool fits = taken + sources[source].Bytes <= memory;
            taken += fits ? sources[source].Bytes : 0;
            return fits;
        })];
    }
}

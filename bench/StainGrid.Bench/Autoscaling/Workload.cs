using StainGrid.Tiling;

namespace StainGrid.Bench;

/// <summary>A plate that is submitted.</summary>
/// <param name="At">When, from the start of the simulation, a Monday at 0:00.</param>
/// <param name="Fields">Its fields.</param>
internal readonly record struct PlateArrival(TimeSpan At, int Fields);

/// <summary>Which plates come, and what a field of them costs a device.</summary>
internal sealed record WorkloadOptions
{
    /// <summary>For how long plates come.</summary>
    public TimeSpan Length { get; init; } = TimeSpan.FromDays(14);

    /// <summary>Plates an hour on weekdays from 8 to 20 o'clock.</summary>
    public double Day { get; init; } = 0.6;

    /// <summary>Plates an hour in the nights of weekdays: microscopes with a plate loader.</summary>
    public double Night { get; init; } = 0.1;

    /// <summary>Plates an hour on Saturday and Sunday.</summary>
    public double Weekend { get; init; } = 0.05;

    /// <summary>Wells, fields a well, and the share of such plates; the shares add up to 1.</summary>
    public IReadOnlyList<(int Wells, int Fields, double Share)> Plates { get; init; } = [(96, 4, 0.2), (96, 9, 0.5), (384, 4, 0.2), (384, 9, 0.1)];

    /// <summary>The side of a field, pixels.</summary>
    public int Side { get; init; } = 4600;

    /// <summary>How a field is cut.</summary>
    public TilingOptions Tiling { get; init; } = new();

    /// <summary>A device's time for a tile: a full block of 8x8 takes 200 ms, which docs/scaling.md assumes for an accelerator; none was at hand to measure.</summary>
    public TimeSpan Tile { get; init; } = TimeSpan.FromMilliseconds(200.0 / 64);

    /// <summary>A device's time for each block of a field.</summary>
    public TimeSpan[] BlockTimes()
    {
        var plan = new TilingPlan(Side, Side, Tiling);
        return [.. Enumerable.Range(0, plan.BlockCount).Select(plan.Block).Select(block => block.Columns * block.Rows * Tile)];
    }

    /// <summary>Draws the plates: a Poisson process whose rate is that of the hour (thinned from the highest rate).</summary>
    public IReadOnlyList<PlateArrival> Draw(int seed)
    {
        var random = new Random(seed);
        double most = Math.Max(Day, Math.Max(Night, Weekend));
        var plates = new List<PlateArrival>();
        for (double hour = 0; ;)
        {
            hour -= Math.Log(1 - random.NextDouble()) / most;
            if (hour >= Length.TotalHours)
                return plates;
            if (random.NextDouble() * most >= Rate(hour))
                continue;
            double pick = random.NextDouble();
            int kind = 0;
            while (kind < Plates.Count - 1 && (pick -= Plates[kind].Share) >= 0)
                kind++;
            plates.Add(new PlateArrival(TimeSpan.FromHours(hour), Plates[kind].Wells * Plates[kind].Fields));
        }
    }

    private double Rate(double hour) => (int)(hour / 24) % 7 >= 5 ? Weekend : hour % 24 is >= 8 and < 20 ? Day : Night;
}

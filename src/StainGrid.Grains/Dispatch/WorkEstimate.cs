namespace StainGrid.Grains;

/// <summary>
/// How many device seconds the waiting work takes: "seconds of work waiting" is what devices are scaled by, since it says how long a plate waits, which
/// neither the cores' load nor a number of blocks does. The time a tile is measured from the blocks that were completed lately, by kind (model,
/// labels, precision); the tiles of fields that have not begun are guessed from the plate's others. Not safe for concurrent use.
/// </summary>
public sealed class WorkEstimate
{
    /// <summary>Seconds a tile before anything was measured: a GPU's 200 ms for a block of 64.</summary>
    public const double FirstGuess = 0.2 / 64;

    /// <summary>Tiles of a field before any of its plate is known: a slide of 4600x4600, stride 64.</summary>
    public const double FieldTiles = 5041;

    // The weight of a block halves over the next 14.
    private const double Memory = 0.95;
    private static readonly TimeSpan BacklogLife = TimeSpan.FromMinutes(1);

    private readonly Dictionary<string, Rate> rates = [];
    private readonly Dictionary<string, DateTimeOffset> lastCompletions = [];
    private readonly Dictionary<string, PlateBacklog> plates = [];
    private readonly Rate all = new();

    /// <summary>A block was completed. A device computes one after another, so it took the time since the device's last one, or since it was leased.</summary>
    /// <param name="device">The device.</param>
    /// <param name="kind">What was computed.</param>
    /// <param name="tiles">How many tiles (a tile and plane counts one).</param>
    /// <param name="leased">When the block was leased.</param>
    /// <param name="now">The time.</param>
    public void Completed(string device, string kind, double tiles, DateTimeOffset leased, DateTimeOffset now)
    {
        var began = lastCompletions.TryGetValue(device, out var last) && last > leased ? last : leased;
        lastCompletions[device] = now;
        if (tiles <= 0 || now <= began)
            return;
        if (!rates.TryGetValue(kind, out var rate))
            rates[kind] = rate = new Rate();
        rate.Add((now - began).TotalSeconds, tiles);
        all.Add((now - began).TotalSeconds, tiles);
    }

    /// <summary>A field of a plate is about to be computed.</summary>
    /// <param name="plate">The plate.</param>
    /// <param name="kind">What is computed.</param>
    /// <param name="tiles">The field's tiles.</param>
    public void Began(string plate, string kind, double tiles)
    {
        var known = plates.GetValueOrDefault(plate) ?? new PlateBacklog(kind, 0, 0, 0, default);
        plates[plate] = known with { Kind = kind, Tiles = known.Tiles + tiles, Begun = known.Begun + 1 };
    }

    /// <summary>How many fields of a plate have not begun; said again at least every minute, or it is forgotten.</summary>
    public void SetBacklog(string plate, int fields, DateTimeOffset now)
    {
        var known = plates.GetValueOrDefault(plate) ?? new PlateBacklog(null, 0, 0, 0, default);
        plates[plate] = known with { Waiting = fields, Said = now };
    }

    /// <summary>Plates that said lately that they have fields waiting or running.</summary>
    public IEnumerable<string> Plates(DateTimeOffset now) => plates.Where(plate => now - plate.Value.Said < BacklogLife).Select(plate => plate.Key);

    /// <summary>A plate has ended.</summary>
    public void Ended(string plate) => plates.Remove(plate);

    /// <summary>Device seconds that tiles of a kind take.</summary>
    public double Seconds(string? kind, double tiles) =>
        tiles * (kind is not null && rates.TryGetValue(kind, out var rate) ? rate.SecondsPerTile : all.Tiles > 0 ? all.SecondsPerTile : FirstGuess);

    /// <summary>Device seconds that the fields take that have not begun.</summary>
    public double BacklogSeconds(DateTimeOffset now)
    {
        foreach (string plate in plates.Where(plate => now - plate.Value.Said >= BacklogLife && plate.Value.Said != default).Select(plate => plate.Key).ToArray())
            plates.Remove(plate);
        return plates.Values.Sum(plate => Seconds(plate.Kind, plate.Waiting * (plate.Begun > 0 ? plate.Tiles / plate.Begun : FieldTiles)));
    }

    private sealed record PlateBacklog(string? Kind, double Tiles, int Begun, int Waiting, DateTimeOffset Said);

    private sealed class Rate
    {
        private double seconds;

        public double Tiles { get; private set; }

        public double SecondsPerTile => seconds / Tiles;

        public void Add(double seconds, double tiles)
        {
            this.seconds = (this.seconds * Memory) + seconds;
            Tiles = (Tiles * Memory) + tiles;
        }
    }
}

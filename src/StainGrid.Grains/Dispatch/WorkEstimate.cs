namespace StainGrid.Grains;

/// <summary>
/// How many device seconds the waiting work takes: "seconds of work waiting" is what devices are scaled by, since it says how long a plate waits, which
/// neither the cores' load nor a number of blocks does. The time a tile is what devices took lately, by kind (model,
/// labels, precision), without what they waited for: more devices do not help against a slow store; the tiles of fields that have not begun are guessed from the plate's others. Not safe for concurrent use.
/// </summary>
public sealed class WorkEstimate
{
    /// <summary>Seconds a tile before anything was measured: a GPU's 200 ms for a block of 64.</summary>
    public const double FirstGuess = 0.2 / 64;

    /// <summary>Tiles of a field before any of its plate is known: a slide of 4600x4600, stride 64.</summary>
    public const double FieldTiles = 5041;

    // The weight of a block halves over the next 14.
    private const double Memory = 0.95;
    private const int MostWarm = 4096;
    private static readonly TimeSpan BacklogLife = TimeSpan.FromMinutes(1);

    private readonly Dictionary<string, Rate> rates = [];
    private readonly HashSet<(string Device, string Kind)> warm = [];
    private readonly Dictionary<string, PlateBacklog> plates = [];
    private readonly Rate all = new();

    /// <summary>A block was completed. A device's first of a kind says nothing: its libraries start.</summary>
    /// <param name="device">The device.</param>
    /// <param name="kind">What was computed.</param>
    /// <param name="tiles">How many tiles (a tile and plane counts one).</param>
    /// <param name="seconds">How long the device computed.</param>
    public void Completed(string device, string kind, double tiles, double seconds)
    {
        if (warm.Count >= MostWarm)
            warm.Clear();   // of devices that have gone
        if (warm.Add((device, kind)) || tiles <= 0 || !(seconds > 0 && double.IsFinite(seconds)))
            return;
        if (!rates.TryGetValue(kind, out var rate))
            rates[kind] = rate = new Rate();
        rate.Add(seconds, tiles);
        all.Add(seconds, tiles);
    }

    /// <summary>A field of a plate is about to be computed.</summary>
    /// <param name="plate">The plate.</param>
    /// <param name="kind">What is computed.</param>
    /// <param name="tiles">The field's tiles.</param>
    /// <param name="now">The time.</param>
    public void Began(string plate, string kind, double tiles, DateTimeOffset now)
    {
        var known = plates.GetValueOrDefault(plate) ?? new PlateBacklog(kind, 0, 0, 0, now);
        plates[plate] = known with { Kind = kind, Tiles = known.Tiles + tiles, Begun = known.Begun + 1, Said = now };
    }

    /// <summary>How many fields of a plate have no blocks yet; said again at least every minute, or it is forgotten.</summary>
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

    /// <summary>Device seconds that the fields take that have no blocks yet.</summary>
    public double BacklogSeconds(DateTimeOffset now)
    {
        foreach (string plate in plates.Where(plate => now - plate.Value.Said >= BacklogLife).Select(plate => plate.Key).ToArray())
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

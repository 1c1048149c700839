using System.ComponentModel.DataAnnotations;

namespace StainGrid.Grains;

/// <summary>The devices of a silo.</summary>
public sealed record DeviceOptions
{
    /// <summary>The devices, each "cpu" or "cuda:N".</summary>
    [Required, MinLength(1)]
    public IReadOnlyList<string> Devices { get; init; } = ["cpu"];

    /// <summary>Blocks that a device holds, so that reading, computing and shipping overlap, 1 to 16.</summary>
    [Range(1, 16)]
    public int Leases { get; init; } = 3;

    /// <summary>Tiles that "cpu" computes side by side, each on a core of its own, 1 to 1024; 0 for all cores. Does not change the result.</summary>
    [Range(0, 1024)]
    public int Threads { get; init; }
}

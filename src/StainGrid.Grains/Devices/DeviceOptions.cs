using System.ComponentModel.DataAnnotations;

namespace StainGrid.Grains;

/// <summary>The devices of a silo.</summary>
public sealed record DeviceOptions
{
    /// <summary>The devices, each "cpu" or "cuda:N".</summary>
    [Required, MinLength(1)]
    public IReadOnlyList<string> Devices { get; init; } = ["cpu"];

    /// <summary>Tiles that a device computes at once, 1 to 256. Part of what the result's bytes depend on.</summary>
    [Range(1, 256)]
    public int BatchSize { get; init; } = 4;

    /// <summary>Blocks that a device holds, so that reading, computing and shipping overlap, 1 to 16.</summary>
    [Range(1, 16)]
    public int Leases { get; init; } = 3;
}

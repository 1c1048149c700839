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
}

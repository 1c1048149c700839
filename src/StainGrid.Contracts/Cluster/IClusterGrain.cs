namespace StainGrid.Contracts;

/// <summary>What the silos of a cluster say of themselves. There is one, of key 0.</summary>
[Alias("staingrid.cluster")]
public interface IClusterGrain : IGrainWithIntegerKey
{
    /// <summary>The silos that are alive, as far as this one knows.</summary>
    [Alias("silos")]
    Task<IReadOnlyList<SiloDescription>> ListSilosAsync();
}

/// <summary>A silo, by what it says of itself; what an older version does not say is empty.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.silo-description")]
public sealed record SiloDescription
{
    /// <summary>Its address, as the membership table has it.</summary>
    [Id(0)] public required string Address { get; init; }

    /// <summary>Its name.</summary>
    [Id(1)] public string Name { get; init; } = "";

    /// <summary>Whether plates, slides and stitchers may be there.</summary>
    [Id(2)] public bool Cpu { get; init; }

    /// <summary>Whether it has devices.</summary>
    [Id(3)] public bool Accelerator { get; init; }

    /// <summary>StainGrid's version.</summary>
    [Id(4)] public string Version { get; init; } = "";

    /// <summary>Orleans' version.</summary>
    [Id(5)] public string Orleans { get; init; } = "";

    /// <summary>.NET's version.</summary>
    [Id(6)] public string Runtime { get; init; } = "";
}

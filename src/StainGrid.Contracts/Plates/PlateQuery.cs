namespace StainGrid.Contracts;

/// <summary>Which plates to list, the newest first.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.plate-query")]
public sealed record PlateQuery
{
    /// <summary>The most plates that a page has.</summary>
    public const int MostPlates = 1000;

    /// <summary>Only those whose id starts so; empty for all.</summary>
    [Id(0)] public string Prefix { get; init; } = "";

    /// <summary>Only those in this state; null for any.</summary>
    [Id(1)] public PlateState? State { get; init; }

    /// <summary>Only those whose name, id or source contains this, in capitals or not; null for any.</summary>
    [Id(2)] public string? Text { get; init; }

    /// <summary>Only those that follow this plate in the list: the last one of the page before; null for the first page.</summary>
    [Id(3)] public string? After { get; init; }

    /// <summary>At most so many, 1 to <see cref="MostPlates"/>.</summary>
    [Id(4)] public int Limit { get; init; } = 100;
}

namespace StainGrid.Contracts;

/// <summary>What goes with a plate that is deleted, besides its record.</summary>
[GenerateSerializer, Immutable, Alias("staingrid.plate-deletion")]
public sealed record PlateDeletion
{
    /// <summary>Whether its result goes, and what was uploaded for it where no other plate is made from that.</summary>
    [Id(0)] public bool Result { get; init; }

    /// <summary>The result's address, with a signature that is good now where it needs one: a result anywhere else stays. Null for where the plate was submitted to.</summary>
    [Id(1)] public string? At { get; init; }

    /// <summary>Without the signature that the address may have: Orleans writes the arguments of a call into its messages.</summary>
    public override string ToString() => $"{nameof(PlateDeletion)}{(Result ? " with its result" : "")}";
}

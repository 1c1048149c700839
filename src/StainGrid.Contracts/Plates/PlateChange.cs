namespace StainGrid.Contracts;

/// <summary>A plate's status, and what changed of its fields since a version that a watcher has seen.</summary>
/// <param name="Status">The status; its version is what to ask for the changes after.</param>
/// <param name="Fields">The fields whose status is another than at that version, each as it is now; all of them for a watcher that has seen nothing. One that
/// a watcher has seen may come again after its plate's silo was lost.</param>
[GenerateSerializer, Immutable, Alias("staingrid.plate-change")]
public sealed record PlateChange([property: Id(0)] PlateStatus Status, [property: Id(1)] IReadOnlyList<FieldStatus> Fields);

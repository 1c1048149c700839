using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>The part of a field that one side of a split may see: nothing outside of it is read, not even as context.</summary>
/// <param name="Field">The field.</param>
/// <param name="Region">The pixels; null for the whole field.</param>
public sealed record FieldPart(PairedField Field, Region? Region);

/// <summary>What is trained on, what is looked at while training, and what is held out.</summary>
/// <param name="Train">For the optimiser.</param>
/// <param name="Validation">For learning curves and the choice of weights.</param>
/// <param name="Test">For the figures alone.</param>
public sealed record DataSplit(IReadOnlyList<FieldPart> Train, IReadOnlyList<FieldPart> Validation, IReadOnlyList<FieldPart> Test);

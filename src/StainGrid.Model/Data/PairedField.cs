namespace StainGrid.Model;

/// <summary>A field of view with what is known of it: transmitted light, plane by plane, and the true fluorescence of some labels.</summary>
/// <param name="Name">Its name in messages and reports, of its own in the data: lab/condition/well/field.</param>
/// <param name="Condition">The condition that figures are given for (A to E in the paper's table I; a folder's or manifest's name otherwise).</param>
/// <param name="Well">The well by which data is split, such as A4; empty where none is known.</param>
/// <param name="Planes">Files of the transmitted light, one a plane in their order, or one file of all planes.</param>
/// <param name="Labels">The file of each label's true image, by the label's name.</param>
public sealed record PairedField(
    string Name, string Condition, string Well, IReadOnlyList<string> Planes, IReadOnlyDictionary<string, string> Labels);

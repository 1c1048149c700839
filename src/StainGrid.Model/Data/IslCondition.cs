namespace StainGrid.Model;

/// <summary>A condition of the In Silico Labeling data set (Christiansen et al., Cell 2018, table 1; the paper's table I), which is
/// published under other names (data.md of github.com/google/in-silico-labeling).</summary>
/// <param name="Letter">A to E.</param>
/// <param name="Labels">The labels that its fields have; none of C and D, whose are not known here.</param>
public sealed record IslCondition(string Letter, IReadOnlyList<string> Labels)
{
    private static readonly IslCondition s_a = new("A", ["DAPI_WIDEFIELD", "TUJ1_WIDEFIELD", "ISLET_WIDEFIELD"]);
    private static readonly IslCondition s_b = new("B", ["DAPI_CONFOCAL", "MAP2_CONFOCAL", "NFH_CONFOCAL"]);
    private static readonly IslCondition s_c = new("C", []);
    private static readonly IslCondition s_d = new("D", []);
    private static readonly IslCondition s_e = new("E", ["DAPI_CONFOCAL", "CELLMASK_CONFOCAL"]);

    /// <summary>The condition that a lab's name and a condition's name in the data set mean (case does not matter), or null.</summary>
    /// <param name="lab">Such as Finkbeiner.</param>
    /// <param name="condition">Such as kevan_0_8.</param>
    public static IslCondition? Find(string lab, string condition)
    {
        ArgumentNullException.ThrowIfNull(lab);
        ArgumentNullException.ThrowIfNull(condition);
        return (lab.ToUpperInvariant(), condition.ToUpperInvariant()) switch
        {
            ("RUBIN", "SCOTT_1_0") => s_a,
            ("FINKBEINER", "KEVAN_0_7" or "KEVAN_0_8" or "KEVAN_0_9" or "KEVAN_0_10") => s_b,
            ("FINKBEINER", "ALICIA_2_0") => s_c,
            ("FINKBEINER", "YUSHA_0_1") => s_d,
            ("GLS", "2015_06_26") => s_e,
            _ => null,
        };
    }
}

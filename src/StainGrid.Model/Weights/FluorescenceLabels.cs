namespace StainGrid.Model;

/// <summary>The eight labels of the data set, with default colours and the full 16-bit range.</summary>
public static class FluorescenceLabels
{
    /// <summary>Nuclei (DAPI or Hoechst), confocal.</summary>
    public static LabelInfo DapiConfocal { get; } = Label("DAPI_CONFOCAL", "3D6BFF");

    /// <summary>Nuclei (DAPI or Hoechst), widefield.</summary>
    public static LabelInfo DapiWidefield { get; } = Label("DAPI_WIDEFIELD", "3D9EFF");

    /// <summary>Cell membranes (CellMask), confocal.</summary>
    public static LabelInfo CellMaskConfocal { get; } = Label("CELLMASK_CONFOCAL", "FFD23D");

    /// <summary>Neurons (anti-TuJ1), widefield.</summary>
    public static LabelInfo Tuj1Widefield { get; } = Label("TUJ1_WIDEFIELD", "3DFFC5");

    /// <summary>Axons (anti-neurofilament), confocal.</summary>
    public static LabelInfo NfhConfocal { get; } = Label("NFH_CONFOCAL", "FF3D3D");

    /// <summary>Dendrites (anti-MAP2), confocal.</summary>
    public static LabelInfo Map2Confocal { get; } = Label("MAP2_CONFOCAL", "3DFF58");

    /// <summary>Motor neurons (anti-Islet1), widefield.</summary>
    public static LabelInfo IsletWidefield { get; } = Label("ISLET_WIDEFIELD", "FF3DF2");

    /// <summary>Dead cells (propidium iodide), confocal.</summary>
    public static LabelInfo DeadConfocal { get; } = Label("DEAD_CONFOCAL", "FF8A3D");

    /// <summary>All eight, in the design's order.</summary>
    public static IReadOnlyList<LabelInfo> All { get; } =
    [
        DapiConfocal, DapiWidefield, CellMaskConfocal, Tuj1Widefield, NfhConfocal, Map2Confocal, IsletWidefield, DeadConfocal,
    ];

    /// <summary>The label of that name (case does not matter), or null.</summary>
    public static LabelInfo? Find(string name) =>
        All.FirstOrDefault(label => string.Equals(label.Name, name, StringComparison.OrdinalIgnoreCase));

    private static LabelInfo Label(string name, string colour) => new(name, 0, ushort.MaxValue, colour);
}

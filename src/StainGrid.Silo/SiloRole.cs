namespace StainGrid.Silo;

/// <summary>What a silo is for.</summary>
public enum SiloRole
{
    /// <summary>Everything.</summary>
    All,

    /// <summary>Plates, slides, stitchers and the dispatcher; no devices.</summary>
    Cpu,

    /// <summary>Tiles, on its devices.</summary>
    Accelerator,
}

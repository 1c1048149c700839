namespace StainGrid.Grains;

/// <summary>What a silo tells the others of itself, by which grains are placed.</summary>
public static class SiloMetadataKeys
{
    /// <summary>The silo's name, the first part of the keys of its tile grains.</summary>
    public const string Silo = "silo";

    /// <summary>"true" where plates, slides, stitchers and the dispatcher may be.</summary>
    public const string Cpu = "role.cpu";

    /// <summary>"true" where tiles are predicted.</summary>
    public const string Accelerator = "role.accelerator";
}

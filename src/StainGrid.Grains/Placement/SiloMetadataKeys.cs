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

    /// <summary>"true" where the silo's devices multiply bfloat16 faster than float32.</summary>
    public const string BFloat16 = "bfloat16";

    /// <summary>"true" where the silo knows the places of the service's plates.</summary>
    public const string Service = "service";

    /// <summary>StainGrid's version.</summary>
    public const string Version = "version";

    /// <summary>Orleans' version.</summary>
    public const string Orleans = "version.orleans";

    /// <summary>.NET's version.</summary>
    public const string Runtime = "version.runtime";
}

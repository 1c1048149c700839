namespace StainGrid.Imaging.Specimen;

/// <summary>
/// A synthetic neuron culture: transmitted-light planes and the fluorescence labels that belong to them. Nothing in it was
/// seen through a microscope; it is for demonstrations and tests, and its statistics only resemble those of In Silico
/// Labeling's condition B (human motor neurons).
/// </summary>
/// <remarks>
/// Drawn: clumps of cells and single ones (nucleus with nucleoli, soma, branching dendrites that taper), axons alone and in
/// bundles, dead cells, debris, unstained cytoplasm, dust on the camera. The optics are a caricature: a phase map less its
/// wide blur (phase contrast with its halo) and its slope (oblique light: the upper side of a cell is dark), blurred more
/// with the distance from focus, plus the distance times the Laplacian (transport of intensity), which inverts
/// contrast across the focus; then absorption, uneven light, shot and read noise. The labels are max-projection-like: all
/// structures sharp, on a dark level near 13,000.
/// <para>The same options give the same bytes on any machine and any number of cores: an own generator, IEEE basic
/// arithmetic only, and every pixel summed in a fixed order.</para>
/// <para>Planes and labels are computed when asked for and not kept; 8 bytes a pixel are. Thread-safe.</para>
/// </remarks>
public sealed class SyntheticSpecimen
{
    private static readonly string[] Names = ["DAPI_CONFOCAL", "MAP2_CONFOCAL", "NFH_CONFOCAL"];

    private readonly SpecimenOptions _options;
    private readonly CultureScene _scene;
    private readonly TransmittedLight _light;

    private SyntheticSpecimen(SpecimenOptions options)
    {
        _options = options;
        _scene = new CultureScene(options);
        _light = new TransmittedLight(_scene, options);
    }

    /// <summary>The labels that <see cref="Label"/> gives: DAPI_CONFOCAL, MAP2_CONFOCAL, NFH_CONFOCAL.</summary>
    public static IReadOnlyList<string> LabelNames => Names;

    /// <summary>Width in pixels.</summary>
    public int Width => _options.Width;

    /// <summary>Height in pixels.</summary>
    public int Height => _options.Height;

    /// <summary>The number of planes.</summary>
    public int Planes => _options.Planes;

    /// <summary>The plane in focus: Planes / 2.</summary>
    public int FocusPlane => _options.Planes / 2;

    /// <summary>What it was made from.</summary>
    public SpecimenOptions Options => _options;

    /// <summary>Makes the culture that <paramref name="options"/> name.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of range; nothing was allocated.</exception>
    public static SyntheticSpecimen Generate(SpecimenOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        return new SyntheticSpecimen(options);
    }

    /// <summary>Transmitted light at plane <paramref name="z"/>: [Height, Width] in row order, 16 bits, background near
    /// 32,768.</summary>
    /// <param name="z">Plane, 0 to Planes - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such plane.</exception>
    public ushort[] Plane(int z)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(z);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(z, Planes);
        return _light.Plane(z);
    }

    /// <summary>The true fluorescence of one label: [Height, Width] in row order, 16 bits, dark level near 13,000.</summary>
    /// <param name="name">One of <see cref="LabelNames"/>.</param>
    /// <exception cref="ArgumentException">There is no such label.</exception>
    public ushort[] Label(string name) => name switch
    {
        "DAPI_CONFOCAL" => Fluorescence.Image(_scene, SceneLayer.Dapi, _options, dark: 14_000, haze: 150, noise: 120),
        "MAP2_CONFOCAL" => Fluorescence.Image(_scene, SceneLayer.Map2, _options, dark: 13_500, haze: 700, noise: 200),
        "NFH_CONFOCAL" => Fluorescence.Image(_scene, SceneLayer.Nfh, _options, dark: 12_900, haze: 200, noise: 120),
        _ => throw new ArgumentException(
            $"A synthetic specimen has no label \"{name}\"; it has {string.Join(", ", Names)}.", nameof(name)),
    };
}

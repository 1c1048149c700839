namespace StainGrid.Imaging.Specimen;

/// <summary>A map that the structures are drawn into.</summary>
internal enum SceneLayer
{
    /// <summary>Optical path, in units of about a cell's.</summary>
    Phase,

    /// <summary>Light lost, a fraction.</summary>
    Absorption,

    /// <summary>DNA.</summary>
    Dapi,

    /// <summary>Somas and dendrites.</summary>
    Map2,

    /// <summary>Axons.</summary>
    Nfh,
}

/// <summary>How a blob's amount falls from its centre to its outline.</summary>
internal enum BlobProfile
{
    /// <summary>Like a lens: thick at the centre.</summary>
    Dome,

    /// <summary>Flat with a soft edge.</summary>
    Plateau,
}

/// <summary>An ellipse with a wobbly outline and a texture. Lengths in pixels.</summary>
internal sealed record Blob(
    float X, float Y, float AxisX, float AxisY, float A, float B, BlobProfile Profile, float Amount,
    float Wobble, float Texture, float Grain, ulong Seed);

/// <summary>A curve as points one pixel apart; each has its half-width (a Gaussian's sigma, pixels) and strength.</summary>
internal sealed class Fibre(List<FibrePoint> points)
{
    public IReadOnlyList<FibrePoint> Points { get; } = points;

    public float Top { get; } = points.Min(p => p.Y - 4 * p.Sigma);

    public float Bottom { get; } = points.Max(p => p.Y + 4 * p.Sigma);
}

/// <summary>A point of a <see cref="Fibre"/>.</summary>
internal readonly record struct FibrePoint(float X, float Y, float Sigma, float Strength);

/// <summary>A fibre as one layer shows it: its amount at strength 1, and its width against the fibre's own.</summary>
internal sealed record FibreInLayer(Fibre Fibre, float Amount, float WidthFactor);

/// <summary>A mote on the camera: a ring that is the same in every plane.</summary>
internal readonly record struct Mote(float X, float Y, float Radius, float Amount);

/// <summary>The structures of the culture, and which layer shows which. Made once from the seed; drawn by
/// <see cref="SceneRenderer"/>.</summary>
internal sealed class CultureScene
{
    /// <summary>Pixels of the field whose structures are counted below: In Silico Labeling's condition B, 768 x 1024.</summary>
    private const double ReferenceArea = 768 * 1024;
    private const double ReferencePixel = 0.65;

    private readonly SpecimenRandom _random;
    private readonly double _scale, _left, _top, _right, _bottom;
    private readonly List<Blob>[] _blobs = [[], [], [], [], []];
    private readonly List<(double X, double Y)> _clumps = [];
    private readonly List<FibreInLayer>[] _fibres = [[], [], [], [], []];

    public CultureScene(SpecimenOptions options)
    {
        _random = new SpecimenRandom(StableMath.Mix(options.Seed + 0x5BD1E995));
        _scale = ReferencePixel / options.PixelSizeMicrometres;
        double margin = 60 * _scale;
        (_left, _top, _right, _bottom) = (-margin, -margin, options.Width + margin, options.Height + margin);
        double fields = (_right - _left) * (_bottom - _top) / (_scale * _scale) / ReferenceArea;
        if (options.Density > 0)
            Grow(options, fields * options.Density);
        for (int i = _random.Count(60.0 * options.Width * options.Height / ReferenceArea); i > 0; i--)
        {
            Motes.Add(new Mote((float)_random.Between(0, options.Width), (float)_random.Between(0, options.Height),
                (float)_random.Between(2.5, 5), (float)_random.Between(0.05, 0.25)));
        }
    }

    public List<Mote> Motes { get; } = [];

    public IReadOnlyList<Blob> Blobs(SceneLayer layer) => _blobs[(int)layer];

    public IReadOnlyList<FibreInLayer> Fibres(SceneLayer layer) => _fibres[(int)layer];

    private void Grow(SpecimenOptions options, double fields)
    {
        // The first clump is in the picture, so that the smallest specimen has a cell.
        Clump(options.Width * _random.Between(0.3, 0.7), options.Height * _random.Between(0.3, 0.7),
            Math.Clamp((int)((double)options.Width * options.Height / (_scale * _scale) / 4000), 1, 14));
        for (int i = _random.Count(9 * fields); i > 0; i--)
        {
            double u = _random.Unit();
            Clump(_random.Between(_left, _right), _random.Between(_top, _bottom), 4 + (int)(22 * u * u));
        }

        for (int i = _random.Count(10 * fields); i > 0; i--)
            Clump(_random.Between(_left, _right), _random.Between(_top, _bottom), 1);
        for (int i = _random.Count(42 * fields); i > 0; i--)
        {
            // Half of the axons leave a clump; the others come from a cell that is not in the field.
            var (x, y) = _random.Chance(0.5)
                ? _clumps[(int)(_random.Unit() * _clumps.Count)]
                : (_random.Between(_left, _right), _random.Between(_top, _bottom));
            AxonBundle(x + 12 * _scale * _random.Normal(), y + 12 * _scale * _random.Normal());
        }

        for (int i = _random.Count(70 * fields); i > 0; i--)
            Debris(_random.Between(_left, _right), _random.Between(_top, _bottom));
        for (int i = _random.Count(7 * fields); i > 0; i--)
            DeadCell(_random.Between(_left, _right), _random.Between(_top, _bottom));
        for (int i = _random.Count(5 * fields); i > 0; i--)
            Veil(_random.Between(_left, _right), _random.Between(_top, _bottom));
    }

    private void Clump(double x, double y, int count)
    {
        _clumps.Add((x, y));
        var along = _random.Direction();
        double spread = 9.5 * Math.Sqrt(count) * _scale, aspect = _random.Between(1, 2.2);
        var placed = new List<(double X, double Y)>();
        for (int i = 0; i < count; i++)
        {
            double cx = x, cy = y;
            for (int attempt = 0; attempt < 12 && i > 0; attempt++)
            {
                double u = _random.Normal() * spread * aspect * 0.7, v = _random.Normal() * spread / aspect * 0.7;
                (cx, cy) = (x + along.X * u - along.Y * v, y + along.Y * u + along.X * v);
                double near = (16 - 0.5 * attempt) * _scale;
                if (!placed.Exists(p => Square(p.X - cx) + Square(p.Y - cy) < near * near))
                    break;
            }

            placed.Add((cx, cy));
            Cell(cx, cy, along, count == 1 ? _random.Count(3.4) : _random.Count(0.55));
        }
    }

    private void Cell(double x, double y, (double X, double Y) along, int dendrites)
    {
        var axis = Turn(along, 0.8 * _random.Normal());
        double a = _random.Between(11, 17), b = _random.Between(8.5, 11.5);
        ulong outline = _random.Next();
        double stain = _random.Between(0.3, 0.85), map2 = stain * 0.6 + _random.Between(0.05, 0.4);

        // Soma: wider than the nucleus, and what phase contrast mostly sees.
        double sx = x + 2 * _scale * _random.Normal(), sy = y + 2 * _scale * _random.Normal();
        double sa = a + _random.Between(2, 6), sb = b + _random.Between(2, 4.5), height = _random.Between(0.8, 1.4);
        ulong soma = _random.Next();
        Add(SceneLayer.Phase, sx, sy, axis, sa, sb, BlobProfile.Dome, height, 0.25, 0.4, 3, soma);
        Add(SceneLayer.Map2, sx, sy, axis, sa, sb, BlobProfile.Plateau, map2, 0.25, 0.25, 6, soma);
        Add(SceneLayer.Absorption, sx, sy, axis, sa, sb, BlobProfile.Plateau, 0.05, 0.25, 0.3, 4, soma);
        if (_random.Chance(0.4))
        {
            double nfh = _random.Between(0.1, 0.5);
            Add(SceneLayer.Nfh, sx, sy, axis, sa, sb, BlobProfile.Plateau, nfh, 0.25, 0.5, 7, soma);
        }


        // Nucleus: a smoother lens with an edge, chromatin texture in proportion to the stain, and nucleoli.
        Add(SceneLayer.Phase, x, y, axis, a, b, BlobProfile.Plateau, 0.2 + 0.5 * stain, 0.15, 0.25, 5, outline);
        Add(SceneLayer.Dapi, x, y, axis, a, b, BlobProfile.Plateau, stain, 0.15, 0.25, 5, outline);
        for (int i = 1 + _random.Count(1.2); i > 0; i--)
        {
            var to = _random.Direction();
            double r = 0.5 * b * _scale * _random.Unit(), nucleolus = _random.Between(1.8, 2.8);
            double nx = x + to.X * r, ny = y + to.Y * r;
            Add(SceneLayer.Phase, nx, ny, axis, nucleolus, nucleolus, BlobProfile.Dome, 0.7, 0, 0, 1, 1);
            Add(SceneLayer.Dapi, nx, ny, axis, nucleolus, nucleolus, BlobProfile.Dome, -0.2 * stain, 0, 0, 1, 1);
        }

        for (int i = 0; i < dendrites; i++)
        {
            var to = _random.Direction();
            Dendrite(sx + to.X * sb * 0.7 * _scale, sy + to.Y * sb * 0.7 * _scale, to,
                _random.Between(2, 3), map2 * _random.Between(0.35, 0.75), 0);
        }
    }

    private void Dendrite(double x, double y, (double X, double Y) direction, double sigma, double stain, int order)
    {
        double length = _random.Between(60, 150) * (order == 0 ? 1 : 0.6);
        var points = Walk(ref x, ref y, ref direction, length, 0.012, sigma, Math.Max(0.8, sigma * 0.4), 0.4);
        if (points.Count == 0)
            return;
        var fibre = new Fibre(points);
        AddFibre(SceneLayer.Phase, fibre, 0.30 * sigma, 1);
        AddFibre(SceneLayer.Map2, fibre, stain, 1);
        if (order < 2 && _random.Chance(0.6))
        {
            Dendrite(x, y, Turn(direction, _random.Between(0.3, 0.7)), sigma * 0.55, stain * 0.6, order + 1);
            Dendrite(x, y, Turn(direction, -_random.Between(0.3, 0.7)), sigma * 0.55, stain * 0.6, order + 1);
        }
    }

    private void AxonBundle(double x, double y)
    {
        var direction = _random.Direction();
        int count = _random.Chance(0.25) ? 2 + _random.Count(2) : 1;
        double length = _random.Between(300, 1500);
        ulong course = _random.Next();
        for (int i = 0; i < count; i++)
        {
            // Axons of a bundle take the same course with small turns of their own.
            double ax = x + 3 * _scale * _random.Normal(), ay = y + 3 * _scale * _random.Normal();
            double sigma = _random.Between(0.85, 1.35), u = _random.Unit(), stain = 0.1 + 0.75 * u * u;
            var heading = Turn(direction, 0.03 * _random.Normal());
            double own = length * _random.Between(0.6, 1);
            var points = Walk(ref ax, ref ay, ref heading, own, 0.0045, sigma, sigma * 0.85, 0.75, course, 45);
            if (points.Count == 0)
                continue;
            var fibre = new Fibre(points);
            AddFibre(SceneLayer.Phase, fibre, 0.14 + 0.22 * stain, 0.9);
            AddFibre(SceneLayer.Nfh, fibre, stain, 1.15);
        }
    }

    private void Debris(double x, double y)
    {
        double radius = 1.5 + 3.5 * Square(_random.Unit());
        var axis = _random.Direction();
        ulong seed = _random.Next();
        double flat = _random.Between(0.75, 1);
        double thick = _random.Between(0.6, 1.8), dark = _random.Between(0, 0.35);
        Add(SceneLayer.Phase, x, y, axis, radius, radius * flat, BlobProfile.Dome, thick, 0.2, 0.2, 2, seed);
        Add(SceneLayer.Absorption, x, y, axis, radius, radius * flat, BlobProfile.Dome, dark, 0.2, 0, 2, seed);
    }

    private void DeadCell(double x, double y)
    {
        // Shrunken and round; its DNA is condensed, so small and bright, and MAP2 antibody sticks to it.
        for (int lobes = 1 + _random.Count(0.6); lobes > 0; lobes--)
        {
            double cx = x + 7 * _scale * _random.Normal() * (lobes - 1);
            double cy = y + 7 * _scale * _random.Normal() * (lobes - 1);
            var axis = _random.Direction();
            double radius = _random.Between(5, 8), bright = _random.Between(0.5, 1.2);
            ulong seed = _random.Next();
            Add(SceneLayer.Phase, cx, cy, axis, radius + 2, radius + 1, BlobProfile.Dome, 2.6, 0.1, 0.4, 3, seed);
            Add(SceneLayer.Absorption, cx, cy, axis, radius, radius, BlobProfile.Plateau, 0.15, 0.1, 0.5, 3, seed);
            Add(SceneLayer.Dapi, cx, cy, axis, radius, radius, BlobProfile.Plateau, bright, 0.1, 0.1, 3, seed);
            Add(SceneLayer.Map2, cx, cy, axis, radius, radius, BlobProfile.Plateau, 0.7 * bright, 0.1, 0.1, 3, seed);
        }
    }

    /// <summary>Thin granular cytoplasm without any of the stains: what a network must not call a cell.</summary>
    private void Veil(double x, double y)
    {
        double a = _random.Between(30, 70);
        Add(SceneLayer.Phase, x, y, _random.Direction(), a, a * _random.Between(0.4, 0.8), BlobProfile.Dome,
            _random.Between(0.12, 0.3), 0.5, 1.6, 2.5, _random.Next());
    }

    private List<FibrePoint> Walk(
        ref double x, ref double y, ref (double X, double Y) direction, double length, double bend,
        double startSigma, double endSigma, double endStrength, ulong course = 0, double startFade = 8)
    {
        int steps = (int)(length * _scale);
        var points = new List<FibrePoint>(steps);
        double curvature = 0;
        ulong beads = _random.Next();
        var shared = new SpecimenRandom(course);
        for (int i = 0; i < steps; i++)
        {
            double t = (double)i / steps, along = i / _scale;
            // A curvature that itself wanders gives smooth curves; bundles share most of it.
            double pull = course == 0 ? _random.Normal() : 0.97 * shared.Normal() + 0.25 * _random.Normal();
            curvature = curvature * 0.985 + pull * bend * 0.17;
            direction = Turn(direction, curvature / _scale);
            x += direction.X;
            y += direction.Y;
            double sigma = (startSigma + (endSigma - startSigma) * t) * _scale;
            double bead = 1 + 0.25 * StableMath.ValueNoise((float)(along / 9), 0.5f, beads);
            double fade = Math.Min(1, Math.Min(along / startFade, (length - along) / 12));
            double strength = (1 + (endStrength - 1) * t) * bead * fade;
            if (x > _left && x < _right && y > _top && y < _bottom)
                points.Add(new FibrePoint((float)x, (float)y, (float)Math.Max(0.6, sigma), (float)strength));
        }

        return points;
    }

    private void Add(SceneLayer layer, double x, double y, (double X, double Y) axis, double a, double b, BlobProfile profile,
        double amount, double wobble, double texture, double grain, ulong seed) =>
        _blobs[(int)layer].Add(new Blob((float)x, (float)y, (float)axis.X, (float)axis.Y, (float)(a * _scale),
            (float)(b * _scale), profile, (float)amount, (float)wobble, (float)texture, (float)(grain * _scale), seed));

    private void AddFibre(SceneLayer layer, Fibre fibre, double amount, double widthFactor) =>
        _fibres[(int)layer].Add(new FibreInLayer(fibre, (float)amount, (float)widthFactor));

    /// <summary>The direction turned by about <paramref name="tangent"/> radians (its arc tangent, exactly).</summary>
    private static (double X, double Y) Turn((double X, double Y) d, double tangent)
    {
        double x = d.X - tangent * d.Y, y = d.Y + tangent * d.X, length = Math.Sqrt(x * x + y * y);
        return (x / length, y / length);
    }

    private static double Square(double v) => v * v;
}

namespace StainGrid.Imaging.Specimen;

/// <summary>The microscope: phase-contrast-like planes of a scene.</summary>
internal sealed class TransmittedLight
{
    private const int StripRows = 128;
    private const float Background = 32_768;

    // Fitted by eye and by percentiles to condition B, see SyntheticSpecimen's remarks.
    private const float PhaseGain = 0.24f, ReliefGain = 1.6f, DefocusGain = 0.36f;
    private const float ShotNoise = 0.068f, ReadNoise = 0.02f;
    private const float HaloShare = 0.9f;

    private readonly SpecimenOptions _options;
    private readonly CultureScene _scene;
    private readonly float[] _phase, _absorption;
    private readonly float _tiltX, _tiltY, _bowl, _slopeX, _slopeY;

    public TransmittedLight(CultureScene scene, SpecimenOptions options)
    {
        (_scene, _options) = (scene, options);
        int width = options.Width, height = options.Height;
        _absorption = SceneRenderer.Render(scene, SceneLayer.Absorption, width, height);
        _phase = SceneRenderer.Render(scene, SceneLayer.Phase, width, height);
        ulong seed = StableMath.Mix(options.Seed + 77);
        Parallel.For(0, height, y =>
        {
            for (int x = 0; x < width; x++)
                _phase[y * width + x] += Substrate(x, y, seed);
        });
        var halo = (float[])_phase.Clone();
        Blur.Wide(halo, width, height, Math.Max(2, (int)(9 * 0.65 / options.PixelSizeMicrometres)));
        Parallel.For(0, height, y =>
        {
            for (int i = y * width; i < (y + 1) * width; i++)
                _phase[i] -= HaloShare * halo[i];
        });

        var random = new SpecimenRandom(StableMath.Mix(options.Seed + 78));
        (_slopeX, _slopeY) = ((float)random.Between(-0.03, 0.03), (float)random.Between(-0.03, 0.03));
        _bowl = (float)random.Between(0.01, 0.05);
        // The side the light comes from turns a little between cultures: from above in all of them, as in condition B.
        double tilt = random.Between(0, 0.3), length = Math.Sqrt(1 + tilt * tilt);
        (_tiltX, _tiltY) = ((float)(tilt / length), (float)(1 / length));
    }

    /// <summary>Plane z, [height, width], 16 bits.</summary>
    public ushort[] Plane(int z)
    {
        int width = _options.Width, height = _options.Height;
        float defocus = z - _options.Planes / 2;
        double sigma = Math.Min(8, Math.Sqrt(0.65 * 0.65 + 0.16 * defocus * defocus));
        var taps = StableMath.GaussianTaps(sigma);
        float transport = DefocusGain * MathF.Max(-6, MathF.Min(6, defocus));
        var image = new ushort[width * height];
        ulong seed = StableMath.Mix(_options.Seed * 1_000_003 + (ulong)z + 5);
        // One row more above and below of the phase: its slope is taken there too.
        int stripRows = Math.Min(StripRows, height);
        var buffers = () => (Phase: new float[(stripRows + 2) * width], Loss: new float[stripRows * width]);
        Parallel.For(0, (height + StripRows - 1) / StripRows, buffers, (strip, _, buffer) =>
        {
            int top = strip * StripRows, rows = Math.Min(StripRows, height - top);
            var (phase, loss) = buffer;
            Blur.Gaussian(_phase, width, height, taps, top - 1, rows + 2, phase);
            Blur.Gaussian(_absorption, width, height, taps, top, rows, loss);
            for (int row = 0; row < rows; row++)
            {
                int y = top + row;
                float v = 2f * y / height - 1;
                for (int x = 0; x < width; x++)
                {
                    int at = (row + 1) * width + x, left = x > 0 ? at - 1 : at, right = x < width - 1 ? at + 1 : at;
                    float here = phase[at], up = phase[at - width], down = phase[at + width];
                    float relief = (down - up) * _tiltY + (phase[right] - phase[left]) * _tiltX;
                    float laplacian = phase[left] + phase[right] + up + down - 4 * here;
                    float signal = PhaseGain * here - ReliefGain * relief + transport * laplacian;
                    signal = signal / (1 + 0.35f * MathF.Abs(signal)) - loss[row * width + x];
                    float u = 2f * x / width - 1;
                    float light = 1 + _slopeX * u + _slopeY * v - _bowl * (u * u + v * v);
                    loss[row * width + x] = light * (1 + signal);
                }
            }

            foreach (var mote in _scene.Motes)
                Shade(mote, loss, width, top, rows);
            for (int i = 0; i < rows * width; i++)
            {
                float level = MathF.Max(0, loss[i]);
                float noise = MathF.Sqrt(ShotNoise * ShotNoise * level + ReadNoise * ReadNoise);
                level += noise * StableMath.NormalAt(seed, (long)top * width + i);
                image[top * width + i] = (ushort)Math.Clamp(Background * level + 0.5f, 0, 65535);
            }

            return buffer;
        }, _ => { });
        return image;
    }

    /// <summary>The floor of the dish and what the cells have left on it: a wavy grain without structure.</summary>
    private static float Substrate(int x, int y, ulong seed) =>
        0.12f * StableMath.ValueNoise(x / 2.4f, y / 2.2f, seed) + 0.15f * StableMath.ValueNoise(x / 6f, y / 4f, seed + 1)
        + 0.18f * StableMath.ValueNoise(x / 15f, y / 9f, seed + 2);

    private static void Shade(Mote mote, float[] strip, int width, int top, int rows)
    {
        int reach = (int)mote.Radius + 3;
        for (int y = Math.Max(top, (int)mote.Y - reach); y <= Math.Min(top + rows - 1, (int)mote.Y + reach); y++)
        {
            for (int x = Math.Max(0, (int)mote.X - reach); x <= Math.Min(width - 1, (int)mote.X + reach); x++)
            {
                float dx = x - mote.X, dy = y - mote.Y, off = MathF.Sqrt(dx * dx + dy * dy) - mote.Radius;
                float ring = MathF.Max(0, 1 - off * off / 2.25f) - 0.6f * MathF.Max(0, 1 - (off + 2.2f) * (off + 2.2f) / 2.25f);
                strip[(y - top) * width + x] *= 1 - mote.Amount * ring;
            }
        }
    }
}

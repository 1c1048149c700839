using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>Random tiles of fields, each of one random plane: what a step trains on. It depends on the seed and the step alone, so that a training
/// that goes on sees what it would have seen.</summary>
internal sealed class TrainingTiles
{
    private const int Absent = -1;
    private const int Tries = 64;
    private readonly bool augmentation;
    private readonly double turn;
    private readonly double brightShare;
    private readonly int seed;

    /// <param name="augmentation">Whether tiles are turned, scaled and changed in contrast.</param>
    /// <param name="turn">By how many degrees, as <see cref="Placement.Random"/> takes them.</param>
    /// <param name="brightShare">The share of tiles that lie around bright pixels.</param>
    /// <param name="seed">The seed.</param>
    public TrainingTiles(bool augmentation, double turn, double brightShare, int seed) =>
        (this.augmentation, this.turn, this.brightShare, this.seed) = (augmentation, turn, brightShare, seed);

    /// <summary>Draws the tiles of a step.</summary>
    /// <param name="fields">The fields, each as likely as its weight says.</param>
    /// <param name="step">The step; negative ones are for others than the optimiser.</param>
    /// <param name="count">How many.</param>
    /// <returns>[N, 1, 256, 256] surroundings, and for each label [N, 128, 128] levels (int64, -1 without truth), or null where no tile has it.
    /// They belong to the caller.</returns>
    public (Tensor Contexts, Tensor?[] Targets) Draw(IReadOnlyList<TrainingField> fields, int step, int count)
    {
        int labels = fields[0].Targets.Count;
        var contexts = new float[count * Tile.ContextSize * Tile.ContextSize];
        var targets = new long[labels][];
        bool[] present = new bool[labels];
        for (int label = 0; label < labels; label++)
            Array.Fill(targets[label] = new long[count * Tile.Size * Tile.Size], Absent);
        var draws = new (TrainingField Field, int Plane, Placement Placement, float Gain, float Offset)[count];
        var random = new Random(HashCode(seed, step));
        for (int i = 0; i < count; i++)
        {
            var field = Choose(fields, random);
            var (left, top) = random.NextDouble() < brightShare ? Bright(field, random)
                : (random.Next(field.Width - Tile.Size + 1), random.Next(field.Height - Tile.Size + 1));
            double x = left + (Tile.Size - 1) / 2.0, y = top + (Tile.Size - 1) / 2.0;
            int plane = random.Next(field.Planes);
            draws[i] = augmentation
                ? (field, plane, Placement.Random(x, y, turn, random), 1 + 0.15f * (2 * random.NextSingle() - 1), 0.1f * (2 * random.NextSingle() - 1))
                : (field, plane, Placement.AsItLies(x, y), 1, 0);
            for (int label = 0; label < labels; label++)
                present[label] |= field.Targets[label] is not null;
        }

        Parallel.For(0, count, i =>
        {
            var (field, plane, placement, gain, offset) = draws[i];
            var context = contexts.AsSpan(i * Tile.ContextSize * Tile.ContextSize, Tile.ContextSize * Tile.ContextSize);
            field.Sample(plane, placement, Tile.ContextSize, context);
            foreach (ref float value in context)
                value = value * gain + offset;
            for (int label = 0; label < labels; label++)
            {
                if (field.Targets[label] is not null)
                    field.SampleTarget(label, placement, Tile.Size, targets[label].AsSpan(i * Tile.Size * Tile.Size, Tile.Size * Tile.Size));
            }
        });
        return (tensor(contexts, [count, 1, Tile.ContextSize, Tile.ContextSize]),
            [.. targets.Select((levels, label) => present[label] ? tensor(levels, [count, Tile.Size, Tile.Size]) : null)]);
    }

    // A tile whose middle half holds a pixel that was drawn as it is bright, of a label of the field.
    private static (int Left, int Top) Bright(TrainingField field, Random random)
    {
        byte[][] targets = [.. field.Targets.OfType<byte[]>()];
        byte[]? target = targets.Length == 0 ? null : targets[random.Next(targets.Length)];
        int pixel = random.Next(field.Width * field.Height);
        for (int tries = 0; tries < Tries && target is not null && target[pixel] <= random.Next(byte.MaxValue); tries++)
            pixel = random.Next(target.Length);
        return (Start(pixel % field.Width, field.Width), Start(pixel / field.Width, field.Height));

        int Start(int place, int length) => Math.Clamp(place - Tile.Size / 4 - random.Next(Tile.Size / 2), 0, length - Tile.Size);
    }

    /// <summary>A seed of its own for each step. Not System.HashCode, which is another in each process.</summary>
    internal static int HashCode(int seed, int step)
    {
        ulong bits = ((ulong)(uint)seed << 32 | (uint)step) * 0x9E3779B97F4A7C15;
        bits = (bits ^ bits >> 32) * 0xD6E8FEB86659FD93;
        return (int)(bits >> 32);
    }

    private static TrainingField Choose(IReadOnlyList<TrainingField> fields, Random random)
    {
        double place = random.NextDouble() * fields.Sum(field => field.Weight);
        foreach (var field in fields)
        {
            if ((place -= field.Weight) < 0)
                return field;
        }

        return fields[^1];
    }
}

/// <summary>Where a tile lies on its field: its centre, and the field's pixels that one pixel to the right and one down are.</summary>
/// <param name="X">The centre's column.</param>
/// <param name="Y">The centre's row.</param>
/// <param name="RightX">Columns for a pixel to the right.</param>
/// <param name="RightY">Rows for a pixel to the right.</param>
/// <param name="DownX">Columns for a pixel down.</param>
/// <param name="DownY">Rows for a pixel down.</param>
internal readonly record struct Placement(double X, double Y, double RightX, double RightY, double DownX, double DownY)
{
    /// <summary>A tile as it lies.</summary>
    public static Placement AsItLies(double x, double y) => new(x, y, 1, 0, 0, 1);

    /// <summary>As it lies or, every second time, turned and scaled by 0.8 to 1.25.</summary>
    /// <param name="x">The centre's column.</param>
    /// <param name="y">The centre's row.</param>
    /// <param name="turn">The most that it is turned by, degrees. With 180 it is besides mirrored every second time, and turned by quarters where it lay otherwise; with
    /// 0 it always lies as it does.</param>
    /// <param name="random">Where chance comes from.</param>
    public static Placement Random(double x, double y, double turn, Random random)
    {
        if (turn == 0)
            return AsItLies(x, y);
        bool free = random.Next(2) == 1, anyWay = turn >= 180;
        int quarter = anyWay && !free ? random.Next(4) : 0, mirror = anyWay ? 2 * random.Next(2) - 1 : 1;
        double angle = free ? turn / 180 * Math.PI * (2 * random.NextDouble() - 1) : 0;
        double scale = free ? Math.Pow(1.25, 2 * random.NextDouble() - 1) : 1;
        (double cos, double sin) = free ? (scale * Math.Cos(angle), scale * Math.Sin(angle))
            : quarter switch { 0 => (1d, 0d), 1 => (0, 1), 2 => (-1, 0), _ => (0, -1) };
        return new Placement(x, y, mirror * cos, mirror * sin, -sin, cos);
    }
}

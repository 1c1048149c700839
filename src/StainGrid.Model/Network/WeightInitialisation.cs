using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// He-uniform initial weights, bit for bit the same on every machine: each tensor has its own SplitMix64 stream, seeded by
/// the first eight bytes of SHA-256("seed/name"), and only additions, products and square roots follow, which IEEE 754 rounds
/// alike everywhere. (libtorch's own generators differ between vector units.)
/// </summary>
/// <remarks>
/// A convolution that a ReLU follows is uniform in ±√(6/fan-in), any other in ±√(3/fan-in); a transposed one of stride 2 sees
/// a quarter of its taps at a pixel. Batch norm starts as the identity, biases at zero.
/// </remarks>
public static class WeightInitialisation
{
    /// <summary>Sets every parameter of <paramref name="network"/> and resets its running statistics.</summary>
    /// <param name="network">The network.</param>
    /// <param name="seed">The seed.</param>
    public static void Apply(GlobalPixelTransformer network, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(network);
        using var gradients = no_grad();
        using var scope = NewDisposeScope();
        using Scalar zero = 0, one = 1;   // see HeldScalars
        foreach (var (name, target) in network.NamedTensors())
        {
            if (target.dim() == 4)
                target.copy_(tensor(Uniform(name, target.shape, seed), target.shape));
            else
                target.fill_(name.EndsWith(".norm.weight", StringComparison.Ordinal) || name.EndsWith(".running_var", StringComparison.Ordinal) ? one : zero);
        }
    }

    private static float[] Uniform(string name, long[] shape, ulong seed)
    {
        bool transposed = name.Contains(".up.query.", StringComparison.Ordinal) || name.Contains(".up.conv.", StringComparison.Ordinal);
        double fanIn = transposed ? shape[0] * shape[2] * shape[3] / 4.0 : shape[1] * shape[2] * shape[3];
        double bound = Math.Sqrt((name.EndsWith(".conv.weight", StringComparison.Ordinal) ? 6 : 3) / fanIn);
        string key = string.Create(CultureInfo.InvariantCulture, $"{seed}/{name}");
        ulong state = BinaryPrimitives.ReadUInt64LittleEndian(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
        var values = new float[shape.Aggregate(1L, (product, side) => product * side)];
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(((NextUnit(ref state) * 2) - 1) * bound);
        return values;
    }

    // SplitMix64 (Steele, Lea, Flood, 2014); its upper 53 bits as a number of 0 to 1.
    private static double NextUnit(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}

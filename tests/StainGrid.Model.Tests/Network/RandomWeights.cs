using static TorchSharp.torch;

namespace StainGrid.Model.Tests;

/// <summary>Weights and statistics that show every term: none is zero, one, or the same for two channels.</summary>
internal static class RandomWeights
{
    /// <summary>Fills every tensor, or those whose name <paramref name="choose"/> accepts.</summary>
    public static void Fill(nn.Module module, Random random, Func<string, bool>? choose = null)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        foreach (var (name, target) in Tensors(module))
        {
            if (target.dtype == ScalarType.Int64 || choose?.Invoke(name) == false)
                continue;
            double fan = target.dim() == 4 ? target.shape[1] * target.shape[2] * target.shape[3] : 4;
            var values = new double[target.numel()];
            for (int i = 0; i < values.Length; i++)
            {
                double unit = (random.NextDouble() * 2) - 1;
                values[i] = name.EndsWith("running_var", StringComparison.Ordinal) ? 1 + (unit * 0.7)
                    : name.EndsWith("norm.weight", StringComparison.Ordinal) ? 1 + (unit * 0.5)
                    : unit * Math.Sqrt(4 / fan);
            }

            target.copy_(tensor(values, target.shape));
        }
    }

    public static Dictionary<string, (long[] Shape, double[] Values)> Doubles(nn.Module module, string prefix)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        return Tensors(module).ToDictionary(
            pair => prefix + pair.Name, pair => (pair.Tensor.shape, pair.Tensor.to(ScalarType.Float64).contiguous().data<double>().ToArray()));
    }

    private static IEnumerable<(string Name, Tensor Tensor)> Tensors(nn.Module module) =>
        [.. module.named_parameters().Select(pair => (pair.name, (Tensor)pair.parameter)), .. module.named_buffers()];
}

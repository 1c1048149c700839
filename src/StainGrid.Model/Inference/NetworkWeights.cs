using TorchSharp;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>A network's tensors by their names, as prediction takes them: on the cpu, without gradients, in bfloat16. What is made belongs to the caller.</summary>
internal sealed class NetworkWeights(GlobalPixelTransformer network)
{
    private const float Epsilon = 1e-5f;   // PyTorch's, which the network's batch norms keep

    private readonly IReadOnlyDictionary<string, Tensor> tensors = network.NamedTensors();

    /// <summary>A tensor as it is, float32; the network's own.</summary>
    public Tensor this[string name] => tensors[name];

    /// <summary>A 1x1 convolution's weight [c, C, 1, 1] as the right side of a product: [C, columns], zeros beyond c.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="factor">What it is multiplied by.</param>
    /// <param name="columns">Columns; c if 0.</param>
    public Tensor Product(string name, double factor = 1, int columns = 0)
    {
        using var scope = NewDisposeScope();
        using Scalar held = factor;                                                        // see HeldScalars
        var weight = tensors[name].flatten(1).t() * held;                                  // [C, c]
        if (columns > weight.shape[1])
            weight = cat([weight, zeros(weight.shape[0], columns - weight.shape[1])], 1);
        return weight.contiguous().to(ScalarType.BFloat16).DetachFromDisposeScope();
    }

    /// <summary>A batch norm of running statistics as x * scale + shift, for each channel.</summary>
    public (Tensor Scale, Tensor Shift) Norm(string name)
    {
        using Scalar epsilon = Epsilon, one = 1;                                           // see HeldScalars
        var scale = tensors[name + ".weight"] / tensors[name + ".running_var"].add(epsilon, one).sqrt();
        return (scale, tensors[name + ".bias"] - tensors[name + ".running_mean"] * scale);
    }
}

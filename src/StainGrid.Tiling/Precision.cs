namespace StainGrid.Tiling;

/// <summary>In which numbers the network is computed.</summary>
public enum Precision
{
    /// <summary>bfloat16 where every device of the cluster multiplies it faster, as measured when its silo starts; float32 else.</summary>
    Auto,

    /// <summary>float32 throughout.</summary>
    Float32,

    /// <summary>Weights, activations and logits rounded to bfloat16 (8 bits of significand); sums, softmax and what is kept of the distributions in float32.</summary>
    BFloat16,
}

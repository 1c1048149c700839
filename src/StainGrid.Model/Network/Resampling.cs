namespace StainGrid.Model;

/// <summary>What changes the resolution between stages, and what stands at the bottom (the paper's table IV).</summary>
public enum Resampling
{
    /// <summary>Global pixel transformer layers.</summary>
    Attention,

    /// <summary>The ablation: a 3x3 convolution (stride 2 down, 1 at the bottom, transposed with stride 2 up), batch norm
    /// and ReLU.</summary>
    Convolution,
}

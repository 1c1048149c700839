namespace StainGrid.Model;

/// <summary>How the layers of a block are connected (the paper's table IV).</summary>
public enum BlockKind
{
    /// <summary>Dense: each layer sees the block's input and the outputs of all layers before it.</summary>
    Dense,

    /// <summary>The ablation: each layer sees only the one before it, and widens it by the growth rate, so that the block's
    /// output width is that of the dense block.</summary>
    Plain,
}

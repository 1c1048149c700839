namespace StainGrid.Model;

/// <summary>Which form a global pixel transformer layer takes. Named in the model file.</summary>
public enum NetworkVariant
{
    /// <summary>As printed in the paper: O = V softmax(KᵀQ / √c) of the layer's bare input (equations 4 to 6).</summary>
    Paper,

    /// <summary>As in the authors' later GVTNets: batch norm and ReLU before the layer, and Q added to O.</summary>
    Residual,
}

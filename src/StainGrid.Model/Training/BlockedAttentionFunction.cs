using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>Equation 6 in bfloat16 on the cpu with its gradient: blocks of queries and keys whose scores stay in the cache, forward
/// (<see cref="BlockedAttention"/>) and backward (<see cref="BlockedAttentionGradient"/>), a tile on each thread. Neither holds the [M, N]
/// matrix: the backward pass computes its blocks again from the logarithm of each query's sum.</summary>
internal sealed class BlockedAttentionFunction : autograd.SingleTensorFunction<BlockedAttentionFunction>
{
    public override string Name => nameof(BlockedAttentionFunction);

    /// <summary>Whether queries are of the type and on the device that this is for.</summary>
    public static bool Takes(Tensor queries) => queries.dtype == ScalarType.BFloat16 && queries.device_type == TorchSharp.DeviceType.CPU;

    /// <summary>softmax(Q Kᵀ / √c) V: [N,1,M,c], [N,1,n,c], [N,1,n,c] -> [N,1,M,c], bfloat16.</summary>
    public static Tensor Attend(Tensor queries, Tensor keys, Tensor values) => apply(queries, keys, values);

    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var (queries, keys, values) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor)vars[2]);
        var output = empty_like(queries);
        var logarithms = empty([queries.shape[0], queries.shape[2]]);
        GradientThreads.Run((int)queries.shape[0], (tile, scratch) =>
        {
            var v = Tile(values, tile);
            var k = new PixelMatrix(Tile(keys, tile) * BlockedAttentionGradient.KeyScale(v.shape[1]));
            scratch.Attention.Run(new PixelMatrix(Tile(queries, tile)), k, new PixelMatrix(Padded(v)), residual: false,
                new PixelMatrix(Tile(output, tile)), scratch, Line(logarithms, tile));
        });
        ctx.save_for_backward([queries, keys, values, output, logarithms]);
        return output;
    }

    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        var saved = ctx.get_saved_variables();
        var (queries, keys, values, output, logarithms) = (saved[0], saved[1], saved[2], saved[3], saved[4]);
        var gradient = grad_output.contiguous();
        Tensor dQueries = empty_like(queries), dKeys = empty_like(keys), dValues = empty_like(values);
        GradientThreads.Run((int)queries.shape[0], (tile, scratch) => BlockedAttentionGradient.Run(
            Tile(queries, tile), Tile(keys, tile), Tile(values, tile), Tile(output, tile), Line(logarithms, tile), Tile(gradient, tile),
            Tile(dQueries, tile), Tile(dKeys, tile), Tile(dValues, tile), scratch));
        return [dQueries, dKeys, dValues];
    }

    // [N, 1, M, c] -> [M, c].
    private static Tensor Tile(Tensor tensor, int tile) => tensor[tile, 0];

    private static Span<float> Line(Tensor logarithms, int tile) => System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(logarithms[tile].bytes);

    // Columns of zeros up to whole vectors.
    private static Tensor Padded(Tensor values) =>
        nn.functional.pad(values, [0, BlockedAttention.PaddedColumns((int)values.shape[1]) - values.shape[1]]);
}

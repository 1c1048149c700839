using System.Diagnostics.CodeAnalysis;
using BenchmarkDotNet.Attributes;
using StainGrid.Model;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.KernelBench;

/// <summary>The kernels of inference at the sizes of the paper's network, on one core: where a tile's time goes. Beside attention stands libtorch's built-in one.</summary>
[SuppressMessage("Design", "CA1001", Justification = "BenchmarkDotNet calls Cleanup.")]
public class KernelBenchmarks
{
    private readonly Dictionary<(int, int), Tensor> noise = [];
    private Scratch scratch = null!;
    private DistributionHead head = null!;
    private DenseConvolution layer = null!;
    private GlobalPixelTransformer network = null!;
    private int threads;

    /// <summary>Weights and scratch; one thread, as each of a device's has.</summary>
    [GlobalSetup]
    public void Setup()
    {
        threads = get_num_threads();
        set_num_threads(1);
        scratch = new Scratch();
        network = new GlobalPixelTransformer(new NetworkOptions(), ["A"]);
        var weights = new NetworkWeights(network);
        head = new DistributionHead(weights, "heads.A");
        layer = new DenseConvolution(weights, "encoder.0.dense.layers.1");
    }

    /// <summary>Frees them.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        head.Dispose();
        layer.Dispose();
        network.Dispose();
        scratch.Dispose();
        foreach (var tensor in noise.Values)
            tensor.Dispose();
        set_num_threads(threads);
    }

    /// <summary>Blocked attention: the layers of the paper's network, from the first GDT to the last GUT.</summary>
    [Benchmark]
    [Arguments(4096, 16384, 64)]
    [Arguments(1024, 4096, 128)]
    [Arguments(256, 1024, 256)]
    [Arguments(256, 256, 384)]
    [Arguments(1024, 256, 192)]
    [Arguments(4096, 1024, 144)]
    [Arguments(16384, 4096, 84)]
    public void Attention(int queries, int keys, int channels)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        scratch.Attention.Run(Rows(queries, channels), Rows(keys, channels), Rows(keys, BlockedAttention.PaddedColumns(channels)), true, scratch.Matrix("output", queries, channels), scratch);
    }

    /// <summary>libtorch's, of the same type.</summary>
    [Benchmark]
    [Arguments(4096, 16384, 64, ScalarType.BFloat16)]
    [Arguments(16384, 4096, 84, ScalarType.BFloat16)]
    [Arguments(4096, 16384, 64, ScalarType.Float32)]
    [Arguments(16384, 4096, 84, ScalarType.Float32)]
    public void BuiltInAttention(int queries, int keys, int channels, ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        Tensor Of(int rows) => Rows(rows, channels).Values.to(type).unsqueeze(0).unsqueeze(0);
        nn.functional.scaled_dot_product_attention(Of(queries), Of(keys), Of(keys));
    }

    /// <summary>The second layer of the first dense block: 48 to 16 channels at 128x128.</summary>
    [Benchmark]
    public void DenseLayer()
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var block = Rows(Tile.Size * Tile.Size, 64);
        layer.Run(block.ColumnsFrom(0, 48), block.ColumnsFrom(48, 16), scratch.Matrix("products", block.Rows, layer.ProductColumns), Tile.Size, Tile.Size);
    }

    /// <summary>A label's head over a tile: mean alone, and all that can be kept.</summary>
    [Benchmark]
    [Arguments(1)]
    [Arguments(5)]
    public void Head(int layers)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        const int Pixels = Tile.Size * Tile.Size, Slab = 2048;
        var kept = Enum.GetValues<MapLayer>().Take(layers).ToArray();
        var images = new float[layers * Pixels];
        var features = Rows(Pixels, 90);
        for (int first = 0; first < Pixels; first += Slab)
        {
            var logits = scratch.Matrix("logits", Slab, head.Columns);
            logits.SetProduct(features.RowsFrom(first, Slab).Values, head.Weight);
            head.Run(logits, kept, images, first, Pixels);
        }
    }

    // Bounded noise, made at the first use: before the warm-up ends.
    private PixelMatrix Rows(int rows, int columns)
    {
        if (!noise.TryGetValue((rows, columns), out var tensor))
            noise[(rows, columns)] = tensor = (rand([rows, columns]) - 0.5).to(ScalarType.BFloat16).DetachFromDisposeScope();
        return new PixelMatrix(tensor);
    }
}

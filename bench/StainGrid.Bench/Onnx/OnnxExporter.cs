using StainGrid.Model;
using StainGrid.Tiling;
using TorchSharp;
using static StainGrid.Bench.OnnxGraph;

namespace StainGrid.Bench;

/// <summary>
/// A network as an ONNX graph, every variant and ablation, in float32: patches [N, S, 128, 128] in, the mean of each label's
/// distribution [N, labels, 128, 128] out.
/// </summary>
/// <remarks>
/// Of the forms that compute this, those that ONNX Runtime 1.31 was fastest with: its own MultiHeadAttention, which goes block by
/// block as MatMul, Softmax, MatMul and the standard's Attention do not; and the heads with the pixels as rows, since its Softmax
/// takes many times as long over any axis but the last.
/// </remarks>
internal sealed class OnnxExporter
{
    /// <summary>The name of the input.</summary>
    public const string Input = "patches";

    /// <summary>The name of the output.</summary>
    public const string Output = "means";

    // So few pixels of one label at a time that their levels stay in the cache, half a megabyte a tile: 5 % more tiles a second.
    private const int HeadParts = 32;

    private readonly OnnxGraph graph = new();
    private readonly NetworkOptions options;
    private readonly IReadOnlyList<string> labels;
    private readonly IReadOnlyDictionary<string, torch.Tensor> tensors;

    private OnnxExporter(GlobalPixelTransformer network)
    {
        options = network.Options;
        labels = network.Labels;
        tensors = network.NamedTensors();
    }

    /// <summary>The bytes of <paramref name="network"/>'s ONNX file.</summary>
    public static byte[] Export(GlobalPixelTransformer network)
    {
        var exporter = new OnnxExporter(network);
        exporter.Write();
        return exporter.graph.ToBytes();
    }

    private void Write()
    {
        int side = Tile.Size;
        var skips = new Stack<string>();
        string x = Convolution(graph.Input(Input, options.PatchScales.Count, side, side), "stem.weight");
        for (int i = 0; i < options.EncoderLayers.Count; i++)
        {
            x = Block(x, $"encoder.{i}.dense", options.EncoderLayers[i]);
            skips.Push(x);
            x = Resample(x, $"encoder.{i}.down", Scaling.Down, side /= 2);
        }

        x = Block(x, "bottom.dense", options.BottomLayers);
        x = Resample(x, "bottom.same", Scaling.Same, side);
        for (int i = 0; i < options.DecoderLayers.Count; i++)
        {
            x = Resample(x, $"decoder.{i}.up", Scaling.Up, side *= 2);
            x = Convolution(Concatenate(x, skips.Pop()), $"decoder.{i}.fuse.weight");
            x = Block(x, $"decoder.{i}.dense", options.DecoderLayers[i]);
        }

        graph.Output(Heads(x, side), Output, labels.Count, side, side);
    }

    private string Block(string x, string name, int layers)
    {
        for (int i = 0; i < layers; i++)
        {
            string grown = Convolution(x, $"{name}.layers.{i}.conv.weight", Scaling.Same);
            grown = Relu(Norm(grown, $"{name}.layers.{i}.norm"));
            x = options.Block == BlockKind.Dense ? Concatenate(x, grown) : grown;
        }

        return Convolution(x, $"{name}.transition.weight");
    }

    private string Resample(string x, string name, Scaling scaling, int side)
    {
        if (options.Resampling == Resampling.Convolution)
            return Relu(Norm(Convolution(x, $"{name}.conv.weight", scaling), $"{name}.norm"));
        bool residual = options.Variant == NetworkVariant.Residual;
        if (residual)
            x = Relu(Norm(x, $"{name}.norm"));
        long width = tensors[$"{name}.key.weight"].shape[0];
        string queries = Convolution(x, $"{name}.query.weight", scaling);
        string[] inputs = [queries, Convolution(x, $"{name}.key.weight"), Convolution(x, $"{name}.value.weight")];

        // Scaled by 1/√c, as it is by default.
        string rows = graph.AddContributed("MultiHeadAttention", [.. inputs.Select(input => Pixels(input, width))], Attribute("num_heads", 1));
        string output = graph.Reshape(Transpose(rows), 0, width, side, side);
        return residual ? graph.Add("Add", [output, queries]) : output;
    }

    private string Heads(string x, int side)
    {
        using var scope = torch.NewDisposeScope();
        string levels = graph.Constant("levels", torch.linspace(0, 1, options.Levels, dtype: torch.ScalarType.Float32).unsqueeze(1));
        (string Weight, string Bias)[] heads = [.. labels.Select(label => (
            graph.Constant($"heads.{label}.weight", tensors[$"heads.{label}.weight"].flatten(1)),
            graph.Constant($"heads.{label}.bias", tensors[$"heads.{label}.bias"])))];
        string rows = graph.Reshape(Pixels(x, options.FeatureChannels), -1, options.FeatureChannels);     // [N·HW, 90]
        string means = graph.Add("Concat", [.. graph.Split(rows, HeadParts).Select(Means)], Attribute("axis", 0));
        means = Transpose(graph.Reshape(means, -1, side * side, labels.Count));                           // [N, labels, HW]
        return graph.Reshape(means, 0, labels.Count, side, side);

        // [n, 90] -> [n, labels].
        string Means(string part) => graph.Add("Concat", [.. heads.Select(head => Mean(part, head.Weight, head.Bias))], Attribute("axis", 1));

        string Mean(string part, string weight, string bias)
        {
            string logits = graph.Add("Gemm", [part, weight, bias], Attribute("transB", 1));              // [n, 256]
            return graph.Add("MatMul", [graph.Add("Softmax", [logits], Attribute("axis", -1)), levels]);  // [n, 1]
        }
    }

    private string Convolution(string x, string weight) => graph.Add("Conv", [x, graph.Constant(weight, tensors[weight])]);

    private string Convolution(string x, string weight, Scaling scaling)
    {
        string[] inputs = [x, graph.Constant(weight, tensors[weight])];
        var pads = Attribute("pads", 1, 1, 1, 1);
        return scaling switch
        {
            Scaling.Up => graph.Add("ConvTranspose", inputs, pads, Attribute("strides", 2, 2), Attribute("output_padding", 1, 1)),
            Scaling.Down => graph.Add("Conv", inputs, pads, Attribute("strides", 2, 2)),
            _ => graph.Add("Conv", inputs, pads),
        };
    }

    private string Norm(string x, string name)
    {
        string[] parts = [$"{name}.weight", $"{name}.bias", $"{name}.running_mean", $"{name}.running_var"];
        return graph.Add("BatchNormalization", [x, .. parts.Select(part => graph.Constant(part, tensors[part]))], Attribute("epsilon", 1e-5f));
    }

    private string Relu(string x) => graph.Add("Relu", [x]);

    private string Concatenate(string x, string y) => graph.Add("Concat", [x, y], Attribute("axis", 1));

    // [N, a, b] -> [N, b, a].
    private string Transpose(string x) => graph.Add("Transpose", [x], Attribute("perm", 0, 2, 1));

    // The pixels as rows: [N, c, H, W] -> [N, HW, c].
    private string Pixels(string x, long width) => Transpose(graph.Reshape(x, 0, width, -1));
}

using System.Runtime.InteropServices;
using Google.Protobuf;
using Onnx;
using TorchSharp;
using DataType = Onnx.TensorProto.Types.DataType;

namespace StainGrid.Bench;

/// <summary>An ONNX graph that grows by one operator at a time; each call returns the name of a value, an input of later ones.</summary>
internal sealed class OnnxGraph
{
    private const int Opset = 17;
    private const string Contributed = "com.microsoft";
    private readonly GraphProto graph = new() { Name = "StainGrid" };
    private int values;

    /// <summary>Adds an input: float32, any number first, then <paramref name="shape"/>.</summary>
    public string Input(string name, params ReadOnlySpan<int> shape)
    {
        graph.Input.Add(Value(name, shape));
        return name;
    }

    /// <summary>Makes a value the graph's output: any number first, then <paramref name="shape"/>.</summary>
    public void Output(string value, string name, params ReadOnlySpan<int> shape)
    {
        graph.Node.Add(new NodeProto { OpType = "Identity", Name = name, Input = { value }, Output = { name } });
        graph.Output.Add(Value(name, shape));
    }

    /// <summary>Adds an operator with one output, whose name it returns.</summary>
    public string Add(string type, IReadOnlyList<string> inputs, params ReadOnlySpan<AttributeProto> attributes)
    {
        string output = $"{type}_{values++}";
        var node = new NodeProto { OpType = type, Name = output, Input = { inputs }, Output = { output } };
        foreach (var attribute in attributes)
            node.Attribute.Add(attribute);
        graph.Node.Add(node);
        return output;
    }

    /// <summary>Adds an operator of ONNX Runtime's own, beyond the standard's.</summary>
    public string AddContributed(string type, IReadOnlyList<string> inputs, params ReadOnlySpan<AttributeProto> attributes)
    {
        string output = Add(type, inputs, attributes);
        graph.Node[^1].Domain = Contributed;
        return output;
    }

    /// <summary>Splits a value along its first dimension into equal parts.</summary>
    public IReadOnlyList<string> Split(string value, int parts)
    {
        string name = Add("Split", [value], Attribute("axis", 0));
        var outputs = graph.Node[^1].Output;
        outputs.Clear();
        outputs.Add(Enumerable.Range(0, parts).Select(part => $"{name}_{part}"));
        return outputs;
    }

    /// <summary>Adds a float32 constant with the values of a tensor.</summary>
    public string Constant(string name, torch.Tensor tensor)
    {
        using var scope = torch.NewDisposeScope();
        var contiguous = tensor.detach().cpu().to(torch.ScalarType.Float32).contiguous();
        return Constant(name, DataType.Float, contiguous.shape, MemoryMarshal.AsBytes(contiguous.data<float>().ToArray().AsSpan()));
    }

    /// <summary>Changes a shape: 0 keeps that dimension, -1 takes what is left.</summary>
    public string Reshape(string value, params ReadOnlySpan<long> shape) =>
        Add("Reshape", [value, Constant($"shape_{values}", DataType.Int64, [shape.Length], MemoryMarshal.AsBytes(shape))]);

    /// <summary>An attribute that is a whole number.</summary>
    public static AttributeProto Attribute(string name, long value) => new() { Name = name, Type = AttributeProto.Types.AttributeType.Int, I = value };

    /// <summary>An attribute that is a number.</summary>
    public static AttributeProto Attribute(string name, float value) => new() { Name = name, Type = AttributeProto.Types.AttributeType.Float, F = value };

    /// <summary>An attribute that is a list of whole numbers.</summary>
    public static AttributeProto Attribute(string name, params long[] values) =>
        new() { Name = name, Type = AttributeProto.Types.AttributeType.Ints, Ints = { values } };

    /// <summary>The graph as an ONNX file's bytes.</summary>
    public byte[] ToBytes()
    {
        var model = new ModelProto
        {
            IrVersion = 8,   // that of opset 17
            ProducerName = "StainGrid",
            Graph = graph,
            OpsetImport = { new OperatorSetIdProto { Version = Opset }, new OperatorSetIdProto { Domain = Contributed, Version = 1 } },
        };
        return model.ToByteArray();
    }

    private static ValueInfoProto Value(string name, ReadOnlySpan<int> shape)
    {
        var dimensions = new TensorShapeProto { Dim = { new TensorShapeProto.Types.Dimension { DimParam = "N" } } };
        foreach (int size in shape)
            dimensions.Dim.Add(new TensorShapeProto.Types.Dimension { DimValue = size });
        return new ValueInfoProto
        {
            Name = name,
            Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)DataType.Float, Shape = dimensions } },
        };
    }

    private string Constant(string name, DataType type, long[] shape, ReadOnlySpan<byte> bytes)
    {
        graph.Initializer.Add(new TensorProto { Name = name, DataType = (int)type, Dims = { shape }, RawData = ByteString.CopyFrom(bytes) });
        return name;
    }
}

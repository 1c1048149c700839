using Microsoft.ML.OnnxRuntime;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Bench;

/// <summary>A network in ONNX Runtime on the cpu, float32, all graph optimisations. Any number of threads may predict at once.</summary>
internal sealed class OnnxPeer : IDisposable
{
    private readonly InferenceSession session;
    private readonly RunOptions run = new();
    private readonly int scales;

    /// <summary>Exports a network and loads it.</summary>
    /// <param name="network">The network; not kept.</param>
    /// <param name="threads">The threads that share one prediction, the caller's included.</param>
    public OnnxPeer(GlobalPixelTransformer network, int threads)
    {
        scales = network.Options.PatchScales.Count;
        using var options = new SessionOptions
        {
            IntraOpNumThreads = threads,
            ExecutionMode = ExecutionMode.ORT_SEQUENTIAL,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
            EnableCpuMemArena = true,
            EnableMemoryPattern = true,
        };
        session = new InferenceSession(OnnxExporter.Export(network), options);
    }

    /// <summary>Predicts.</summary>
    /// <param name="patches">[n, scales, 128, 128].</param>
    /// <param name="n">The number of tiles.</param>
    /// <returns>The mean of each label's distribution, 0 to 1: [n, labels, 128, 128].</returns>
    public float[] Predict(float[] patches, int n)
    {
        using var input = OrtValue.CreateTensorValueFromMemory(patches, [n, scales, Tile.Size, Tile.Size]);
        using var outputs = session.Run(run, [OnnxExporter.Input], [input], [OnnxExporter.Output]);
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        run.Dispose();
        session.Dispose();
    }
}

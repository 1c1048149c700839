using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests.Training;

/// <summary>Tests that need torch's random generator, which the process shares: dropout takes its numbers from it.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;

/// <summary>Small networks and fields to train on.</summary>
internal static class TrainingFiles
{
    public static readonly LabelInfo[] Labels = [new("BRIGHT", 0, 65_535, "FFFFFF"), new("ABSENT", 0, 65_535, "FFFFFF")];

    public static readonly TrainingOptions Quick = new() { Steps = 25, BatchSize = 1, WarmUp = 3, LearningRate = 3e-3, SmallTileShare = 1, NormBatches = 8, Seed = 4 };

    public static readonly NetworkOptions Small = new()
    {
        StemChannels = 4,
        Growth = 4,
        EncoderLayers = [1],
        DecoderLayers = [1],
        BottomLayers = 1,
        Resampling = Resampling.Convolution,
        Dropout = 0,
    };

    public static FunctionImage Light(int width = 160, int height = 160, int planes = 1) =>
        new(width, height, planes, PixelType.UInt16, (plane, x, y) => 30_000 + (20_000 - 5000 * plane) * MathF.Sin(x * 0.2f) * MathF.Sin(y * 0.15f));

    /// <summary>Bright blobs in the light are bright in the truth.</summary>
    public static FunctionImage Truth(int width = 160, int height = 160) =>
        new(width, height, 1, PixelType.UInt16, (_, x, y) => MathF.Sin(x * 0.2f) * MathF.Sin(y * 0.15f) > 0.3f ? 50_000 : 8_000);

    public static TrainingField Blobs(params string[] labels)
    {
        using FunctionImage light = Light(), truth = Truth();
        return Field(light, truth, labels.Length == 0 ? ["BRIGHT"] : labels);
    }

    public static TrainingField Field(IPlaneImage light, IPlaneImage truth, params string[] labels) => TrainingField.Read(
        "blobs", light, labels.ToDictionary(label => label, _ => truth), Labels, new NormalisationRule(), new Region(0, 0, light.Info.Width, light.Info.Height));

    /// <summary>The parameters' values, one after the other.</summary>
    public static float[] Weights(StainModel model) => [.. model.Network.named_parameters().SelectMany(pair => pair.parameter.data<float>().ToArray())];

    public static float[] Head(StainModel model, string label) => model.Network.NamedTensors()[$"heads.{label}.weight"].data<float>().ToArray();
}

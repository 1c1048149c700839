using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>
/// The network: multi-scale patches of one plane in, for each pixel and fluorescence label a distribution over 256 intensity
/// levels out (the paper's section III; widths of table II). A new one is in evaluation mode.
/// </summary>
/// <remarks>
/// Widths of the default: stem 32@128; encoder 64@128, 128@64, 256@32; bottom 384@16; decoder 192+256=448 -> 224 -> 288@32,
/// 144+128=272 -> 136 -> 168@64, 84+64=148 -> 74 -> 90@128. The names of the tensors are those of the model file.
/// </remarks>
public sealed class GlobalPixelTransformer : nn.Module
{
    private readonly Conv2d stem;
    private readonly ModuleList<EncoderStage> encoder = [];
    private readonly BottomStage bottom;
    private readonly ModuleList<DecoderStage> decoder = [];
    private readonly Heads heads;

    /// <summary>
    /// A network with He-uniform weights that depend only on <paramref name="seed"/> and each tensor's name
    /// (<see cref="WeightInitialisation"/>): the same on every machine, and independent of the other labels.
    /// </summary>
    /// <param name="options">The shape.</param>
    /// <param name="labels">The names of the labels, one head each, in the order of <see cref="Logits"/>' index.</param>
    /// <param name="seed">The seed of the initial weights.</param>
    /// <exception cref="ArgumentException">Options or label names are not valid.</exception>
    public GlobalPixelTransformer(NetworkOptions options, IReadOnlyList<string> labels, ulong seed = 0)
        : base(nameof(GlobalPixelTransformer))
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(labels);
        options.Validate();
        if (LabelInfo.FindNameProblem(labels) is { } problem)
            throw new ArgumentException(problem, nameof(labels));
        Options = options;
        Labels = [.. labels];

        var widths = options.Widths();
        stem = Convolutions.Pointwise(options.PatchScales.Count, options.StemChannels);
        foreach (var stage in widths.Encoder)
            encoder.Add(new EncoderStage(options, stage));
        bottom = new BottomStage(options, widths.Bottom);
        int below = widths.Bottom.Output;
        for (int i = 0; i < widths.Decoder.Count; i++)
        {
            decoder.Add(new DecoderStage(options, below, widths.Encoder[^(i + 1)].Output, widths.Decoder[i]));
            below = widths.Decoder[i].Output;
        }

        heads = new Heads(Labels, below, options.Levels);
        RegisterComponents();
        WeightInitialisation.Apply(this, seed);
        eval();
    }

    /// <summary>The shape.</summary>
    public NetworkOptions Options { get; }

    /// <summary>The labels, one head each.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>
    /// What the heads read: [N,S,H,W] -> [N,90,H,W], S the number of patch scales, intensities of about -1 to 1, H and W
    /// multiples of <see cref="NetworkOptions.SizeMultiple"/> (128 in the paper).
    /// </summary>
    /// <param name="patches">The patches, in the order of <see cref="NetworkOptions.PatchScales"/>.</param>
    /// <exception cref="ArgumentException">The shape is another.</exception>
    public Tensor Features(Tensor patches)
    {
        ArgumentNullException.ThrowIfNull(patches);
        int multiple = Options.SizeMultiple, scales = Options.PatchScales.Count;
        long[] shape = patches.shape;
        if (shape.Length != 4 || shape[1] != scales || shape[2] < multiple || shape[3] < multiple
            || shape[2] % multiple != 0 || shape[3] % multiple != 0)
        {
            throw new ArgumentException(
                $"Patches of shape [{string.Join(", ", shape)}]; the network takes [N, {scales}, H, W], H and W multiples of {multiple}.",
                nameof(patches));
        }

        using var scope = NewDisposeScope();
        var skips = new Stack<Tensor>();
        var x = stem.Convolve(patches);                              // [N, 32, 128, 128]
        foreach (var stage in encoder)
        {
            (var skip, x) = stage.call(x);                       // [N, 64, 64, 64], [N, 128, 32, 32], [N, 256, 16, 16]
            skips.Push(skip);                                    // [N, 64, 128, 128], [N, 128, 64, 64], [N, 256, 32, 32]
        }

        x = bottom.call(x);                                      // [N, 384, 16, 16]
        foreach (var stage in decoder)
            x = stage.call(x, skips.Pop());                      // [N, 288, 32, 32], [N, 168, 64, 64], [N, 90, 128, 128]
        return x.MoveToOuterDisposeScope();
    }

    /// <summary>
    /// One label's logits: [N,90,H,W] -> [N,256,H,W]; their softmax over dimension 1 is the predicted distribution. One label
    /// at a time, because all eight are 134 MB a tile.
    /// </summary>
    /// <param name="features">From <see cref="Features"/>.</param>
    /// <param name="label">The index of the label in <see cref="Labels"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such label.</exception>
    public Tensor Logits(Tensor features, int label)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(label);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(label, Labels.Count);
        return heads.call(features, label);                      // [N, 256, 128, 128]
    }

    /// <summary>One label's 1x1 convolution, by its index in <see cref="Labels"/>.</summary>
    internal Conv2d Head(int label) => heads[label];

    /// <summary>
    /// Every tensor of the network by the name it has in a model file: the parameters, and batch norm's running statistics.
    /// They are the network's own: do not dispose of them.
    /// </summary>
    public IReadOnlyDictionary<string, Tensor> NamedTensors()
    {
        var tensors = new SortedDictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (var (name, parameter) in named_parameters())
            tensors.Add(name, parameter);
        foreach (var (name, buffer) in named_buffers())
        {
            if (!name.EndsWith(".num_batches_tracked", StringComparison.Ordinal))
                tensors.Add(name, buffer);
        }

        return tensors;
    }
}

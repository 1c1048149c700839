using System.Text.Json.Serialization;

namespace StainGrid.Model;

/// <summary>
/// The network's shape. The defaults are the paper's (section III, table II) in the residual variant. It is stored in the
/// model file, so <see cref="Validate"/> bounds what a hostile file can ask for.
/// </summary>
public sealed record NetworkOptions
{
    /// <summary>The most parameters that a network may have: a gigabyte in float32, 45 times the paper's.</summary>
    public const long MaximumParameters = 250_000_000;

    /// <summary>The most fluorescence labels that a network may have heads for.</summary>
    public const int MaximumLabels = 64;

    /// <summary>The form of the global pixel transformer layers.</summary>
    [JsonRequired]
    public NetworkVariant Variant { get; init; } = NetworkVariant.Residual;

    /// <summary>Attention, or the ablation's convolutions.</summary>
    [JsonRequired]
    public Resampling Resampling { get; init; } = Resampling.Attention;

    /// <summary>Dense blocks, or the ablation's plain ones.</summary>
    [JsonRequired]
    public BlockKind Block { get; init; } = BlockKind.Dense;

    /// <summary>Sides of the patches in slide pixels, in the order of the input channels: 128, 256, 64; or 128 alone for
    /// the single-scale ablation. One to eight distinct even numbers of 2 to 4096.</summary>
    [JsonRequired]
    public IReadOnlyList<int> PatchScales { get; init; } = [128, 256, 64];

    /// <summary>Channels after the first 1x1 convolution, 1 to 512.</summary>
    [JsonRequired]
    public int StemChannels { get; init; } = 32;

    /// <summary>Channels that each layer of a block adds (the growth rate), 1 to 128.</summary>
    [JsonRequired]
    public int Growth { get; init; } = 16;

    /// <summary>Layers of the block of each encoder stage, highest resolution first; one to five stages of 1 to 64.</summary>
    [JsonRequired]
    public IReadOnlyList<int> EncoderLayers { get; init; } = [2, 4, 8];

    /// <summary>Layers of the block at the lowest resolution, 1 to 64.</summary>
    [JsonRequired]
    public int BottomLayers { get; init; } = 8;

    /// <summary>Layers of the block of each decoder stage, lowest resolution first; as many stages as the encoder.</summary>
    [JsonRequired]
    public IReadOnlyList<int> DecoderLayers { get; init; } = [4, 2, 1];

    /// <summary>The probability with which training drops an activation in a block, 0 or more and below 1.</summary>
    [JsonRequired]
    public double Dropout { get; init; } = 0.5;

    /// <summary>Levels of the predicted distribution, 2 to 4096; 256 in the paper.</summary>
    [JsonRequired]
    public int Levels { get; init; } = 256;

    /// <summary>Height and width of an input must be a multiple of this: 2 to the number of encoder stages.</summary>
    [JsonIgnore]
    public int SizeMultiple => 1 << EncoderLayers.Count;

    /// <summary>Channels of the features that the heads read: 90 by default.</summary>
    [JsonIgnore]
    public int FeatureChannels => Widths().Decoder[^1].Output;

    /// <summary>Checks every bound.</summary>
    /// <exception cref="ArgumentException">A value is out of its range; the message names it and the range.</exception>
    public void Validate()
    {
        if (FindProblem() is { } problem)
            throw new ArgumentException(problem);
    }

    /// <summary>The number of trained numbers (batch norm's running statistics not counted): 5.5 million for the defaults
    /// and eight labels.</summary>
    /// <param name="labels">The number of heads.</param>
    public long ParameterCount(int labels)
    {
        var widths = Widths();
        long count = (long)PatchScales.Count * StemChannels;
        for (int i = 0; i < widths.Encoder.Count; i++)
        {
            count += BlockParameters(widths.Encoder[i]);
            count += ResamplingParameters(widths.Encoder[i].Output, widths.Encoder[i].Output);
        }

        count += BlockParameters(widths.Bottom) + ResamplingParameters(widths.Bottom.Output, widths.Bottom.Output);
        int below = widths.Bottom.Output;
        for (int i = 0; i < widths.Decoder.Count; i++)
        {
            int up = Half(below), skip = widths.Encoder[^(i + 1)].Output;
            count += ResamplingParameters(below, up);
            count += (long)(up + skip) * widths.Decoder[i].Input;
            count += BlockParameters(widths.Decoder[i]);
            below = widths.Decoder[i].Output;
        }

        return count + labels * (below + 1L) * Levels;
    }

    /// <summary>By content, the lists included.</summary>
    public bool Equals(NetworkOptions? other) =>
        other is not null && Variant == other.Variant && Resampling == other.Resampling && Block == other.Block
        && PatchScales.SequenceEqual(other.PatchScales) && StemChannels == other.StemChannels && Growth == other.Growth
        && EncoderLayers.SequenceEqual(other.EncoderLayers) && BottomLayers == other.BottomLayers
        && DecoderLayers.SequenceEqual(other.DecoderLayers) && Dropout.Equals(other.Dropout) && Levels == other.Levels;

    /// <inheritdoc/>
    public override int GetHashCode() =>
        HashCode.Combine(Variant, Resampling, Block, PatchScales.Count, StemChannels, Growth, BottomLayers, Levels);

    /// <summary>Half a width, rounded down but at least one channel: what a GUT and a fuse leave.</summary>
    internal static int Half(int channels) => Math.Max(1, channels / 2);

    /// <summary>Input and output width of each block (table II).</summary>
    internal NetworkWidths Widths()
    {
        int width = StemChannels;
        BlockWidths Next(int layers) => new(layers, width, width += layers * Growth);

        var encoder = new List<BlockWidths>();
        foreach (int layers in EncoderLayers)
            encoder.Add(Next(layers));
        var bottom = Next(BottomLayers);
        var decoder = new List<BlockWidths>();
        for (int i = 0; i < DecoderLayers.Count; i++)
        {
            width = Half(Half(width) + encoder[^(i + 1)].Output);   // up, concatenate, fuse
            decoder.Add(Next(DecoderLayers[i]));
        }

        return new NetworkWidths(encoder, bottom, decoder);
    }

    /// <summary>The first value that is out of its range, in words, or null.</summary>
    internal string? FindProblem()
    {
        if (!Enum.IsDefined(Variant) || !Enum.IsDefined(Resampling) || !Enum.IsDefined(Block))
            return "The network's variant, resampling or block is not one that this version knows.";
        if (PatchScales is null || PatchScales.Count is < 1 or > 8 || PatchScales.Distinct().Count() != PatchScales.Count
            || PatchScales.Any(scale => scale is < 2 or > 4096 || scale % 2 != 0))
        {
            return "The network's patch scales must be one to eight distinct even numbers of 2 to 4096, such as 128, 256, 64.";
        }

        if (StemChannels is < 1 or > 512)
            return $"The network's stem has {StemChannels} channels; it must have 1 to 512.";
        if (Growth is < 1 or > 128)
            return $"The network's growth is {Growth}; it must be 1 to 128.";
        if (EncoderLayers is null || DecoderLayers is null || EncoderLayers.Count is < 1 or > 5
            || EncoderLayers.Count != DecoderLayers.Count)
        {
            return "The network must have one to five encoder stages and as many decoder stages.";
        }

        foreach (int layers in (IEnumerable<int>)[.. EncoderLayers, BottomLayers, .. DecoderLayers])
        {
            if (layers is < 1 or > 64)
                return $"A block of the network has {layers} layers; it must have 1 to 64.";
        }

        if (!(Dropout is >= 0 and < 1))
            return $"The network's dropout is {Dropout}; it must be 0 or more and below 1.";
        if (Levels is < 2 or > 4096)
            return $"The network predicts {Levels} levels; it must predict 2 to 4096.";
        long parameters = ParameterCount(MaximumLabels);
        return parameters > MaximumParameters
            ? $"The network could have {parameters:N0} parameters; {MaximumParameters:N0} is the most allowed."
            : null;
    }

    private long BlockParameters(BlockWidths block)
    {
        long count = (long)block.Output * block.Output;   // the transition
        for (int i = 0; i < block.Layers; i++)
        {
            long input = block.Input + i * Growth;
            long output = Block == BlockKind.Dense ? Growth : input + Growth;
            count += 9 * input * output + 2 * output;
        }

        return count;
    }

    private long ResamplingParameters(long input, long output)
    {
        if (Resampling == Resampling.Convolution)
            return 9 * input * output + 2 * output;
        return 11 * input * output + (Variant == NetworkVariant.Residual ? 2 * input : 0);
    }
}

/// <summary>A block's layers and widths.</summary>
internal sealed record BlockWidths(int Layers, int Input, int Output);

/// <summary>The widths of a network's blocks.</summary>
internal sealed record NetworkWidths(IReadOnlyList<BlockWidths> Encoder, BlockWidths Bottom, IReadOnlyList<BlockWidths> Decoder);

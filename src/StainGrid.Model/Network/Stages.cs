using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>An encoder stage: a block, whose output also goes to the decoder, then the way down. Tensor names: dense.*,
/// down.*.</summary>
internal sealed class EncoderStage : nn.Module<Tensor, (Tensor Skip, Tensor Down)>
{
    private readonly FeatureBlock dense;
    private readonly nn.Module<Tensor, Tensor> down;

    public EncoderStage(NetworkOptions options, BlockWidths widths)
        : base(nameof(EncoderStage))
    {
        dense = Stage.Block(options, widths);
        down = Stage.Resample(options, widths.Output, widths.Output, Scaling.Down);
        RegisterComponents();
    }

    public override (Tensor Skip, Tensor Down) forward(Tensor input)
    {
        var skip = dense.call(input);            // [N, c, H, W]
        return (skip, down.call(skip));          // [N, c, H/2, W/2]
    }
}

/// <summary>The bottom: a block and a GST. Tensor names: dense.*, same.*.</summary>
internal sealed class BottomStage : nn.Module<Tensor, Tensor>
{
    private readonly FeatureBlock dense;
    private readonly nn.Module<Tensor, Tensor> same;

    public BottomStage(NetworkOptions options, BlockWidths widths)
        : base(nameof(BottomStage))
    {
        dense = Stage.Block(options, widths);
        same = Stage.Resample(options, widths.Output, widths.Output, Scaling.Same);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        return same.call(dense.call(input)).MoveToOuterDisposeScope();   // [N, c, H, W]
    }
}

/// <summary>A decoder stage: up to half the channels, concatenation with the encoder's block of that size, 1x1 convolution
/// to half, block. Tensor names: up.*, fuse.weight, dense.*.</summary>
internal sealed class DecoderStage : nn.Module<Tensor, Tensor, Tensor>
{
    private readonly nn.Module<Tensor, Tensor> up;
    private readonly Conv2d fuse;
    private readonly FeatureBlock dense;

    public DecoderStage(NetworkOptions options, int input, int skip, BlockWidths widths)
        : base(nameof(DecoderStage))
    {
        int half = NetworkOptions.Half(input);
        up = Stage.Resample(options, input, half, Scaling.Up);
        fuse = Convolutions.Pointwise(half + skip, widths.Input);
        dense = Stage.Block(options, widths);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input, Tensor skip)
    {
        using var scope = NewDisposeScope();
        var x = up.call(input);                              // [N, C/2, 2H, 2W]
        x = fuse.Convolve(cat([x, skip], 1));                    // [N, (C/2 + s)/2, 2H, 2W]
        return dense.call(x).MoveToOuterDisposeScope();      // [N, c, 2H, 2W]
    }
}

/// <summary>The parts that the options choose.</summary>
internal static class Stage
{
    public static FeatureBlock Block(NetworkOptions options, BlockWidths widths) =>
        new(options.Block, widths.Input, widths.Layers, options.Growth, options.Dropout);

    public static nn.Module<Tensor, Tensor> Resample(NetworkOptions options, int input, int output, Scaling scaling) =>
        options.Resampling == Resampling.Attention
            ? new GlobalPixelTransformerLayer(input, output, scaling, options.Variant)
            : new ResamplingConvolution(input, output, scaling);
}

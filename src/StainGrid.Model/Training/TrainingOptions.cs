using System.ComponentModel.DataAnnotations;
using StainGrid.Tiling;

namespace StainGrid.Model;

/// <summary>How to train. The defaults are what was measured to be better than the paper's way (docs/training.md).</summary>
public sealed record TrainingOptions
{
    /// <summary>The paper's way (section IV): Adam at 1e-5, four tiles a step, one-hot targets, every pixel of whole tiles, no schedule, no augmentation.</summary>
    public static TrainingOptions Paper { get; } = new()
    {
        Steps = 100_000,
        BatchSize = 4,
        LearningRate = 1e-5,
        WarmUp = 0,
        Decay = false,
        ClipNorm = 0,
        TargetSpread = 0,
        MeanWeight = 0,
        SmallTileShare = 0,
        AttentionFrom = 0,
        LossStride = 1,
        BrightShare = 0,
        Augmentation = false,
    };

    /// <summary>Optimiser steps.</summary>
    [Range(1, 10_000_000)]
    public int Steps { get; init; } = 3000;

    /// <summary>Tiles a step, as many pixels as of whole tiles while they are small.</summary>
    [Range(1, 256)]
    public int BatchSize { get; init; } = 4;

    /// <summary>Adam's learning rate, after the warm-up.</summary>
    [Range(1e-9, 1e30)]
    public double LearningRate { get; init; } = 2e-3;

    /// <summary>Steps of linear warm-up.</summary>
    [Range(0, 1_000_000)]
    public int WarmUp { get; init; } = 50;

    /// <summary>Whether the rate falls to zero along a cosine.</summary>
    public bool Decay { get; init; } = true;

    /// <summary>The largest norm of a step's gradient; 0 for any.</summary>
    [Range(0.0, 1e6)]
    public double ClipNorm { get; init; } = 1;

    /// <summary>Standard deviation, levels, of the Gaussian that a target level is spread over. One-hot targets over 256 levels
    /// tell nothing of how near a miss was; 0 for the paper's one-hot.</summary>
    [Range(0.0, 256.0)]
    public double TargetSpread { get; init; } = 3;

    /// <summary>The weight of the squared error of the distribution's mean (0 to 1 over the range) beside the cross-entropy, nats: most pixels are dark, and
    /// the cross-entropy cares as much for each of them as for the few bright ones that are looked at. 0 for the paper's.</summary>
    [Range(0.0, 1e6)]
    public double MeanWeight { get; init; } = 20;

    /// <summary>The share of the training that sees only the middle 64x64 of each tile, four times as many of them: attention
    /// costs a sixteenth there, so that a step costs less and sees more places. The rest sees whole tiles. 0 for the paper's.</summary>
    [Range(0.0, 1.0)]
    public double SmallTileShare { get; init; } = 0.9;

    /// <summary>The share of the training after which the GPT layers of the residual variant attend. Their values begin at zero; until then a layer is its queries
    /// alone, which learn faster without the tile's mean that new values and keys add to every pixel, at half the cost. 0 for the paper's; a model that is gone
    /// on from attends from the start.</summary>
    [Range(0.0, 1.0)]
    public double AttentionFrom { get; init; } = 0.7;

    /// <summary>The loss is taken at every so many pixels along x and y, from a random first one: neighbours tell nearly the
    /// same. 1 for the paper's.</summary>
    [Range(1, 16)]
    public int LossStride { get; init; } = 2;

    /// <summary>The share of tiles that lie around a pixel drawn as it is bright: where labels are sparse, most places tell little. The others lie anywhere. 0 for the paper's.</summary>
    [Range(0.0, 1.0)]
    public double BrightShare { get; init; } = 0.5;

    /// <summary>Whether half of the tiles are turned by up to <see cref="Turn"/> and scaled by 0.8 to 1.25, and gain and offset of the light changed.</summary>
    public bool Augmentation { get; init; } = true;

    /// <summary>The most that augmentation turns a tile by, degrees. Most transmitted light comes from one side, and which side of a cell is dark tells much of it: tiles that
    /// are turned far teach less. 180, for light without a direction, turns them any way, by quarters too, and mirrors them; 0 neither turns nor scales.</summary>
    [Range(0.0, 180.0)]
    public double Turn { get; init; } = 30;

    /// <summary>The seed of crops, augmentation and dropout.</summary>
    [Range(0, int.MaxValue)]
    public int Seed { get; init; } = 1;

    /// <summary>Forward passes that batch norm's running statistics are measured over at an evaluation and at the end, without dropout.</summary>
    [Range(0, 10_000)]
    public int NormBatches { get; init; } = 60;

    /// <summary>Float32, or bfloat16 for products and activations; weights, their statistics and the optimiser stay float32.</summary>
    public Precision Precision { get; init; } = Precision.Float32;

    /// <summary>Checks every bound.</summary>
    /// <exception cref="ArgumentException">A value is out of its range; the message names it and the range.</exception>
    public void Validate()
    {
        var problems = new List<ValidationResult>();
        if (!Validator.TryValidateObject(this, new ValidationContext(this), problems, validateAllProperties: true))
            throw new ArgumentException($"{problems[0].ErrorMessage} Change it in the training's settings.");
        if (Precision is not (Precision.Float32 or Precision.BFloat16))
            throw new ArgumentException("The precision of a training is float32 or bfloat16.");
    }

    /// <summary>The learning rate of a step, counted from 0.</summary>
    internal double RateAt(int step) =>
        LearningRate * Math.Min(1, (step + 1.0) / Math.Max(1, WarmUp)) * (Decay ? 0.5 * (1 + Math.Cos(Math.PI * step / Steps)) : 1);
}

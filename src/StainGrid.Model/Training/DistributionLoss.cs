using System.Runtime.Intrinsics;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The cross-entropy of a label's distributions against its true levels, each spread by a Gaussian, with the squared error of their means, and the gradient. In bfloat16 on the
/// cpu some pixels at a time, so that their levels never leave the cache: product, softmax with loss and gradient in one pass, two
/// products back. Otherwise by libtorch.</summary>
internal sealed class DistributionLoss
{
    private const int MostRows = 1024;
    private readonly int levels;
    private readonly float meanWeight;
    private readonly float[] wanted;
    private readonly float[] intensities;

    /// <param name="levels">Levels of a distribution.</param>
    /// <param name="spread">Standard deviation of the Gaussian, levels; 0 for the level alone.</param>
    /// <param name="meanWeight">The weight of the squared error of the distribution's mean, in units of the range.</param>
    public DistributionLoss(int levels, double spread, double meanWeight)
    {
        this.levels = levels;
        this.meanWeight = (float)meanWeight;
        intensities = [.. Enumerable.Range(0, levels).Select(level => level / (levels - 1f))];
        wanted = new float[levels * levels];
        for (int level = 0; level < levels; level++)
        {
            double[] weights = [.. Enumerable.Range(0, levels).Select(other => spread > 0 ? Math.Exp(-0.5 * Math.Pow((other - level) / spread, 2)) : other == level ? 1 : 0)];
            double sum = weights.Sum();
            for (int other = 0; other < levels; other++)
                wanted[level * levels + other] = (float)(weights[other] / sum);
        }
    }

    /// <summary>The mean cross-entropy of the pixels that have a truth, nats; gradients are added to those of features and head.</summary>
    /// <param name="features">[P, c], float32 or bfloat16; a leaf that takes a gradient.</param>
    /// <param name="targets">[P], int64, -1 without truth.</param>
    /// <param name="head">The label's.</param>
    /// <param name="share">What the gradient is multiplied by.</param>
    public double Backward(Tensor features, Tensor targets, Conv2d head, double share)
    {
        using var scope = NewDisposeScope();
        if (BlockedAttentionFunction.Takes(features) && Vector512.IsHardwareAccelerated && levels % BFloat16Vector.Lanes == 0)
            return Blocked(features, targets, head, share);
        var logits = nn.functional.linear(features, head.weight!.flatten(1).to(features.dtype), head.bias!.to(features.dtype)).to(ScalarType.Float32);   // [P, L]
        var valid = targets.ge(0);
        var some = tensor(wanted, [levels, levels], device: logits.device).index_select(0, targets.clamp_min(0));   // [P, L]
        var distance = (logits.softmax(1) * tensor(intensities, device: logits.device)).sum(1) - targets / (levels - 1f);   // [P]
        var count = valid.sum().clamp_min(1);
        var error = (-(some * logits.log_softmax(1)).sum(1) * valid).sum() / count;
        ((error + meanWeight * (distance * distance * valid).sum() / count) * share).backward();
        return error.item<float>();
    }

    private double Blocked(Tensor features, Tensor targets, Conv2d head, double share)
    {
        using var gradients = no_grad();
        int rows = (int)features.shape[0], channels = (int)features.shape[1], columns = BlockedAttention.PaddedColumns(channels + 1);
        long[] truth = targets.data<long>().ToArray();
        int valid = truth.Count(level => level >= 0);
        if (valid == 0)
            return 0;

        // The bias is the weight of a feature that is always 1.
        var seen = nn.functional.pad(cat([features, ones([rows, 1], ScalarType.BFloat16)], 1), [0, columns - channels - 1]);                        // [P, k]
        var weight = nn.functional.pad(cat([head.weight!.flatten(1), head.bias!.unsqueeze(1)], 1), [0, columns - channels - 1]).to(ScalarType.BFloat16);   // [L, k]
        var back = empty_like(seen);                                                                                                              // [P, k]
        int blocks = (rows + MostRows - 1) / MostRows;
        var losses = new double[blocks];
        var changes = zeros([blocks, levels, columns], ScalarType.BFloat16);
        GradientThreads.Run(blocks, (block, scratch) =>
        {
            int first = block * MostRows, some = Math.Min(MostRows, rows - first);
            var logits = scratch.Matrix("logits", some, levels);
            var part = seen.narrow(0, first, some);
            logits.SetProduct(part, weight.t());
            losses[block] = Differentiate(logits, truth.AsSpan(first, some));
            back.narrow(0, first, some).addmm_(logits.Values, weight, beta: 0, alpha: 1);
            changes[block].addmm_(logits.Values.t(), part, beta: 0, alpha: 1);
        });
        var change = changes.to(ScalarType.Float32).sum([0L]) * (share / valid);                                                                     // [L, k]
        Add(features, back.narrow(1, 0, channels).to(ScalarType.Float32) * (share / valid));
        Add(head.weight!, change.narrow(1, 0, channels).reshape(head.weight!.shape));
        Add(head.bias!, change[TensorIndex.Colon, channels].clone());
        return losses.Sum() / valid;
    }

    private static void Add(Tensor parameter, Tensor gradient)
    {
        if (parameter.grad is { } before)
            before.add_(gradient.to(before.dtype));
        else
            parameter.grad = gradient.to(parameter.dtype).MoveToOuterDisposeScope();
    }

    // Logits become the gradient of the sum of the losses: p - w, and of the mean's squared error 2 (mean - truth) p (level - mean). The cross-entropy is returned.
    private double Differentiate(PixelMatrix logits, ReadOnlySpan<long> truth)
    {
        var lines = logits.Span;
        Span<float> powers = stackalloc float[levels];
        double loss = 0;
        for (int row = 0; row < logits.Rows; row++)
        {
            var line = lines.Slice(row * levels, levels);
            if (truth[row] < 0)
            {
                line.Clear();
                continue;
            }

            var some = wanted.AsSpan((int)truth[row] * levels, levels);
            float maximum = BFloat16Vector.Maximum(line);
            var (most, units) = (Vector512.Create(maximum), Vector512.Create(1 / MathF.Log(2)));
            Vector512<float> sum = default, product = default, moment = default;
            for (int i = 0; i < levels; i += BFloat16Vector.Lanes)
            {
                var away = BFloat16Vector.Load(ref line[i]) - most;
                var power = BFloat16Vector.Exp2(away * units);
                power.StoreUnsafe(ref powers[i]);
                sum += power;
                moment = Vector512.FusedMultiplyAdd(power, Vector512.LoadUnsafe(ref intensities[i]), moment);
                product = Vector512.FusedMultiplyAdd(away, Vector512.LoadUnsafe(ref some[i]), product);
            }

            float total = Vector512.Sum(sum);
            loss += MathF.Log(total) - Vector512.Sum(product);
            float mean = Vector512.Sum(moment) / total;
            var share = Vector512.Create(1 / total);
            var slope = Vector512.Create(2 * meanWeight * (mean - truth[row] / (levels - 1f)));
            var middle = Vector512.Create(mean);
            for (int i = 0; i < levels; i += BFloat16Vector.Lanes)
            {
                var change = Vector512.FusedMultiplyAdd(slope, Vector512.LoadUnsafe(ref intensities[i]) - middle, Vector512<float>.One);
                BFloat16Vector.Store(Vector512.LoadUnsafe(ref powers[i]) * share * change - Vector512.LoadUnsafe(ref some[i]), ref line[i]);
            }
        }

        return loss;
    }
}

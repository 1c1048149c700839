using System.CommandLine;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Cli;

/// <summary>The options that say what is trained on and how, for all commands that train.</summary>
internal sealed class TrainOptions
{
    private readonly Argument<string?> source = new("CONFIG|DATA")
    {
        Description = "The paired data, as for 'staingrid data', or a training.json. Left out: synthetic specimens alone (--specimens).",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<Preset> preset = new("--preset")
    {
        Description = "paper: Adam at 1e-5, batch 4, dropout 0.5, one-hot targets, whole tiles, no augmentation. default: what was measured to be better.",
        HelpName = "default|paper",
    };

    private readonly Option<int?> steps = new("--steps") { Description = "Steps of the optimiser. Default: 3000, and for --preset paper 100000.", HelpName = "N" };
    private readonly Option<int?> batch = new("--batch") { Description = "Tiles a step.", HelpName = "N" };
    private readonly Option<double?> rate = new("--rate") { Description = "Adam's learning rate, after the warm-up.", HelpName = "R" };
    private readonly Option<double?> dropout = new("--dropout") { Description = "The probability that an activation of a block is dropped.", HelpName = "P" };
    private readonly Option<double?> turn = new("--turn") { Description = "The most that augmentation turns tiles by; 180 turns and mirrors them any way, for light without a direction, 0 leaves them as they lie.", HelpName = "DEGREES" };
    private readonly Option<NetworkVariant?> variant = new("--variant") { Description = "The form of the attention layers.", HelpName = "residual|paper" };

    private readonly Option<Precision?> precision = new("--precision")
    {
        Description = "float32, bfloat16 (products and activations; weights stay float32), or auto, what this machine is faster in. Default: auto, and for --preset paper float32.",
        HelpName = "auto|float32|bfloat16",
    };

    private readonly Option<int?> specimens = new("--specimens") { Description = "Synthetic specimens to train on, besides or alone.", HelpName = "N" };
    private readonly Option<double?> share = new("--specimen-share") { Description = "The share of tiles that is of specimens, where there is data too. Default: 0.5.", HelpName = "S" };
    private readonly Option<int?> checkpointEvery = new("--checkpoint-every") { Description = "Steps from one checkpoint to the next. Default: 100.", HelpName = "N" };

    private readonly Option<double> memory = new("--memory")
    {
        Description = "Gigabytes of images to hold. Where more are to be trained on, they take turns.",
        DefaultValueFactory = _ => 4,
        HelpName = "GB",
    };

    private readonly SplitOptions split = new();

    private enum Preset
    {
        Default,
        Paper,
    }

    public void AddTo(Command command)
    {
        command.Add(source);
        foreach (Option option in (Option[])[preset, steps, batch, rate, dropout, turn, variant, precision, specimens, share, checkpointEvery, memory])
            command.Add(option);
        split.AddTo(command);
    }

    /// <summary>The most bytes of images to hold.</summary>
    public long Memory(ParseResult parsed) => (long)(parsed.GetValue(memory) * (1L << 30));

    /// <summary>What the file says, then what the command line says.</summary>
    /// <exception cref="ArgumentException">They do not go together.</exception>
    /// <exception cref="ImageException">The file is refused.</exception>
    public TrainingConfig Config(ParseResult parsed, string device)
    {
        string? path = parsed.GetValue(source);
        var chosen = parsed.GetValue(preset);
        bool isFile = path is not null && Path.GetExtension(path).Equals(".json", StringComparison.OrdinalIgnoreCase);
        if (isFile && parsed.GetResult(preset) is not null)
            throw new ArgumentException("A training.json has all settings: --preset does not go with it.");
        var config = isFile ? TrainingConfig.Read(path!) : new TrainingConfig
        {
            Data = path,
            Network = new NetworkOptions { Dropout = chosen == Preset.Paper ? 0.5 : 0 },
            Training = (chosen == Preset.Paper ? TrainingOptions.Paper : new TrainingOptions()) with { Precision = chosen == Preset.Paper ? Precision.Float32 : Best() },
        };
        return config with
        {
            Specimens = parsed.GetValue(specimens) ?? config.Specimens,
            SpecimenShare = parsed.GetValue(share) ?? config.SpecimenShare,
            CheckpointEvery = parsed.GetValue(checkpointEvery) ?? config.CheckpointEvery,
            Network = config.Network with { Dropout = parsed.GetValue(dropout) ?? config.Network.Dropout, Variant = parsed.GetValue(variant) ?? config.Network.Variant },
            Training = config.Training with
            {
                Steps = parsed.GetValue(steps) ?? config.Training.Steps,
                BatchSize = parsed.GetValue(batch) ?? config.Training.BatchSize,
                LearningRate = parsed.GetValue(rate) ?? config.Training.LearningRate,
                Turn = parsed.GetValue(turn) ?? config.Training.Turn,
                Precision = parsed.GetValue(precision) is not { } wanted ? config.Training.Precision : wanted == Precision.Auto ? Best() : wanted,
            },
        };

        Precision Best() => ProductRate.PrefersBFloat16(device) ? Precision.BFloat16 : Precision.Float32;
    }

    /// <summary>The split of the data, every file of which was read to its end; null where there is none.</summary>
    /// <exception cref="ImageException">Something is wrong with the data, or the split cannot be made.</exception>
    public DataSplit? Split(ParseResult parsed, TrainingConfig config, bool json, CancellationToken cancellationToken) =>
        config.Data is null ? null : split.Of(parsed, DataCommand.Checked(config.Data, json, cancellationToken), config.Split, config.Training.Seed);
}

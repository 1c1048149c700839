using System.CommandLine;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Cli;

/// <summary>The options that say what to predict, shared by the commands that do.</summary>
internal sealed class StainOptions
{
    public StainOptions()
    {
        Stride.Validators.Add(result => Check(result.GetValue(Stride) is null or >= TilingOptions.MinStride and <= Tile.Size, result.AddError,
            $"--stride must be {TilingOptions.MinStride} to {Tile.Size} pixels."));
        BlockSide.Validators.Add(result => Check(result.GetValue(BlockSide) is >= 1 and <= TilingOptions.MaxBlockSide, result.AddError,
            $"--block must be 1 to {TilingOptions.MaxBlockSide} tiles."));
        BatchSize.Validators.Add(result => Check(result.GetValue(BatchSize) is >= 1 and <= 256, result.AddError, "--batch must be 1 to 256 tiles."));
        Plane.Validators.Add(result => Check(result.GetValue(Plane) is null or "all" || (int.TryParse(result.GetValue(Plane), out int plane) && plane >= 0),
            result.AddError, "--plane must be a number counted from 0, or all."));
        Statistics.Validators.Add(result =>
        {
            if (Split(result.GetValue(Statistics)).FirstOrDefault(name => StatisticOf(name) is null) is { } unknown)
                result.AddError($"--statistics: '{unknown}' is none of mean, standarddeviation, median, mode, entropy.");
        });

        static void Check(bool right, Action<string> add, string error)
        {
            if (!right)
                add(error);
        }
    }

    public Option<string> Model { get; } = new("--model", "-m")
    {
        Description = "The model: a safetensors file of StainGrid's, the address of one in a blob store, or model:NAME[@HASH] of the registry; with --server the name of one there.",
        DefaultValueFactory = _ => DefaultModel,
        HelpName = "FILE",
    };

    public Option<string?> Registry { get; } = RegistryChoice.Option("The model registry, for model:NAME.");

    public Option<string[]> Labels { get; } = new("--labels", "-l")
    {
        Description = "The labels to predict, by commas. 'staingrid model info' lists those of a model. Default: all.",
        HelpName = "A,B",
        AllowMultipleArgumentsPerToken = true,
    };

    public Option<string?> Plane { get; } = new("--plane")
    {
        Description = "The plane of a z-stack to predict from, counted from 0, or 'all' to average the predictions from every plane. Default: the middle one.",
        HelpName = "K|all",
    };

    public Option<Quality> Quality { get; } = new("--quality")
    {
        Description = "How tiles overlap: standard (stride 64, gaussian), fast (stride 96, gaussian: about half the tiles) or paper (stride 64, plain average: steps where tiles end). --stride and --blend say it exactly.",
        DefaultValueFactory = _ => Cli.Quality.Standard,
    };

    public Option<int?> Stride { get; } = new("--stride")
    {
        Description = $"Distance of neighbouring 128-pixel tiles, {TilingOptions.MinStride} to {Tile.Size}. Smaller is smoother and slower: 64 sees each pixel four times.",
        HelpName = "PIXELS",
    };

    public Option<Blend?> Blend { get; } = new("--blend")
    {
        Description = "How overlapping tiles are merged: uniform (plain average), gaussian (their centres count more), centrecrop (each pixel from the nearest centre).",
    };

    public Option<Precision> Precision { get; } = new("--precision")
    {
        Description = "The numbers the network is computed in: float32, bfloat16, or auto: bfloat16 where all devices are faster by it, float32 else.",
        DefaultValueFactory = _ => Tiling.Precision.Auto,
    };

    public Option<string[]> Statistics { get; } = new("--statistics", "-s")
    {
        Description = "What to store of each pixel's distribution, by commas: mean, standarddeviation (or sd), median, mode, entropy. One channel each.",
        DefaultValueFactory = _ => ["mean"],
        HelpName = "A,B",
        AllowMultipleArgumentsPerToken = true,
    };

    public Option<int> BatchSize { get; } = new("--batch")
    {
        Description = "Tiles computed at once, 1 to 256.",
        DefaultValueFactory = _ => 4,
        HelpName = "TILES",
    };

    public Option<int> BlockSide { get; } = new("--block")
    {
        Description = $"Tiles along each side of a block, the unit of work, 1 to {TilingOptions.MaxBlockSide}. Does not change the result.",
        DefaultValueFactory = _ => TilingOptions.DefaultBlockSide,
        HelpName = "TILES",
    };

    /// <summary>The model that comes with the command.</summary>
    public static string DefaultModel { get; } = Path.Combine(AppContext.BaseDirectory, "models", "staingrid-neuron.safetensors");

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[Model, Registry, Labels, Plane, Statistics, Quality, Stride, Blend, Precision, BatchSize, BlockSide])
            command.Options.Add(option);
    }

    /// <summary>The plane that was asked for, null for the middle one; or all.</summary>
    public (int? Plane, bool All) Planes(ParseResult parsed)
    {
        string? plane = parsed.GetValue(Plane);
        return (plane is null or "all" ? null : int.Parse(plane, System.Globalization.CultureInfo.InvariantCulture), plane == "all");
    }

    /// <summary>What a model is called that is named in the registry; null for a file.</summary>
    public string? ModelName(ParseResult parsed) => ModelRegistry.NameOf(parsed.GetValue(Model)!);

    /// <summary>What they say; a model that is named in the registry by the address of the version that is meant now.</summary>
    /// <exception cref="ArgumentException">A model is named wrongly, or no registry is given.</exception>
    /// <exception cref="ModelNotFoundException">The registry has none of this name.</exception>
    /// <exception cref="BlobStoreException">The registry fails.</exception>
    public async Task<StainSettings> SettingsAsync(ParseResult parsed, CancellationToken cancellationToken) => ModelName(parsed) is { } name
        ? Settings(parsed) with { Model = (await RegistryChoice.Open(parsed, Registry).FindAsync(name, cancellationToken)).Address }
        : Settings(parsed);

    private StainSettings Settings(ParseResult parsed)
    {
        var (plane, allPlanes) = Planes(parsed);
        var quality = parsed.GetValue(Quality);
        return new StainSettings
        {
            Model = BlobAddress.Full(parsed.GetValue(Model)!),
            Labels = [.. Split(parsed.GetValue(Labels))],
            Plane = plane,
            AllPlanes = allPlanes,
            Statistics = [.. Split(parsed.GetValue(Statistics)).Select(name => StatisticOf(name)!.Value).Distinct()],
            Stride = parsed.GetValue(Stride) ?? (quality == Cli.Quality.Fast ? 96 : TilingOptions.DefaultStride),
            Blend = parsed.GetValue(Blend) ?? (quality == Cli.Quality.Paper ? Tiling.Blend.Uniform : TilingOptions.DefaultBlend),
            Precision = parsed.GetValue(Precision),
            BlockSide = parsed.GetValue(BlockSide),
            BatchSize = parsed.GetValue(BatchSize),
        };
    }

    /// <summary>What they say, to a service: the model by its name there.</summary>
    public PlateSubmission Submission(ParseResult parsed)
    {
        var settings = Settings(parsed);
        return new PlateSubmission
        {
            Source = "",
            Model = parsed.GetResult(Model) is { Implicit: false } ? ModelName(parsed) ?? parsed.GetValue(Model) : null,
            Labels = settings.Labels,
            Plane = settings.Plane,
            AllPlanes = settings.AllPlanes,
            Statistics = settings.Statistics,
            Stride = settings.Stride,
            Blend = settings.Blend,
            Precision = settings.Precision,
        };
    }

    private static IEnumerable<string> Split(string[]? values) =>
        (values ?? []).SelectMany(value => value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));

    private static Statistic? StatisticOf(string name) =>
        name.Equals("sd", StringComparison.OrdinalIgnoreCase) ? Statistic.StandardDeviation
        : !char.IsAsciiDigit(name[0]) && Enum.TryParse<Statistic>(name.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var statistic) ? statistic
        : null;
}

/// <summary>How densely tiles overlap.</summary>
internal enum Quality
{
    /// <summary>Stride 64, the tiles' centres counting more.</summary>
    Standard,

    /// <summary>Stride 96, the tiles' centres counting more.</summary>
    Fast,

    /// <summary>Stride 64, plain average.</summary>
    Paper,
}

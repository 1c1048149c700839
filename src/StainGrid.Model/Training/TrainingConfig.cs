using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using System.Text.Json.Serialization;
using StainGrid.Imaging;

namespace StainGrid.Model;

/// <summary>What a training is of: training.json of its folder, which repeats it. All members may be left out but one of data and specimens.</summary>
public sealed record TrainingConfig
{
    private const long MaxBytes = 1L << 20;

    private static readonly JsonSerializerOptions s_json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        AllowDuplicateProperties = false,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
        MaxDepth = 8,
    };

    /// <summary>The paired data: a folder or manifest as <see cref="PairedData.Discover"/> takes it; null for specimens alone.</summary>
    public string? Data { get; init; }

    /// <summary>Its split (<see cref="SplitFile"/>).</summary>
    public string? Split { get; init; }

    /// <summary>Synthetic specimens to train on, 512x512, seeds from 1.</summary>
    [Range(0, 10_000)]
    public int Specimens { get; init; }

    /// <summary>The share of tiles that is of specimens, where there is data besides.</summary>
    [Range(0.0, 1.0)]
    public double SpecimenShare { get; init; } = 0.5;

    /// <summary>A model to go on from; its network, normalisation and ranges of labels are taken over. Labels that it lacks get heads of their own.</summary>
    public string? From { get; init; }

    /// <summary>The network's shape, where no model is given.</summary>
    public NetworkOptions Network { get; init; } = new() { Dropout = 0 };

    /// <summary>How to train.</summary>
    public TrainingOptions Training { get; init; } = new();

    /// <summary>Steps from one evaluation on the validation part to the next; 0 for none.</summary>
    [Range(0, int.MaxValue)]
    public int EvaluateEvery { get; init; } = 250;

    /// <summary>Steps from one checkpoint to the next.</summary>
    [Range(1, int.MaxValue)]
    public int CheckpointEvery { get; init; } = 100;

    /// <summary>The licence of the weights, by SPDX name.</summary>
    public string Licence { get; init; } = "NOASSERTION";

    /// <summary>How to train: the attention of a model that is gone on from is there already, and the paper's variant is nothing without it.</summary>
    internal TrainingOptions Settings => From is null && Network.Variant == NetworkVariant.Residual ? Training : Training with { AttentionFrom = 0 };

    /// <summary>Reads a file of settings. Paths in it are relative to its folder.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="ImageException">It cannot be read or is not one; the message says where.</exception>
    public static TrainingConfig Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            if (new FileInfo(path).Length > MaxBytes)
                throw new ImageException($"{path} is larger than {MaxBytes >> 20} MB: these are no settings of a training. Check the path.");
            var config = JsonSerializer.Deserialize<TrainingConfig>(File.ReadAllBytes(path), s_json) ?? throw new JsonException("It is null.");
            string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
            config = config with { Data = Full(config.Data), Split = Full(config.Split), From = Full(config.From) };
            config.Validate();
            return config;

            string? Full(string? other) => other is null ? null : Path.GetFullPath(other, folder);
        }
        catch (Exception exception) when (exception is JsonException or ArgumentException)
        {
            throw new ImageException($"{path} is no settings of a training: {exception.Message} Correct it, or begin with the training.json of another run.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ImageException($"{path} cannot be read: {exception.Message} Check the path.", exception);
        }
    }

    /// <summary>The file's text.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, s_json);

    /// <summary>Checks every bound.</summary>
    /// <exception cref="ArgumentException">A value is out of its range; the message names it and the range.</exception>
    public void Validate()
    {
        var problems = new List<ValidationResult>();
        if (!Validator.TryValidateObject(this, new ValidationContext(this), problems, validateAllProperties: true))
            throw new ArgumentException(problems[0].ErrorMessage);
        if (Network is null || Training is null || Licence is null)
            throw new ArgumentException("network, training and licence may be left out, but not be null.");
        Network.Validate();
        Training.Validate();
        if (Data is null && Specimens == 0)
            throw new ArgumentException("There is nothing to train on. Give data, or a number of synthetic specimens.");
    }
}

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace StainGrid.Model;

/// <summary>
/// What a model file says of itself, kept in the safetensors metadata (strings by name): <c>staingrid.format</c>, a number,
/// <c>staingrid.network</c>, <c>.labels</c>, <c>.normalisation</c> and <c>.training</c>, each JSON, and <c>licence</c>. The
/// name <c>format</c> is "pt", which PyTorch tools look for.
/// </summary>
public sealed record ModelMetadata
{
    /// <summary>The format that this version writes, and the only one it reads.</summary>
    public const int CurrentFormatVersion = 1;

    private const string Prefix = "staingrid.";
    private const string LicenceKey = "licence";

    /// <summary>The format of the file.</summary>
    public int FormatVersion { get; init; } = CurrentFormatVersion;

    /// <summary>The network's shape and variant.</summary>
    public NetworkOptions Network { get; init; } = new();

    /// <summary>The labels, in the order of the heads.</summary>
    public IReadOnlyList<LabelInfo> Labels { get; init; } = FluorescenceLabels.All;

    /// <summary>How input intensities are mapped.</summary>
    public NormalisationRule Normalisation { get; init; } = new();

    /// <summary>What the model was trained on and how.</summary>
    public TrainingSummary Training { get; init; } = new();

    /// <summary>The licence of the weights, by SPDX name.</summary>
    public string Licence { get; init; } = "Apache-2.0";

    /// <summary>Checks every bound.</summary>
    /// <exception cref="ArgumentException">A value is out of its range; the message names it and the range.</exception>
    public void Validate()
    {
        if (FindProblem() is { } problem)
            throw new ArgumentException(problem);
    }

    /// <summary>As strings by name, for the safetensors header.</summary>
    public IReadOnlyDictionary<string, string> ToStrings() => new SortedDictionary<string, string>(StringComparer.Ordinal)
    {
        ["format"] = "pt",
        [LicenceKey] = Licence,
        [Prefix + "format"] = FormatVersion.ToString(CultureInfo.InvariantCulture),
        [Prefix + "labels"] = JsonSerializer.Serialize(Labels, ModelMetadataJson.Default.IReadOnlyListLabelInfo),
        [Prefix + "network"] = JsonSerializer.Serialize(Network, ModelMetadataJson.Default.NetworkOptions),
        [Prefix + "normalisation"] = JsonSerializer.Serialize(Normalisation, ModelMetadataJson.Default.NormalisationRule),
        [Prefix + "training"] = JsonSerializer.Serialize(Training, ModelMetadataJson.Default.TrainingSummary),
    };

    /// <summary>From the strings of a safetensors header.</summary>
    /// <param name="path">The file, for errors.</param>
    /// <param name="strings">The header's metadata.</param>
    /// <exception cref="ModelFileException">A string is missing, is not JSON, or holds a value out of its range.</exception>
    public static ModelMetadata FromStrings(string path, IReadOnlyDictionary<string, string> strings)
    {
        ArgumentNullException.ThrowIfNull(strings);
        string format = Text(Prefix + "format");
        if (!int.TryParse(format, NumberStyles.None, CultureInfo.InvariantCulture, out int version) || version != CurrentFormatVersion)
        {
            throw new ModelFileException(
                path, $"the model file is of format {Shorten(format)}; this version reads {CurrentFormatVersion}. Use the version that wrote it.");
        }

        var metadata = new ModelMetadata
        {
            FormatVersion = version,
            Network = Parse(Prefix + "network", ModelMetadataJson.Default.NetworkOptions),
            Labels = Parse(Prefix + "labels", ModelMetadataJson.Default.IReadOnlyListLabelInfo),
            Normalisation = Parse(Prefix + "normalisation", ModelMetadataJson.Default.NormalisationRule),
            Training = Parse(Prefix + "training", ModelMetadataJson.Default.TrainingSummary),
            Licence = Text(LicenceKey),
        };
        return metadata.FindProblem() is { } problem
            ? throw new ModelFileException(path, $"{problem} Get the model file again.")
            : metadata;

        string Text(string name) => strings.TryGetValue(name, out string? text)
            ? text
            : throw new ModelFileException(path, $"the metadata has no '{name}': this is not a StainGrid model. Give one that 'staingrid model init' or training wrote.");

        T Parse<T>(string name, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
        {
            try
            {
                return JsonSerializer.Deserialize(Text(name), type) ?? throw new JsonException("it is null.");
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                throw new ModelFileException(path, $"the metadata '{name}' cannot be read ({e.Message}) Get the model file again.", e);
            }
        }
    }

    /// <summary>By content, the lists included.</summary>
    public bool Equals(ModelMetadata? other) =>
        other is not null && FormatVersion == other.FormatVersion && Network == other.Network
        && Labels.SequenceEqual(other.Labels) && Normalisation == other.Normalisation && Training == other.Training
        && Licence == other.Licence;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(FormatVersion, Network, Labels.Count, Normalisation, Training, Licence);

    private string? FindProblem()
    {
        if (Network is null || Normalisation is null || Training is null || Training.Text is null || Licence is null
            || Training.Values is null || Training.Values.Values.Any(value => value is null))
        {
            return "The model's metadata has a null.";
        }

        return Network.FindProblem() ?? LabelInfo.FindProblem(Labels) ?? Normalisation.FindProblem();
    }

    private static string Shorten(string text) => text.Length <= 20 ? $"'{text}'" : $"'{text[..20]}...'";
}

/// <summary>Source-generated JSON of the metadata: strict, so that a misspelt or newer field is not silently dropped.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    UseStringEnumConverter = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false,
    MaxDepth = 8)]
[JsonSerializable(typeof(NetworkOptions))]
[JsonSerializable(typeof(IReadOnlyList<LabelInfo>))]
[JsonSerializable(typeof(NormalisationRule))]
[JsonSerializable(typeof(TrainingSummary))]
internal sealed partial class ModelMetadataJson : JsonSerializerContext;

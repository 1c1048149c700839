using System.ComponentModel.DataAnnotations;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Grains;

/// <summary>Where a service keeps things: the places that its callers' names stand for. The same for all silos of a cluster.</summary>
public sealed record ServiceOptions : IValidatableObject
{
    /// <summary>The store that results go to, each in a folder of its own below its tenant's: a folder that all silos see, azure://CONTAINER/PREFIX or https://..</summary>
    [Required]
    public required string Results { get; init; }

    /// <summary>The folder that uploads go to, which all silos see; null for a service that takes none.</summary>
    public string? Uploads { get; init; }

    /// <summary>Stores that callers may read plates from, by the name they use: "NAME" for every tenant, "TENANT/NAME" for one.</summary>
    [Required]
    public IReadOnlyDictionary<string, string> Shares { get; init; } = new Dictionary<string, string>();

    /// <summary>The registry whose models callers may name besides <see cref="Models"/>, as NAME or NAME@HASH: see <see cref="ModelRegistry"/>. Null for none.</summary>
    public string? Registry { get; init; }

    /// <summary>The models, by their names; the first is the default. A model of the registry's is "model:NAME".</summary>
    [Required]
    public IReadOnlyList<KeyValuePair<string, string>> Models { get; init; } = [];

    /// <summary>The most plates of a tenant that run at once: more are refused until some have ended.</summary>
    [Range(1, 1_000_000)]
    public int MostRunning { get; init; } = 1000;

    /// <summary>How long things are kept.</summary>
    [Required]
    public RetentionOptions Retention { get; init; } = new();

    /// <inheritdoc/>
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        foreach (string name in Shares.Keys)
        {
            string[] parts = name.Split('/');
            if (parts.Length > 2 || !ServiceId.IsTenant(parts[^1]) || (parts.Length == 2 && !ServiceId.IsTenant(parts[0])))
                yield return new ValidationResult($"The share '{name}' must be NAME or TENANT/NAME, of lower-case letters, digits and '-'.");
        }

        if (Models.Count == 0)
            yield return new ValidationResult("The service has no model. Give one.");
        if (Registry is null && Models.FirstOrDefault(model => ModelRegistry.NameOf(model.Value) is not null) is { Value: { } named })
            yield return new ValidationResult($"The model {named} is of a registry (--registry), which is not given.");
        if (Registry is not null && Refusal(Registry) is { } refusal)
            yield return new ValidationResult($"--registry: {refusal}");
        if (((TimeSpan?[])[Retention.Results, Retention.Uploads, Retention.Audit]).Any(age => age <= TimeSpan.Zero))
            yield return new ValidationResult("What is kept is kept for a while (--keep-results, --keep-uploads, --keep-audit): give days above 0, or forever.");
    }

    private static string? Refusal(string store)
    {
        try
        {
            BlobStores.Open(store);
            return null;
        }
        catch (Exception e) when (e is BlobStoreException or ArgumentException)
        {
            return e.Message;
        }
    }

    /// <summary>The address of what a source names, for a tenant.</summary>
    /// <exception cref="PlateException">It names nothing here, or a place outside of what it may name.</exception>
    internal string Locate(string tenant, string source)
    {
        string[] parts = source.Split(':', 2);
        string[] path = parts.Length == 2 ? parts[1].Split('/', 2) : [];
        string below = path.Length == 2 ? path[1].TrimEnd('/') : "";
        try
        {
            if (below.Length > 0)
                BlobKey.Check(below);
        }
        catch (ArgumentException e)
        {
            throw new PlateException($"The source is refused: {e.Message}", e);
        }

        string? root = parts[0] switch
        {
            "upload" when Uploads is not null && path.Length > 0 && ServiceId.IsValid(path[0]) => Path.Combine(Uploads, tenant, path[0]),
            "share" when path.Length > 0 => Shares.GetValueOrDefault($"{tenant}/{path[0]}") ?? Shares.GetValueOrDefault(path[0]),
            _ => null,
        };
        if (root is null || (parts[0] == "upload" && !Directory.Exists(root)))
            throw new PlateException($"There is no source '{new string([.. source.Take(200).Where(c => !char.IsControl(c))])}'. Give upload:ID of what you uploaded, or share:NAME/PATH of a store that the operator shares.");
        if (below.Length == 0)
            return root;
        return BlobAddress.IsBlob(root) ? BlobAddress.Append(root, below)
            : ImagePath.Below(root, below) ?? throw new PlateException("The source is refused: it leads out of its share, perhaps through a link.");
    }

    /// <summary>The address of a plate's result.</summary>
    internal string OutputOf(string tenant, string plateId) => BlobAddress.Append(Results, $"{tenant}/{plateId}");
}

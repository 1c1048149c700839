namespace StainGrid.Grains;

/// <summary>What a registry keeps of a model's name.</summary>
public sealed record ModelRecord
{
    /// <summary>SHA-256 of the version that the name means.</summary>
    public required string Pinned { get; init; }

    /// <summary>The versions that were pushed under the name, the oldest first.</summary>
    public required IReadOnlyList<ModelVersion> Versions { get; init; }

    /// <summary>What the name meant from when on, the oldest first.</summary>
    public required IReadOnlyList<ModelPin> Pins { get; init; }

    /// <summary>The version that the name means.</summary>
    internal ModelVersion Current => Versions.First(version => version.Sha256 == Pinned);
}

/// <summary>A model's file in a registry.</summary>
/// <param name="Sha256">SHA-256 of the file, lower-case hexadecimal.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Labels">The labels that it predicts.</param>
/// <param name="Variant">The form of its network: residual or paper.</param>
/// <param name="Licence">The licence of its weights, by SPDX name.</param>
/// <param name="Pushed">When it was pushed under this name.</param>
/// <param name="By">Who did that.</param>
public sealed record ModelVersion(string Sha256, long Bytes, IReadOnlyList<string> Labels, string Variant, string Licence, DateTimeOffset Pushed, string By);

/// <summary>A change of what a name means.</summary>
/// <param name="Sha256">The version that it means from then on.</param>
/// <param name="Time">When.</param>
/// <param name="By">Who changed it.</param>
public sealed record ModelPin(string Sha256, DateTimeOffset Time, string By);

/// <summary>A version of a model, found in a registry by its name.</summary>
/// <param name="Name">The model's name.</param>
/// <param name="Version">The version.</param>
/// <param name="Address">The address of its file, for silos.</param>
public sealed record RegisteredModel(string Name, ModelVersion Version, string Address);

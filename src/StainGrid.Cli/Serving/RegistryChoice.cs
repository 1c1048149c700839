using System.CommandLine;
using StainGrid.Grains;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>The option that says where the model registry is.</summary>
internal static class RegistryChoice
{
    /// <summary>The option, also read from the environment.</summary>
    public static Option<string?> Option(string description) => ServiceChoice.Setting("registry", "STORE", $"{description} A folder that all silos see, azure://CONTAINER/PREFIX or https://.. Also from STAINGRID_REGISTRY.");

    /// <summary>The registry.</summary>
    /// <exception cref="ArgumentException">None is given.</exception>
    /// <exception cref="BlobStoreException">The address is not understood.</exception>
    public static ModelRegistry Open(ParseResult parsed, Option<string?> option) =>
        new(BlobAddress.Full(ServiceChoice.Value(parsed, option) ?? throw new ArgumentException($"--registry is missing. Give it, or set {ServiceChoice.Variable(option)}.")));
}

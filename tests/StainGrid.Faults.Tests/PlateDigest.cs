using System.Security.Cryptography;
using System.Text.RegularExpressions;
using StainGrid.Imaging;

namespace StainGrid.Faults.Tests;

/// <summary>The SHA-256 of every pixel chunk of a plate, all levels.</summary>
internal sealed partial record PlateDigest(IReadOnlyDictionary<string, string> Chunks)
{
    /// <summary>Reads all pixel chunks below a store's root.</summary>
    public static async Task<PlateDigest> OfAsync(IBlobStore plate, CancellationToken cancellationToken)
    {
        var chunks = new SortedDictionary<string, string>(StringComparer.Ordinal);
        await foreach (string key in plate.ListAsync("", cancellationToken))
        {
            if (Chunk().IsMatch(key) && await plate.ReadAsync(key, cancellationToken) is { } data)
                chunks[key] = Convert.ToHexStringLower(SHA256.HashData(data.Span));
        }

        return new PlateDigest(chunks);
    }

    /// <summary>The first chunk that is not the same in both, as a sentence; null where all are.</summary>
    public string? FirstDifference(PlateDigest other)
    {
        foreach (string key in Chunks.Keys.Union(other.Chunks.Keys).Order(StringComparer.Ordinal))
        {
            if (!Chunks.TryGetValue(key, out string? mine))
                return $"{key} is only in the other plate.";
            if (!other.Chunks.TryGetValue(key, out string? theirs))
                return $"{key} is not in the other plate.";
            if (mine != theirs)
                return $"{key} is {mine} here, {theirs} in the other plate.";
        }

        return null;
    }

    // row/column/field/level/t/c/z/y/x, with "c/" before t in OME-Zarr 0.5
    [GeneratedRegex(@"^[A-Za-z]+/\d+/\d+/\d+/(c/)?\d+/\d+/\d+/\d+/\d+$")]
    private static partial Regex Chunk();
}

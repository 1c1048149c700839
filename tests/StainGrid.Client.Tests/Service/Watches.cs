using StainGrid.Contracts;

namespace StainGrid.Client.Tests;

/// <summary>What holds for every watch.</summary>
internal static class Watches
{
    /// <summary>No version came twice, the last status alone is final, and each field's final change came once.</summary>
    public static void AssertWhole(IReadOnlyList<PlateChange> seen, int fields)
    {
        Assert.Equal(seen.Count, seen.Select(change => change.Status.Version).Distinct().Count());
        Assert.All(seen.SkipLast(1), change => Assert.False(change.Status.IsFinal));
        Assert.True(seen[^1].Status.IsFinal);
        string[] finals = [.. seen.SelectMany(change => change.Fields).Where(field => field.State is FieldState.Complete or FieldState.Failed or FieldState.Cancelled).Select(field => field.Path).Order(StringComparer.Ordinal)];
        Assert.Equal(finals.Distinct(), finals);
        Assert.Equal(fields, finals.Length);
    }
}

using System.Reflection;

namespace StainGrid.Grains;

/// <summary>The versions of what runs here.</summary>
public static class SiloVersions
{
    /// <summary>StainGrid's, with the commit that it was built from where that is known.</summary>
    public static string StainGrid => SlideOutput.Version;

    /// <summary>StainGrid's without the commit, as "0.1.0".</summary>
    public static string Release { get; } = StainGrid.Split('+')[0];

    /// <summary>Orleans'.</summary>
    public static string Orleans { get; } = typeof(IGrain).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+', ' ')[0].TrimEnd('.') ?? "";

    /// <summary>.NET's.</summary>
    public static string Runtime { get; } = Environment.Version.ToString();
}

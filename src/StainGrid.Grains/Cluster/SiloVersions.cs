using System.Reflection;

namespace StainGrid.Grains;

/// <summary>The versions of what runs here.</summary>
public static class SiloVersions
{
    /// <summary>StainGrid's.</summary>
    public static string StainGrid => SlideOutput.Version;

    /// <summary>Orleans'.</summary>
    public static string Orleans { get; } = typeof(IGrain).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+', ' ')[0].TrimEnd('.') ?? "";

    /// <summary>.NET's.</summary>
    public static string Runtime { get; } = Environment.Version.ToString();
}

using System.Reflection;

namespace StainGrid.Silo;

/// <summary>Which version of StainGrid this is.</summary>
public static class SiloVersion
{
    /// <summary>As it is told to people, as "0.1.0".</summary>
    public static string Text { get; } =
        typeof(SiloVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";
}

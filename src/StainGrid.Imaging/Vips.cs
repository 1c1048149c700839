using NetVips;

namespace StainGrid.Imaging;

/// <summary>libvips as this library uses it.</summary>
internal static class Vips
{
    /// <summary>No cache of operations: it is keyed by file name and would answer with a file's former pixels. No warnings
    /// on the console: errors are thrown. To be called before libvips is used; called again it does nothing new.</summary>
    public static void Prepare()
    {
        Cache.Max = 0;
        Log.SetLogHandler("VIPS", Enums.LogLevelFlags.All, (_, _, _) => { });
    }

    /// <summary>libvips' reason, as the middle of a line.</summary>
    public static string Reason(VipsException exception) =>
        ImageException.OneLine(exception.Message.Replace("unable to call ", "", StringComparison.Ordinal)).TrimEnd('.', ' ');
}

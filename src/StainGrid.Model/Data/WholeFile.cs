namespace StainGrid.Model;

/// <summary>Files that are there as a whole or not at all.</summary>
internal static class WholeFile
{
    /// <summary>Writes a file beside its place and moves it there; one that is there is replaced at once, not part by part.</summary>
    /// <param name="path">The file.</param>
    /// <param name="write">Writes to the path that it is given.</param>
    public static void Write(string path, Action<string> write)
    {
        string partial = path + ".partial";
        write(partial);
        File.Move(partial, path, overwrite: true);
    }
}

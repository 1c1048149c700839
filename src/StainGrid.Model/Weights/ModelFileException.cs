namespace StainGrid.Model;

/// <summary>A model file cannot be read or written. The message is one line: the file, what is wrong, what to do.</summary>
public sealed class ModelFileException : Exception
{
    /// <summary>An error of <paramref name="path"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="problem">What is wrong and what to do, as sentences.</param>
    /// <param name="inner">The cause, if another exception was it.</param>
    public ModelFileException(string path, string problem, Exception? inner = null)
        : base($"{path}: {problem}".ReplaceLineEndings(" "), inner)
    {
        Path = path;
    }

    /// <summary>An error of an unnamed file.</summary>
    public ModelFileException()
        : this("(unknown)", "the model file is not valid.")
    {
    }

    /// <summary>An error of an unnamed file.</summary>
    public ModelFileException(string message)
        : this("(unknown)", message)
    {
    }

    /// <summary>An error of an unnamed file.</summary>
    public ModelFileException(string message, Exception innerException)
        : this("(unknown)", message, innerException)
    {
    }

    /// <summary>The file.</summary>
    public string Path { get; }
}

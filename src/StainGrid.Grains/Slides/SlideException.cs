namespace StainGrid.Grains;

/// <summary>Why a slide cannot be stained, in one line for its submitter: what, where, what to do.</summary>
public sealed class SlideException : Exception
{
    /// <summary>An exception without a message.</summary>
    public SlideException()
    {
    }

    /// <summary>An exception with its one line.</summary>
    public SlideException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with its one line and its cause.</summary>
    public SlideException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

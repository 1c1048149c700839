namespace StainGrid.Imaging;

/// <summary>An image that is refused. The message is one line that names the file, what is wrong with it, and what to
/// do.</summary>
public sealed class ImageException : Exception
{
    /// <summary>A refusal without a reason; prefer the others.</summary>
    public ImageException()
    {
    }

    /// <summary>A refusal.</summary>
    /// <param name="message">One line: which file, what is wrong, what to do.</param>
    public ImageException(string message)
        : base(OneLine(message))
    {
    }

    /// <summary>A refusal with what led to it.</summary>
    /// <param name="message">One line: which file, what is wrong, what to do.</param>
    /// <param name="innerException">What led to it.</param>
    public ImageException(string message, Exception innerException)
        : base(OneLine(message), innerException)
    {
    }

    /// <summary>A library's message, which may have several lines and end with a full stop, as a part of one line.</summary>
    internal static string OneLine(string message)
    {
        // What a hostile file says of itself may be megabytes long.
        const int start = 1500, end = 400;
        if (message.Length > start + end)
            message = $"{message.AsSpan(0, start)} .. {message.AsSpan(message.Length - end)}";
        return string.Join(' ', message.Split(['\r', '\n', '\t', '\0', '\u001b'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }
}

namespace StainGrid.Model;

/// <summary>A training cannot go on: its loss or gradient is not a number. The message says at which step, and what to do.</summary>
public sealed class TrainingException : Exception
{
    /// <summary>An error without a message.</summary>
    public TrainingException()
    {
    }

    /// <summary>An error.</summary>
    /// <param name="message">What is wrong and what to do, as sentences.</param>
    public TrainingException(string message)
        : base(message)
    {
    }

    /// <summary>An error with its cause.</summary>
    /// <param name="message">What is wrong and what to do, as sentences.</param>
    /// <param name="innerException">The cause.</param>
    public TrainingException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

namespace StainGrid.Client;

/// <summary>A cluster, or its Redis, that is not reachable. The message is one line that says what to do.</summary>
public sealed class ClusterException : Exception
{
    /// <summary>A failure without a reason; prefer the others.</summary>
    public ClusterException()
    {
    }

    /// <summary>A failure.</summary>
    /// <param name="message">One line.</param>
    public ClusterException(string message)
        : base(message)
    {
    }

    /// <summary>A failure with what led to it.</summary>
    /// <param name="message">One line.</param>
    /// <param name="innerException">What led to it.</param>
    public ClusterException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

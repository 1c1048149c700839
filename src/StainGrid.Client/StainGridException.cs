namespace StainGrid.Client;

/// <summary>What kind of failure it is, and so what a caller can do.</summary>
public enum StainGridError
{
    /// <summary>The request is not one that can be done; the message says what to change.</summary>
    Refused,

    /// <summary>There is no such plate, file or upload, or it is another tenant's.</summary>
    NotFound,

    /// <summary>The id was used for something else.</summary>
    Conflict,

    /// <summary>Nobody is signed in, or the key or token is not valid any more.</summary>
    Unauthenticated,

    /// <summary>Who asks lacks the role for it.</summary>
    Forbidden,

    /// <summary>The service has enough to do, or the caller asks too often: ask again later.</summary>
    Busy,

    /// <summary>The service is not reachable, or failed: ask again later.</summary>
    Unavailable,
}

/// <summary>A request to StainGrid that failed. The message is one line that says what to do.</summary>
public sealed class StainGridException : Exception
{
    /// <summary>A failure without a reason; prefer the others.</summary>
    public StainGridException()
    {
    }

    /// <summary>A failure of the service.</summary>
    public StainGridException(string message)
        : base(message)
    {
    }

    /// <summary>A failure of the service with what led to it.</summary>
    public StainGridException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>A failure of a kind.</summary>
    /// <param name="error">The kind.</param>
    /// <param name="message">One line.</param>
    /// <param name="innerException">What led to it; null for nothing.</param>
    public StainGridException(StainGridError error, string message, Exception? innerException = null)
        : base(message, innerException) => Error = error;

    /// <summary>The kind of failure.</summary>
    public StainGridError Error { get; } = StainGridError.Unavailable;

    /// <summary>When to ask again at the earliest, where the service says it.</summary>
    public TimeSpan? RetryAfter { get; init; }
}

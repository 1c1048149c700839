namespace StainGrid.Imaging;

/// <summary>A store that fails. The message is one line that names the blob, the reason, and what to do.</summary>
public class BlobStoreException : IOException
{
    /// <summary>A failure without a reason; prefer the others.</summary>
    public BlobStoreException()
    {
    }

    /// <summary>A failure.</summary>
    /// <param name="message">One line.</param>
    public BlobStoreException(string message)
        : base(ImageException.OneLine(message))
    {
    }

    /// <summary>A failure with what led to it.</summary>
    /// <param name="message">One line.</param>
    /// <param name="innerException">What led to it.</param>
    public BlobStoreException(string message, Exception innerException)
        : base(ImageException.OneLine(message), innerException)
    {
    }
}

/// <summary>A conditional write or delete that came after another writer's.</summary>
public sealed class BlobConflictException : BlobStoreException
{
    /// <summary>A conflict without a key; prefer the others.</summary>
    public BlobConflictException()
    {
    }

    /// <summary>A conflict.</summary>
    /// <param name="message">One line.</param>
    public BlobConflictException(string message)
        : base(message)
    {
    }

    /// <summary>A conflict with what led to it.</summary>
    /// <param name="message">One line.</param>
    /// <param name="innerException">What led to it.</param>
    public BlobConflictException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    internal static BlobConflictException For(string store, string key, Exception? inner = null) =>
        new($"{store}: {key} was written by another since it was read. Read it again.", inner!);
}

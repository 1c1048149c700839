namespace StainGrid.Contracts;

/// <summary>Why a plate cannot be submitted, in one line for its submitter: what, where, what to do.</summary>
[GenerateSerializer, Alias("staingrid.plate-exception")]
public sealed class PlateException : Exception
{
    /// <summary>An exception without a message.</summary>
    public PlateException()
    {
    }

    /// <summary>An exception with its one line.</summary>
    public PlateException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with its one line and its cause.</summary>
    public PlateException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Whether the id was used for something else, so that another id helps.</summary>
    [Id(0)] public bool IsConflict { get; init; }
}

namespace StainGrid.Contracts;

/// <summary>The service has enough to do: ask again later. Nothing was done.</summary>
[GenerateSerializer, Alias("staingrid.service-busy")]
public sealed class ServiceBusyException : Exception
{
    /// <summary>An exception without a message.</summary>
    public ServiceBusyException()
    {
    }

    /// <summary>An exception with its one line.</summary>
    public ServiceBusyException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with its one line and its cause.</summary>
    public ServiceBusyException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

using Microsoft.Extensions.Logging;

namespace StainGrid.Silo;

/// <summary>A silo that cannot go on: the cluster declared it dead, or its membership failed. Orleans would abort the process with
/// a dump; this lets the silo's host say why and end. What it held is at work elsewhere, so nothing is stopped in good order.</summary>
internal sealed partial class Eviction(ILogger<Eviction> logger) : IFatalErrorHandler
{
    private readonly TaskCompletionSource<string> happened = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Why, once it has happened.</summary>
    public Task<string> Happened => happened.Task;

    /// <inheritdoc/>
    public bool IsUnexpected(Exception exception) => true;

    /// <inheritdoc/>
    public void OnFatalException(object? sender, string? context, Exception? exception)
    {
        LogFatal(logger, exception, context ?? "");

        // Without an error it is Orleans' way to say that the membership table calls this silo dead.
        happened.TrySetResult(exception is null
            ? "the cluster declared this silo dead, since it did not answer the others; start it again."
            : $"the silo's membership failed ({exception.Message.Split('\n')[0]}); start it again.");
    }

    [LoggerMessage(LogLevel.Error, "The silo cannot go on: {Context}")]
    private static partial void LogFatal(ILogger logger, Exception? exception, string context);
}

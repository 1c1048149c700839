namespace StainGrid.Contracts;

/// <summary>Tells the errors of a call to a grain that say nothing of what was asked: a silo was lost, does not answer in time or
/// refuses the message. What was asked may have been done; a question, or a call that may be repeated, is asked again.</summary>
public static class TransientErrors
{
    /// <summary>Whether the call may succeed when it is asked again. Orleans also says <see cref="OperationCanceledException"/>,
    /// of messages that expire before their grain is placed, so that one counts unless the caller cancelled.</summary>
    /// <param name="error">What the call threw.</param>
    /// <param name="cancelled">The caller's own cancellation, where it has one.</param>
    public static bool IsTransient(this Exception error, CancellationToken cancelled = default) =>
        error is OrleansException or TimeoutException || (error is OperationCanceledException && !cancelled.IsCancellationRequested);
}

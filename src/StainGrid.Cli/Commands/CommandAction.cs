using System.CommandLine;
using System.CommandLine.Parsing;
using System.Security.Cryptography;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Cli;

/// <summary>How commands run, and how each of them tells that it failed.</summary>
internal static class CommandAction
{
    /// <summary>Sets what a command does. What it throws of what is known to go wrong becomes a line and an exit code: an <see cref="ArgumentException"/> is a wrong
    /// command line, a cancellation is Ctrl-C.</summary>
    /// <param name="command">The command.</param>
    /// <param name="work">What it does; gives the exit code.</param>
    /// <param name="stopped">What to say when it was stopped, unless JSON is printed.</param>
    public static void Runs(this Command command, Func<ParseResult, CancellationToken, Task<int>> work, Func<ParseResult, string>? stopped = null) =>
        command.SetAction(async (parsed, cancellationToken) =>
        {
            bool json = parsed.CommandResult.Command.Options.OfType<Option<bool>>().FirstOrDefault(option => option.Name == "--json") is { } option && parsed.GetValue(option);
            try
            {
                return await work(parsed, cancellationToken);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                if (stopped is not null && !json)
                    Console.Error.WriteLine(stopped(parsed));
                return ExitCodes.Interrupted;
            }
            catch (ArgumentException e)
            {
                Console.Error.WriteLine($"staingrid: {e.Message.Split('\n')[0]}");
                return ExitCodes.Usage;
            }
            catch (Exception e) when (Reason(e, parsed, cancellationToken) is { } reason)
            {
                if (json)
                    ResultReport.Failure(Subject(parsed), reason, json);
                else
                    Console.Error.WriteLine($"staingrid: {reason}");
                return ExitCodes.Failed;
            }
        });

    /// <inheritdoc cref="Runs(Command, Func{ParseResult, CancellationToken, Task{int}}, Func{ParseResult, string})"/>
    public static void Computes(this Command command, Func<ParseResult, CancellationToken, int> work, Func<ParseResult, string>? stopped = null) =>
        command.Runs((parsed, cancellationToken) => Task.Run(() => work(parsed, cancellationToken)), stopped);

    // Null for a fault of our own.
    private static string? Reason(Exception error, ParseResult parsed, CancellationToken cancellationToken) => error switch
    {
        ImageException or ModelFileException or ModelNotFoundException or TrainingException or SlideException or PlateException or StainGridException or ClusterException
            or IOException or UnauthorizedAccessException or CryptographicException or HttpRequestException => error.Message,
        _ when error.IsTransient(cancellationToken) && parsed.CommandResult.Command.Options.Any(option => option.Name == "--redis") => $"The cluster does not answer ({error.Message.Split('\n')[0]}). Ask again.",
        TimeoutException => error.Message,
        _ => null,
    };

    // What was given first: the file, the plate, the data.
    private static string Subject(ParseResult parsed) =>
        parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens).FirstOrDefault() is { } token ? BlobAddress.Show(token.Value) : "staingrid";
}

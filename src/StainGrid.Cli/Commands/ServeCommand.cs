using System.CommandLine;
using Microsoft.Extensions.Logging;
using StainGrid.Imaging;
using StainGrid.Silo;

namespace StainGrid.Cli;

/// <summary>`staingrid serve`.</summary>
internal static class ServeCommand
{
    /// <summary>Where the service listens unless it is told otherwise.</summary>
    public const string DefaultAddress = "127.0.0.1:5080";

    public static Command Create()
    {
        var data = new Option<string>("--data")
        {
            Description = "The folder of all that the service keeps: state, uploads, results. Started again with the same folder, it goes on.",
            HelpName = "DIR",
            DefaultValueFactory = _ => "staingrid-service",
        };
        var run = new RunOptions();
        var service = new ServiceChoice();
        var telemetry = new TelemetryChoice();
        var command = new Command("serve",
            $"""
            Run the service on one machine: the web page, the HTTP API and a silo that stains. Until SIGTERM or Ctrl-C.

              staingrid serve                            then open http://{DefaultAddress}
              staingrid serve --shares plates=/data/plates
            For others than this machine:
              staingrid key create --state staingrid-service/state --tenant lab --role submit --name "who"
              staingrid serve --http 0.0.0.0:5080 --auth true --tls-certificate cert.pem --tls-key key.pem

            Prints "staingrid: serving URL" when it is ready. Every option but --data, --device, --threads and --verbose is also read from the
            environment, as STAINGRID_HTTP, STAINGRID_AUTH .. A cluster's silos serve the same with 'staingrid silo --http'.

            Exit codes: 0 stopped in good order; 1 it failed; 2 an option is wrong.
            """)
        {
            data, run.Device, run.Threads, run.Verbose,
        };
        service.AddTo(command, places: false);
        telemetry.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            string folder = Path.GetFullPath(parsed.GetValue(data)!);
            var http = service.Http(parsed, service.Places(parsed, folder), DefaultAddress)!;
            http.ThrowIfInvalid();
            try
            {
                await using var silo = await EmbeddedSilo.StartAsync(
                    run.Devices(parsed), parsed.GetValue(run.Verbose) ? LogLevel.Information : LogLevel.Warning, BlobStores.Open(Path.Combine(folder, "state")), http: http, telemetry: telemetry.Choose(parsed), cancellationToken: cancellationToken);
                Console.Out.WriteLine($"staingrid: serving {silo.Url}{(http.RequireAuthentication ? "" : " for this machine, without authentication")}");
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                // Asked to end.
            }

            return ExitCodes.Done;
        });
        return command;
    }
}

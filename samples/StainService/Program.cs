// A program with services that has plates of a share stained, one after another, by any transport:
//   StainService --StainGrid:Server=http://127.0.0.1:5080 --Plates=share:plates/monday,share:plates/tuesday
//   StainService --StainGrid:Redis=127.0.0.1:6379 --StainGrid:Tenant=lab --Plates=..
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using StainGrid.Client;
using StainGrid.Contracts;

var builder = Host.CreateApplicationBuilder(args);
builder.Services.AddStainGridClient(options => builder.Configuration.GetSection("StainGrid").Bind(options));
builder.Services.AddHostedService<PlateWorker>();
await builder.Build().RunAsync();

/// <summary>Submits the plates and tells how they end. Started again it goes on: a source is its own idempotency key.</summary>
internal sealed partial class PlateWorker(IStainGridClient client, IConfiguration configuration, IHostApplicationLifetime host, ILogger<PlateWorker> logger) : BackgroundService
{
    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        foreach (string source in (configuration["Plates"] ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            try
            {
                var plate = await client.SubmitAsync(new PlateSubmission { Source = source, Pattern = configuration["Pattern"] }, idempotencyKey: source, stoppingToken);
                await foreach (var change in client.WatchAsync(plate.PlateId, cancellationToken: stoppingToken))
                    plate = change.Status;
                LogEnded(logger, source, plate.State, plate.FieldsComplete, plate.Fields);
            }
            catch (StainGridException e)
            {
                LogFailed(logger, source, e.Error, e.Message);
            }
        }

        host.StopApplication();
    }

    [LoggerMessage(LogLevel.Information, "{Source}: {State}, {Complete} of {Fields} fields")]
    private static partial void LogEnded(ILogger logger, string source, PlateState state, int complete, int fields);

    [LoggerMessage(LogLevel.Error, "{Source}: {Error}: {Message}")]
    private static partial void LogFailed(ILogger logger, string source, StainGridError error, string message);
}

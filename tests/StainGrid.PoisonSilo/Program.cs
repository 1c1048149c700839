// A silo as `staingrid silo` runs it, that aborts in native code, as libtorch may, when it gets the poison:
//   silo --name NAME --role ROLE, the rest from the environment as the command has it
//   STAINGRID_POISON_BLOCK=NAME:BLOCK   predicting this block of the slide whose name has NAME in it
//   STAINGRID_POISON_FIELD=NAME         starting the slide that has a file with NAME in its name
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.PoisonSilo;
using StainGrid.Silo;

string name = Argument("--name"), role = Argument("--role");
using var stop = new CancellationTokenSource();
using var term = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGTERM, signal =>
{
    signal.Cancel = true;
    stop.Cancel();
});
var options = new StainGridClusterOptions
{
    Redis = Variable("STAINGRID_REDIS")!,
    ClusterId = Variable("STAINGRID_CLUSTER")!,
    StateStore = Variable("STAINGRID_STATE")!,
    SiloName = name,
    Role = Enum.Parse<SiloRole>(role, ignoreCase: true),
};
string? evicted = await StainGridSilo.RunAsync(
    options,
    _ => Console.WriteLine($"staingrid: silo {name} ready"),
    configure: silo =>
    {
        // It starts again and again: each time it waits until the one before has not been heard of for three of these.
        silo.Services.PostConfigure<ClusterMembershipOptions>(membership => membership.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(1));
        if (Variable("STAINGRID_POISON_BLOCK")?.Split(':') is [var slide, var block])
        {
            silo.Services.AddSingleton<Func<string, IDeviceExecutor>>(services => device =>
                new PoisonedExecutor(new DeviceExecutor(device, services.GetRequiredService<BlobFiles>()), slide, int.Parse(block, System.Globalization.CultureInfo.InvariantCulture)));
        }

        if (Variable("STAINGRID_POISON_FIELD") is { } field)
        {
            silo.AddIncomingGrainCallFilter(call =>
            {
                if (call.InterfaceMethod.Name == nameof(ISlideGrain.StartAsync) && call.Request.GetArgumentCount() == 1
                    && call.Request.GetArgument(0) is SlideRequest request && request.Files.Any(file => Path.GetFileName(file).Contains(field, StringComparison.Ordinal)))
                {
                    Native.Abort();
                }

                return call.Invoke();
            });
        }
    },
    cancellationToken: stop.Token);
return evicted is null ? 0 : 1;

string Argument(string option) => args[Array.IndexOf(args, option) + 1];

static string? Variable(string variable) => Environment.GetEnvironmentVariable(variable);

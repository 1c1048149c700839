using System.CommandLine;
using System.Globalization;
using Microsoft.Extensions.Logging;
using StainGrid.Client;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo;

namespace StainGrid.Cli;

/// <summary>`staingrid silo`.</summary>
internal static class SiloCommand
{
    public static Command Create()
    {
        var role = ServiceChoice.Setting("role", "all|cpu|accelerator", "What this silo does: cpu holds plates, slides and stitchers, accelerator predicts tiles on its devices, all (default) does both.");
        var device = ServiceChoice.Setting("device", "cpu|cuda:N,..", "The devices, by commas. Default: cpu.");
        var redis = ServiceChoice.Setting("redis", "HOST:PORT", "The Redis server by which the silos find each other. Run it with appendonly yes.");
        var cluster = ServiceChoice.Setting("cluster", "ID", "The cluster's name: silos and clients that say the same are one. Default: staingrid.");
        var state = ServiceChoice.Setting("state", "STORE", "Where grains keep their state, the same for all silos: a folder that all see, azure://CONTAINER or https://..");
        var name = ServiceChoice.Setting("name", "NAME", "This silo's name, of its own in the cluster. Default: the machine's name and the process.");
        var siloPort = ServiceChoice.Setting("silo-port", "P", "The port for other silos. Default: 0, a free one.");
        var gatewayPort = ServiceChoice.Setting("gateway-port", "P", "The port for clients. Default: 0, a free one.");
        var advertise = ServiceChoice.Setting("advertise", "IP", "The address at which others reach this silo. Default: 127.0.0.1, for this machine alone.");
        var leases = ServiceChoice.Setting("leases", "N", "Blocks that a device holds, so that reading, computing and shipping overlap, 1 to 16. Default: 3.");
        var threads = ServiceChoice.Setting("threads", "N", "Cores that the device cpu computes on, a tile each. Default: 0, all.");
        var inputs = ServiceChoice.Setting("input-cache", "GIB", "The most that is kept in the temporary folder of images and models that come from blobs, 1 and more. A stack must fit as a whole. Default: 8.");
        var shutdown = ServiceChoice.Setting("shutdown-timeout", "SECONDS", "How long a stop may take, 1 to 170, more than a block takes. Default: 120.");
        var service = new ServiceChoice();
        var telemetry = new TelemetryChoice();
        var verbose = new Option<bool>("--verbose") { Description = "Log what the silo does to the standard error." };
        var command = new Command("silo",
            """
            Run one machine's part of a cluster until SIGTERM or Ctrl-C.

            One machine, three terminals:
              redis-server --appendonly yes
              staingrid silo --role cpu --redis 127.0.0.1:6379 --state /tmp/state
              staingrid silo --role accelerator --device cpu --redis 127.0.0.1:6379 --state /tmp/state
            The web page and the HTTP API on a silo of role cpu or all; the other silos of these roles get the same --results, --uploads, --models, --registry and --shares:
              staingrid silo --role cpu .. --results /data/results --uploads /data/uploads --http 127.0.0.1:5080
            Several machines: give each --advertise with its own address, and a --state that all reach.

            Prints "staingrid: silo NAME ready .." when it takes work; logs go to the standard error. At SIGTERM it
            finishes or returns its blocks and ends with 0. Every option but --verbose is also read from the environment, with _ for -:
            STAINGRID_REDIS, STAINGRID_CLUSTER, STAINGRID_STATE, STAINGRID_ROLE, STAINGRID_DEVICE, STAINGRID_SILO_PORT ..
            A password of Redis is read from STAINGRID_REDIS_PASSWORD alone. azure:// takes its connection string from
            AZURE_STORAGE_CONNECTION_STRING, or else this machine's identity and the account in AZURE_STORAGE_SERVICE_URI, for the
            state and for the images, models and results of plates.

            Exit codes: 0 stopped in good order; 1 Redis or the state is not reachable, or the cluster declared the silo
            dead, which did not answer for some seconds: start it again; 2 an option is wrong.
            """);
        foreach (Option option in (Option[])[role, device, redis, cluster, state, name, siloPort, gatewayPort, advertise, leases, threads, inputs, shutdown, verbose])
            command.Options.Add(option);
        service.AddTo(command, places: true);
        telemetry.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            try
            {
                // Program ends the process 3 minutes after the signal.
                int stop = Number(shutdown, 120);
                if (stop is < 1 or > 170)
                    throw new ArgumentException($"--shutdown-timeout {stop} is not 1 to 170 seconds.");
                var defaults = new StainGridClusterOptions { Redis = "", StateStore = "" };
                var places = service.Places(parsed);
                var options = defaults with
                {
                    Service = places,
                    Http = service.Http(parsed, places),
                    Telemetry = telemetry.Choose(parsed),
                    Redis = Value(redis) ?? throw Missing(redis),
                    StateStore = Value(state) ?? throw Missing(state),
                    ClusterId = Value(cluster) ?? defaults.ClusterId,
                    SiloName = Value(name) ?? defaults.SiloName,
                    SiloPort = Number(siloPort, 0),
                    GatewayPort = Number(gatewayPort, 0),
                    AdvertisedAddress = Value(advertise) ?? defaults.AdvertisedAddress,
                    Role = (Value(role) ?? "all") switch
                    {
                        "all" => SiloRole.All,
                        "cpu" => SiloRole.Cpu,
                        "accelerator" => SiloRole.Accelerator,
                        var other => throw new ArgumentException($"--role '{other}' is none of all, cpu, accelerator."),
                    },
                    Devices = new DeviceOptions
                    {
                        Devices = ServiceChoice.Split(Value(device) ?? "cpu"),
                        Leases = Number(leases, defaults.Devices.Leases),
                        Threads = Number(threads, 0),
                    },
                    Inputs = new BlobFilesOptions { MaxBytes = (long)Number(inputs, 8) << 30 },
                    ShutdownTimeout = TimeSpan.FromSeconds(stop),
                };
                string? evicted = await StainGridSilo.RunAsync(
                    options, silo => Ready(options, silo), parsed.GetValue(verbose) ? LogLevel.Information : LogLevel.Warning, cancellationToken: cancellationToken);
                if (evicted is null)
                    return ExitCodes.Done;
                Console.Error.WriteLine($"staingrid: {evicted}");
                return ExitCodes.Failed;
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return ExitCodes.Done;
            }
            catch (Exception e) when (e is not (ArgumentException or ClusterException or BlobStoreException))
            {
                Console.Error.WriteLine($"staingrid: the silo failed: {(e is IOException ? e : e.GetBaseException()).Message.Split('\n')[0]} Say --verbose for more.");
                return ExitCodes.Failed;
            }

            string? Value(Option<string?> option) => ServiceChoice.Value(parsed, option);

            int Number(Option<string?> option, int otherwise) => Value(option) is not { } text ? otherwise
                : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
                : throw new ArgumentException($"{option.Name} '{text}' is not a number.");
        });
        return command;
    }

    private static ArgumentException Missing(Option option) => new($"{option.Name} is missing. Give it, or set {ServiceChoice.Variable(option)}.");

    private static void Ready(StainGridClusterOptions options, StainGridSilo silo)
    {
        string devices = options.Role == SiloRole.Cpu ? "none" : string.Join(',', options.Devices.Devices);
        Console.Out.WriteLine($"staingrid: silo {options.SiloName} ready (role {options.Role.ToString().ToLowerInvariant()}, devices {devices}, silo address {silo.Address}{(silo.Url is { } url ? $", serving {url}" : "")}{(silo.MonitoringUrl is { } monitoring ? $", monitoring {monitoring}" : "")})");
    }
}

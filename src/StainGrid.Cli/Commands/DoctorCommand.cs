using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using StainGrid.Cli.Doctor;

namespace StainGrid.Cli;

/// <summary>`staingrid doctor`.</summary>
internal static class DoctorCommand
{
    public static Command Create()
    {
        var device = ServiceChoice.Setting("device", "cpu|cuda:N,..", "The devices, by commas. Default: cpu.");
        var redis = ServiceChoice.Setting("redis", "HOST:PORT", "The Redis server of the cluster.");
        var cluster = ServiceChoice.Setting("cluster", "ID", "The cluster's name. Default: staingrid.");
        var state = ServiceChoice.Setting("state", "STORE", "Where grains keep their state.");
        var results = ServiceChoice.Setting("results", "STORE", "Where the service's results go.");
        var registry = ServiceChoice.Setting("registry", "STORE", "The store of the models' registry.");
        var uploads = ServiceChoice.Setting("uploads", "DIR", "The folder for uploads.");
        var models = ServiceChoice.Setting("models", "FILE,..", "The models, by commas; model:NAME is one of the registry's. Default: the one that comes with the command.");
        var inputs = ServiceChoice.Setting("input-cache", "GIB", "What the temporary folder must have room for. Default: 8.");
        var json = new Option<bool>("--json") { Description = "Print one JSON object a line." };
        var command = new Command("doctor",
            """
            Look whether this machine, its stores and its cluster are fit to stain, and say what to do. On a lone machine before anything runs,
            beside silos that run, or in a silo's container with the same environment: options are of those of 'staingrid silo', also read from the
            environment (STAINGRID_REDIS, STAINGRID_STATE ..). What is not given is not checked. Stores are written to below doctor/ and emptied of it; a folder that is not there is made. The registry is only read.

            Each line begins with OK, WARN (it works, but not for long or not for all), FAIL or SKIP, and ends with what to do.
            Exit codes: 0 nothing failed; 1 something failed; 2 an option is wrong.
            """)
        {
            device, redis, cluster, state, results, registry, uploads, models, inputs, json,
        };
        command.Runs(async (parsed, cancellationToken) =>
        {
            bool failed = false;
            if (!int.TryParse(Value(inputs) ?? "8", NumberStyles.None, CultureInfo.InvariantCulture, out int cache))
                throw new ArgumentException($"--input-cache '{Value(inputs)}' is not a number.");
            Tell(MachineCheck.Versions());
            Tell(MachineCheck.Memory());
            Tell(MachineCheck.Temporary(cache));
            Tell(MachineCheck.OpenFiles());
            foreach (string name in ServiceChoice.Split(Value(device) ?? "cpu"))
                await CheckAsync($"device {name}", async () => [await Task.Run(() => DeviceCheck.Run(name), cancellationToken)]);
            foreach (string model in ServiceChoice.Split(Value(models) ?? StainOptions.DefaultModel))
                await CheckAsync("model", async () => [await MachineCheck.ModelAsync(model, () => RegistryChoice.Open(parsed, registry), cancellationToken)]);
            foreach (var option in (Option<string?>[])[state, results, registry, uploads])
            {
                string name = option.Name.TrimStart('-');
                await CheckAsync($"store {name}", async () => Value(option) is { Length: > 0 } store ? await StoreCheck.RunAsync(name, store, isRead: option == registry, cancellationToken) : [Finding.Skip($"store {name}", Give(option))]);
            }

            await CheckAsync("redis", async () => Value(redis) is { Length: > 0 } server
                ? await ClusterCheck.RunAsync(server, Value(cluster) ?? "staingrid", cancellationToken) : [Finding.Skip("redis and membership", Give(redis))]);
            return failed ? ExitCodes.Failed : ExitCodes.Done;

            // One check that fails in a way that nobody thought of must not hide the others.
            async Task CheckAsync(string check, Func<Task<IReadOnlyList<Finding>>> look)
            {
                IReadOnlyList<Finding> findings;
                try
                {
                    findings = await look();
                }
                catch (Exception e) when (!cancellationToken.IsCancellationRequested)
                {
                    findings = [Finding.Fail(check, $"cannot be checked: {e.GetType().Name}: {e.Message.Split('\n')[0]}", "Please report this.")];
                }

                foreach (var finding in findings)
                    Tell(finding);
            }

            void Tell(Finding finding)
            {
                failed |= finding.Health == Health.Fail;
                Console.Out.WriteLine(!parsed.GetValue(json) ? finding.ToString() : new JsonObject
                {
                    ["check"] = finding.Check,
                    ["health"] = finding.Health.ToString().ToLowerInvariant(),
                    ["text"] = finding.Text,
                    ["remedy"] = finding.Remedy,
                }.ToJsonString());
            }

            string? Value(Option<string?> option) => ServiceChoice.Value(parsed, option);
        });
        return command;
    }

    private static string Give(Option option) => $"Give {option.Name}, or set {ServiceChoice.Variable(option)}.";
}

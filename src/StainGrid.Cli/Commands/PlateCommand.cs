using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo;

namespace StainGrid.Cli;

/// <summary>`staingrid plate`.</summary>
internal static class PlateCommand
{
    private const string Sources =
        """
        SOURCE is an OME-Zarr HCS plate, a folder of images, or a manifest: a path, azure://CONTAINER/PREFIX (connection string in
        AZURE_STORAGE_CONNECTION_STRING, or else your identity and the account in AZURE_STORAGE_SERVICE_URI) or https://.. (with a shared access signature, which is not shown). How a folder's
        names tell well, field and plane is tried by the presets isl, phenix, imagexpress, cv8000; --pattern says one of them,
        or a regular expression with the groups well (or row, column), field, plane, channel. A manifest is CSV or JSON with
        well, field, plane, file.
        """;

    public static Command Create() => new("plate", "Stain whole plates: on an embedded silo, on a cluster (--redis), or by a service (--server).")
    {
        Submit(), Plan(), Status(), Watch(), Cancel(), Retry(), Delete(), List(), Fetch(),
    };

    private static Command Submit()
    {
        var source = Source();
        var pattern = Pattern();
        var output = new Option<string?>("--output", "-o") { Description = "The plate's image: a folder, azure://CONTAINER/PREFIX or https://.. Not with --server, where it stays.", HelpName = "STORE" };
        var id = new Option<string?>("--id") { Description = "The plate's id; the same id and settings again is the same plate. Default: the output's name. With --server a key of your own, for the same.", HelpName = "ID" };
        var weight = new Option<int>("--weight") { Description = "The share of the devices against other plates, 1 to 100.", DefaultValueFactory = _ => 1, HelpName = "N" };
        weight.Validators.Add(result =>
        {
            if (result.GetValue(weight) is < 1 or > 100)
                result.AddError("--weight must be 1 to 100.");
        });
        var watch = new Option<bool>("--watch") { Description = "On a cluster or service: stay and show the progress." };
        var choice = new PlateChoice();
        var options = new StainOptions();
        var run = new RunOptions();
        var command = new Command("submit",
            $"""
            Stain a plate. The result is one OME-Zarr HCS plate that can be opened while it grows, with a table of the fields'
            quality (staingrid-fields.csv and .parquet).

            {Sources}

            Without --redis the plate runs here on an embedded silo until it ends. Ctrl-C stops it; the same command goes on
            where it stopped. With --redis it is submitted to the cluster, which goes on by itself; the silos must see SOURCE,
            --model and --output: the same paths, or the same stores. With --server a SOURCE on this machine (a folder of PNG or TIFF,
            or a manifest beside its images) is uploaded, upload:ID and share:NAME/PATH are there already, --model is a name of
            the service's, and the result stays there.
            """)
        {
            source, output, pattern, id, weight, watch, run.Device, run.Threads, run.Json, run.Verbose,
        };
        options.AddTo(command);
        choice.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            if (choice.IsServer(parsed))
            {
                foreach (Option one in (Option[])[output, options.BatchSize, options.BlockSide])
                {
                    if (parsed.GetResult(one) is { Implicit: false })
                        throw new ArgumentException($"{one.Name} is not for --server, which decides that.");
                }

                using var http = choice.Http(parsed);
                var submission = options.Submission(parsed) with { Source = parsed.GetValue(source)!, Pattern = parsed.GetValue(pattern), Weight = parsed.GetValue(weight) };
                var status = await ServiceSubmission.SubmitAsync(http, submission, parsed.GetValue(id), parsed.GetValue(run.Json), cancellationToken);
                if (parsed.GetValue(watch))
                    return await WatchAsync(PlateAccess.Of(http), status.PlateId, parsed.GetValue(run.Json), cancellationToken);
                Print(status, parsed.GetValue(run.Json));
                return ExitCodes.Done;
            }

            string store = BlobAddress.Full(parsed.GetValue(output) ?? throw new ArgumentException("--output is missing. Say where the plate's image goes."));
            string plate = parsed.GetValue(id) ?? BlobAddress.FileName(store);
            var request = new PlateRequest
            {
                Source = BlobAddress.Full(parsed.GetValue(source)!),
                Pattern = parsed.GetValue(pattern),
                Settings = await options.SettingsAsync(parsed, cancellationToken),
                Output = store,
                Weight = parsed.GetValue(weight),
                ModelName = options.ModelName(parsed),
            };
            bool json = parsed.GetValue(run.Json);
            if (choice.IsCluster(parsed))
            {
                await using var connection = await choice.ConnectClusterAsync(parsed, cancellationToken);
                var client = new GrainClient(connection.Grains);
                await client.SubmitPlateAsync(plate, request, cancellationToken);
                if (parsed.GetValue(watch))
                    return await WatchAsync(PlateAccess.Of(client), plate, json, cancellationToken);
                Print(await client.GetPlateAsync(plate, cancellationToken), json);
                return ExitCodes.Done;
            }

            return await EmbeddedAsync(run.Devices(parsed), parsed.GetValue(run.Verbose), store, client => client.SubmitPlateAsync(plate, request, cancellationToken), plate, json, cancellationToken);
        });
        return command;
    }

    private static Command Plan()
    {
        var source = Source();
        var pattern = Pattern();
        var options = new StainOptions();
        var run = new RunOptions();
        var command = new Command("plan",
            $"""
            Say what a submission would do, before it: the fields found, tiles, output size, the time on this machine's device,
            and what looks wrong (missing wells or planes, mixed sizes, empty or out-of-focus planes). It looks into every image:
            PNG and TIFF of a blob store are downloaded for that.

            {Sources}
            """)
        {
            source, pattern, run.Device, run.Json,
        };
        options.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            var plan = await PlatePlan.MakeAsync(
                BlobAddress.Full(parsed.GetValue(source)!), parsed.GetValue(pattern), await options.SettingsAsync(parsed, cancellationToken), parsed.GetValue(run.Device)!, cancellationToken);
            InfoCommand.Print(plan, parsed.GetValue(run.Json));
            return ExitCodes.Done;
        });
        return command;
    }

    private static Command Status()
    {
        var fields = new Option<bool>("--fields") { Description = "Also each field's state and reason." };
        return OnPlate("status", "Say how far a plate is.", [fields], async (client, plate, parsed, json, cancellationToken) =>
        {
            var status = await client.GetAsync(plate, cancellationToken);
            Print(status, json);
            foreach (var field in parsed.GetValue(fields) ? await client.GetFieldsAsync(plate, cancellationToken) : [])
                PrintField(field, json);
            return status.State == PlateState.New ? ExitCodes.Failed : ExitCodes.Done;
        });
    }

    private static Command Watch() => OnPlate("watch", "Show a plate's progress until it ends. Ctrl-C stops watching; the plate goes on.", [],
        (client, plate, _, json, cancellationToken) => WatchAsync(client, plate, json, cancellationToken));

    private static Command Cancel() => OnPlate("cancel", "Stop a plate. Fields that are complete stay.", [], async (client, plate, _, json, cancellationToken) =>
    {
        await client.CancelAsync(plate, cancellationToken);
        Print(await client.GetAsync(plate, cancellationToken), json);
        return ExitCodes.Done;
    });

    private static Command Retry()
    {
        var output = new Option<string?>("--output", "-o") { Description = "Without --redis and --server: the plate's output, to run the fields here.", HelpName = "STORE" };
        var run = new RunOptions();
        return OnPlate("retry", "Stain a plate's failed and cancelled fields again.", [output, run.Device, run.Threads], async (client, plate, _, json, cancellationToken) =>
        {
            int fields = await client.RetryAsync(plate, cancellationToken);
            if (!json)
                Console.Out.WriteLine($"{plate}: {fields} fields are stained again.");
            Print(await client.GetAsync(plate, cancellationToken), json);
            return ExitCodes.Done;
        }, async (plate, parsed, json, cancellationToken) => parsed.GetValue(output) is not { } store
            ? throw new ArgumentException("Say --redis or --server for a plate that is there, or --output for one that runs here.")
            : await EmbeddedAsync(run.Devices(parsed), verbose: false, BlobAddress.Full(store), client => client.RetryPlateAsync(plate, cancellationToken), plate, json, cancellationToken));
    }

    private static Command Delete()
    {
        var result = new Option<bool>("--result") { Description = "With --redis: also delete the plate's result. A service's (--server) always goes, and its upload where no other plate is made from that." };
        return OnPlate("delete", "Delete a plate that has ended. What there is of it goes by itself, also after losses of silos.", [result], async (client, plate, parsed, json, cancellationToken) =>
        {
            await client.DeleteAsync(plate, parsed.GetValue(result), cancellationToken);
            Console.Out.WriteLine(json ? new JsonObject { ["plate"] = plate, ["state"] = "deleted" }.ToJsonString() : $"{plate}: deleted");
            return ExitCodes.Done;
        });
    }

    private static Command List()
    {
        var choice = new PlateChoice();
        var json = new Option<bool>("--json") { Description = "Print one JSON object a plate." };
        var command = new Command("list", "List the plates of a cluster or service, the newest first.") { json };
        choice.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            await using var plates = await choice.ConnectAsync(parsed, cancellationToken);
            await foreach (var plate in plates.ListAsync(cancellationToken))
            {
                Console.Out.WriteLine(parsed.GetValue(json)
                    ? new JsonObject { ["plate"] = plate.PlateId, ["state"] = Name(plate.State), ["submitted"] = plate.Submitted, ["source"] = plate.Source, ["output"] = plate.Output }.ToJsonString()
                    : string.Create(CultureInfo.InvariantCulture, $"{plate.PlateId,-24} {Name(plate.State),-22} {plate.Submitted:u} {plate.Name ?? plate.Output}"));
            }

            return ExitCodes.Done;
        });
        return command;
    }

    private static Command Fetch()
    {
        var id = new Argument<string>("ID") { Description = "The plate's id." };
        var output = new Option<string>("--output", "-o") { Description = "The folder that becomes the OME-Zarr plate.", Required = true, HelpName = "FOLDER" };
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var choice = new PlateChoice();
        var command = new Command("fetch", "Download a plate's result from a service (--server). What is there already is written again.") { id, output, json };
        choice.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            if (!choice.IsServer(parsed))
                throw new ArgumentException("--server is missing. A cluster's plates are where --output said; a service's are fetched.");
            using var client = choice.Http(parsed);
            var status = await client.GetAsync(parsed.GetValue(id)!, cancellationToken);
            var (files, bytes) = await ServiceResult.FetchAsync(client, status.PlateId, parsed.GetValue(output)!, parsed.GetValue(json), cancellationToken);
            if (parsed.GetValue(json))
            {
                Console.Out.WriteLine(new JsonObject
                {
                    ["plate"] = status.PlateId,
                    ["state"] = Name(status.State),
                    ["output"] = Path.GetFullPath(parsed.GetValue(output)!),
                    ["files"] = files,
                    ["bytes"] = bytes,
                }.ToJsonString());
            }
            else
            {
                Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{status.PlateId}: {Name(status.State)}, {files} files, {bytes / 1e6:F1} MB in {parsed.GetValue(output)}"));
            }

            return ExitCodes.Done;
        });
        return command;
    }

    private static Command OnPlate(string name, string description, Option[] more,
        Func<PlateAccess, string, ParseResult, bool, CancellationToken, Task<int>> act,
        Func<string, ParseResult, bool, CancellationToken, Task<int>>? here = null)
    {
        var id = new Argument<string>("ID") { Description = "The plate's id." };
        var json = new Option<bool>("--json") { Description = "Print JSON." };
        var choice = new PlateChoice();
        var command = new Command(name, description) { id, json };
        foreach (var option in more)
            command.Options.Add(option);
        choice.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            if (here is not null && !choice.IsServer(parsed) && !choice.IsCluster(parsed))
                return await here(parsed.GetValue(id)!, parsed, parsed.GetValue(json), cancellationToken);
            await using var plates = await choice.ConnectAsync(parsed, cancellationToken);
            return await act(plates, parsed.GetValue(id)!, parsed, parsed.GetValue(json), cancellationToken);
        });
        return command;
    }

    // The grains keep their state beside the plate, so that the same command goes on where this one stopped.
    private static async Task<int> EmbeddedAsync(DeviceOptions devices, bool verbose, string output,
        Func<GrainClient, Task> start, string plate, bool json, CancellationToken cancellationToken)
    {
        await using var silo = await EmbeddedSilo.StartAsync(
            devices,
            verbose ? LogLevel.Information : LogLevel.None,
            BlobStores.Open(output).Within(".staingrid/grains"),
            cancellationToken: cancellationToken);
        var client = new GrainClient(silo.Grains);
        await start(client);
        return await WatchAsync(PlateAccess.Of(client), plate, json, cancellationToken);
    }

    private static async Task<int> WatchAsync(PlateAccess client, string plate, bool json, CancellationToken cancellationToken)
    {
        PlateStatus? last = null;
        try
        {
            using var progress = json ? null : new PlateProgress();
            await foreach (var status in client.WatchAsync(plate, cancellationToken))
            {
                progress?.Show(status);
                last = status;
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            if (last is not null)
                Print(last, json);
            return ExitCodes.Interrupted;
        }

        Print(last!, json);
        if (last!.FieldsFailed > 0)
        {
            foreach (var field in (await client.GetFieldsAsync(plate, cancellationToken)).Where(field => field.State == FieldState.Failed))
                PrintField(field, json);
        }

        return last.State == PlateState.Complete ? ExitCodes.Done : ExitCodes.Failed;
    }

    private static void Print(PlateStatus status, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(new JsonObject
            {
                ["plate"] = status.PlateId,
                ["state"] = Name(status.State),
                ["wells"] = status.Wells,
                ["fields"] = status.Fields,
                ["fields_complete"] = status.FieldsComplete,
                ["fields_failed"] = status.FieldsFailed,
                ["fields_running"] = status.FieldsRunning,
                ["tiles"] = status.TilesDone,
                ["blocks_retried"] = status.BlocksRetried,
                ["seconds_wasted"] = Math.Round(status.SecondsWasted, 3),
                ["waiting"] = status.Waiting,
                ["error"] = status.Error,
            }.ToJsonString());
            return;
        }

        Console.Out.WriteLine(PlateProgress.Line(status));
        if (status.Error is not null)
            Console.Error.WriteLine(status.Error);
    }

    private static void PrintField(FieldStatus field, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(new JsonObject
            {
                ["well"] = field.Well,
                ["field"] = field.Field,
                ["path"] = field.Path,
                ["state"] = field.State.ToString().ToLowerInvariant(),
                ["reason"] = field.Reason,
            }.ToJsonString());
        }
        else
        {
            Console.Out.WriteLine(field.Reason ?? $"{field.Well}/field {field.Field}: {field.State.ToString().ToLowerInvariant()}");
        }
    }

    private static string Name(PlateState state) => PlateProgress.Name(state);

    private static Argument<string> Source() => new("SOURCE") { Description = "The plate's images: a path, azure://CONTAINER/PREFIX or https://.." };

    private static Option<string?> Pattern() => new("--pattern")
    {
        Description = "How names tell well, field and plane: isl, phenix, imagexpress, cv8000, or a regular expression; #channel=N behind it chooses a channel.",
        HelpName = "P",
    };
}

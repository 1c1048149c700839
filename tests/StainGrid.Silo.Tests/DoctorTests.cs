using System.Diagnostics;
using System.Text.Json;
using Azure.Storage.Blobs;
using Azure.Storage.Sas;
using StackExchange.Redis;
using StainGrid.Cli.Doctor;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Silo.Tests;

/// <summary>`staingrid doctor`.</summary>
public sealed class DoctorTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_lone_machine_is_fit_and_what_is_not_given_is_skipped()
    {
        var (exit, findings) = await DoctorAsync("--state", folder.File("state"));
        Assert.Equal(0, exit);
        foreach (string check in (string[])["versions", "memory", "temporary folder", "device cpu", "model staingrid-neuron.safetensors", "store state", "clock of store state"])
            Assert.Equal("ok", findings[check].Health);
        foreach (string check in (string[])["store results", "store registry", "store uploads", "redis and membership"])
            Assert.Equal("skip", findings[check].Health);
        Assert.Contains("GFLOP/s in float32", findings["device cpu"].Text, StringComparison.Ordinal);
        Assert.Matches("SHA-256 [0-9a-f]{64}$", findings["model staingrid-neuron.safetensors"].Text);
        Assert.Empty(await new FolderBlobStore(folder.File("state")).ListAsync("", Stop).ToListAsync(Stop));
        Assert.False(Directory.Exists(folder.File("state", "doctor")));
    }

    [Fact]
    public async Task What_fails_is_told_with_what_to_do()
    {
        await File.WriteAllTextAsync(folder.File("file"), "no folder", Stop);
        await File.WriteAllTextAsync(folder.File("bad.safetensors"), "no model", Stop);
        var (exit, findings) = await DoctorAsync("--device", "cuda:0", "--results", folder.File("file"), "--models", folder.File("bad.safetensors"), "--redis", "127.0.0.1:1", "--input-cache", "100000000");
        Assert.Equal(1, exit);
        Assert.Equal(("fail", "fail", "fail", "fail", "warn"), (findings["device cuda:0"].Health, findings["store results"].Health, findings["model bad.safetensors"].Health, findings["redis"].Health, findings["temporary folder"].Health));
        Assert.StartsWith("cuda:0 is not here", findings["device cuda:0"].Text, StringComparison.Ordinal);
        Assert.Contains("Start redis-server there", findings["redis"].Text, StringComparison.Ordinal);

        var (code, output) = await RunAsync([], "doctor", "--results", folder.File("file"));
        Assert.Equal(1, code);
        Assert.Contains(output.Split('\n'), line => line.StartsWith($"FAIL  store results: {folder.File("file")}: cannot ", StringComparison.Ordinal));
        Assert.Equal(2, (await RunAsync([], "doctor", "--input-cache", "much")).Exit);
    }

    [Fact]
    public async Task A_redis_without_an_append_only_file_fails()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        var (exit, findings) = await DoctorAsync("--redis", redis.Address);
        Assert.Equal((0, "ok", "ok", "warn"), (exit, findings["redis"].Health, findings["clock of redis"].Health, findings["membership"].Health));
        Assert.StartsWith("cluster 'staingrid' has no silo that is alive", findings["membership"].Text, StringComparison.Ordinal);
        await using (var admin = await ConnectionMultiplexer.ConnectAsync($"{redis.Address},allowAdmin=true"))
            await admin.GetServer(redis.Address).ConfigSetAsync("appendonly", "no");
        (exit, findings) = await DoctorAsync("--redis", redis.Address);
        Assert.Equal((1, "fail"), (exit, findings["redis"].Health));
        Assert.Contains("appendonly yes", findings["redis"].Remedy, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_blob_container_is_tried_and_left_as_it_was()
    {
        await using var azurite = await AzuriteServer.StartAsync(Stop);
        var container = new BlobContainerClient(azurite.ConnectionString, "state");
        (string, string)[] environment = [(BlobStores.ConnectionStringVariable, azurite.ConnectionString), ("STAINGRID_STATE", "azure://state/grains")];
        var (exit, findings) = await DoctorAsync(environment);
        Assert.Equal((1, "fail"), (exit, findings["store state"].Health));
        Assert.Contains("ContainerNotFound", findings["store state"].Text, StringComparison.Ordinal);
        await container.CreateAsync(cancellationToken: Stop);
        (exit, findings) = await DoctorAsync(environment);
        Assert.Equal((0, "ok", "ok"), (exit, findings["store state"].Health, findings["clock of store state"].Health));
        Assert.Empty(await container.GetBlobsAsync(cancellationToken: Stop).ToListAsync(Stop));
    }

    [Fact]
    public async Task A_registry_that_may_only_be_read_is_right_and_its_models_are_looked_at()
    {
        await using var azurite = await AzuriteServer.StartAsync(Stop);
        var container = new BlobContainerClient(azurite.ConnectionString, "models");
        await container.CreateAsync(cancellationToken: Stop);
        var account = new BlobServiceClient(azurite.ConnectionString);
        string signature = account.GenerateAccountSasUri(AccountSasPermissions.Read | AccountSasPermissions.List, DateTimeOffset.UtcNow.AddHours(1), AccountSasResourceTypes.All).Query.TrimStart('?');
        (string, string)[] environment =
            [(BlobStores.ConnectionStringVariable, $"BlobEndpoint={account.Uri};SharedAccessSignature={signature}"), ("STAINGRID_REGISTRY", "azure://models/lab"), ("STAINGRID_MODELS", "model:neuron,model:neurone")];
        var (exit, findings) = await DoctorAsync(environment);
        Assert.Equal((1, "fail", "warn"), (exit, findings["model neuron"].Health, findings["store registry"].Health));
        Assert.Contains("has no model", findings["store registry"].Text, StringComparison.Ordinal);

        string file = Path.Combine(Path.GetDirectoryName(SiloProcess.CommandPath)!, "models", "staingrid-neuron.safetensors");
        var pushed = await new ModelRegistry("azure://models/lab", new AzureBlobStore(container, "lab")).PushAsync(file, "neuron", "test", Stop);
        var keys = await container.GetBlobsAsync(cancellationToken: Stop).Select(blob => blob.Name).ToListAsync(Stop);
        (exit, findings) = await DoctorAsync(environment);
        Assert.Equal((1, "ok", "fail", "ok"), (exit, findings["model neuron"].Health, findings["model neurone"].Health, findings["store registry"].Health));
        Assert.EndsWith($"SHA-256 {pushed.Version.Sha256}", findings["model neuron"].Text, StringComparison.Ordinal);
        Assert.StartsWith("There is no model 'neurone'", findings["model neurone"].Text, StringComparison.Ordinal);
        Assert.EndsWith("lists and reads; models: 1", findings["store registry"].Text, StringComparison.Ordinal);
        Assert.Equal(keys, await container.GetBlobsAsync(cancellationToken: Stop).Select(blob => blob.Name).ToListAsync(Stop));

        (exit, findings) = await DoctorAsync("--models", "model:neuron");
        Assert.Equal((1, "fail"), (exit, findings["model neuron"].Health));
        Assert.StartsWith("--registry is missing.", findings["model neuron"].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_clusters_silos_are_told_and_those_that_were_lost()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        string[] common = ["--redis", redis.Address, "--cluster", "looked-at"];
        await using var cpu = await StartAsync("c", [.. common, "--state", folder.File("state"), "--role", "cpu"]);
        await using var accelerator = await StartAsync("a", [.. common, "--state", folder.File("state"), "--role", "accelerator"]);
        var (exit, findings) = await DoctorAsync(common);
        for (var deadline = DateTime.UtcNow + Patience; DateTime.UtcNow < deadline && exit != 0; (exit, findings) = await DoctorAsync(common))
            await Task.Delay(200, Stop);   // each silo may have to hear of the other first
        Assert.Equal((0, "ok", "ok"), (exit, findings["membership"].Health, findings["silos"].Health));
        Assert.Equal("cluster 'looked-at' has 2 silos alive (a, c), and 0 that ended", findings["membership"].Text);
        Assert.Equal("1 hold plates (role cpu or all), 1 have devices (accelerator or all)", findings["silos"].Text);
        Assert.DoesNotContain("versions of silos", findings.Keys);

        // The other silo strikes it off.
        await accelerator.KillAsync();
        for (var deadline = DateTime.UtcNow + Patience; !findings["membership"].Text.EndsWith("(c), and 1 that ended", StringComparison.Ordinal) || findings["silos"].Health != "warn"; (exit, findings) = await DoctorAsync(common))
            Assert.True(DateTime.UtcNow < deadline, $"{findings["membership"].Text}, {findings["silos"]}");
        Assert.Equal(0, exit);

        // Nobody does of the last.
        await cpu.KillAsync();
        for (var deadline = DateTime.UtcNow + Patience; !findings["membership"].Text.Contains("was last heard of", StringComparison.Ordinal); (_, findings) = await DoctorAsync(common))
            Assert.True(DateTime.UtcNow < deadline, findings["membership"].Text);
        Assert.StartsWith("silo c (127.0.0.1:", findings["membership"].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_silos_of_one_name_fail()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        string[] common = ["--redis", redis.Address, "--cluster", "twins"];
        Directory.CreateDirectory(folder.File("1"));
        await using var one = await StartAsync("same", [.. common, "--state", folder.File("state"), "--role", "cpu"]);
        await using var other = await SiloProcess.StartAsync(
            SiloProcess.CommandPath, "same", [.. common, "--state", folder.File("state"), "--role", "cpu"], new Dictionary<string, string>(), folder.File("1"), Stop);
        var (exit, findings) = await DoctorAsync(common);
        Assert.Equal((1, "fail"), (exit, findings["membership"].Health));
        Assert.StartsWith("2 silos that are alive are called same (", findings["membership"].Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0.0, Health.Ok)]
    [InlineData(1.9, Health.Ok)]
    [InlineData(2.1, Health.Warn)]
    [InlineData(-2.9, Health.Ok)]
    [InlineData(-3.1, Health.Warn)]
    internal void A_clock_more_than_two_seconds_off_is_warned_of(double seconds, Health health)
    {
        var now = DateTimeOffset.UtcNow;
        Assert.Equal(health, ClockCheck.Of("c", now.AddSeconds(seconds), now, now, TimeSpan.FromSeconds(1)).Health);
        Assert.Equal(Health.Ok, ClockCheck.Of("c", now.AddSeconds(seconds), now.AddSeconds(-4), now.AddSeconds(4), TimeSpan.Zero).Health);
    }

    [Theory]
    [InlineData("memory.max", "max", Health.Ok)]
    [InlineData("memory.max", "1000000000", Health.Fail)]
    [InlineData("memory.max", "2000000000", Health.Warn)]
    [InlineData("memory/memory.limit_in_bytes", "9223372036854771712", Health.Ok)]
    [InlineData("memory/memory.limit_in_bytes", "536870912", Health.Fail)]
    internal async Task A_containers_memory_is_held_against_what_a_slide_takes(string file, string limit, Health health)
    {
        Assert.SkipWhen(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes < 3L << 30, "This machine has less than 3 GiB.");
        Directory.CreateDirectory(folder.File("memory"));
        await File.WriteAllTextAsync(Path.Combine(folder.Path, file), limit + "\n", Stop);
        Assert.Equal(health, MachineCheck.Memory(folder.Path).Health);
    }

    [Fact]
    public async Task Few_open_files_are_warned_of()
    {
        await File.WriteAllTextAsync(folder.File("limits"), "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 1048576              files     \n", Stop);
        Assert.Equal((Health.Warn, "only 1024 may be open"), (MachineCheck.OpenFiles(folder.File("limits")).Health, MachineCheck.OpenFiles(folder.File("limits")).Text));
        Assert.Equal(Health.Ok, MachineCheck.OpenFiles("/proc/self/limits").Health);
        Assert.Equal(Health.Skip, MachineCheck.OpenFiles(folder.File("none")).Health);
    }

    [Fact]
    public void Silos_of_another_version_are_told()
    {
        var here = new SiloDescription { Address = "a", Name = "here", Cpu = true, Accelerator = true, Version = SiloVersions.StainGrid, Orleans = SiloVersions.Orleans, Runtime = SiloVersions.Runtime };
        Assert.Equal(Health.Ok, Assert.Single(ClusterCheck.Roles([here])).Health);
        var findings = ClusterCheck.Roles([here, here with { Name = "old", Version = "0.0.1" }, here with { Name = "older", Version = "", Orleans = "", Runtime = "" }]).ToArray();
        Assert.Equal([Health.Ok, Health.Warn, Health.Warn], findings.Select(finding => finding.Health));
        Assert.StartsWith("silo old runs StainGrid 0.0.1", findings[1].Text, StringComparison.Ordinal);
        Assert.StartsWith("silo older runs an older version", findings[2].Text, StringComparison.Ordinal);
        Assert.Equal(Health.Fail, ClusterCheck.Roles([]).First().Health);
    }

    private Task<SiloProcess> StartAsync(string name, string[] arguments) =>
        SiloProcess.StartAsync(SiloProcess.CommandPath, name, arguments, new Dictionary<string, string>(), folder.Path, Stop);

    private static Task<(int Exit, Dictionary<string, Told> Findings)> DoctorAsync(params string[] arguments) => DoctorAsync([], arguments);

    private static async Task<(int Exit, Dictionary<string, Told> Findings)> DoctorAsync((string, string)[] environment, params string[] arguments)
    {
        var (exit, output) = await RunAsync(environment, ["doctor", "--json", .. arguments]);
        var findings = new Dictionary<string, Told>();
        foreach (string line in output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var told = JsonSerializer.Deserialize<Told>(line, JsonSerializerOptions.Web)!;
            findings.TryAdd(told.Check, told);   // the first of a check is the worst
        }

        return (exit, findings);
    }

    private static async Task<(int Exit, string Output)> RunAsync((string Name, string Value)[] environment, params string[] arguments)
    {
        var info = new ProcessStartInfo(SiloProcess.CommandPath, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string name in info.Environment.Keys.Where(name => name.StartsWith("STAINGRID_", StringComparison.Ordinal)).ToArray())
            info.Environment.Remove(name);
        foreach (var (name, value) in environment)
            info.Environment[name] = value;
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEndAsync(Stop);
        string output = await process.StandardOutput.ReadToEndAsync(Stop);
        await process.WaitForExitAsync(Stop);
        Assert.DoesNotContain("Unhandled", await error, StringComparison.Ordinal);
        return (process.ExitCode, output);
    }

    private sealed record Told(string Check, string Health, string Text, string? Remedy);
}

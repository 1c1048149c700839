using System.Net;
using System.Net.Sockets;
using Azure.Storage.Blobs;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.TestSupport;

namespace StainGrid.Silo.Tests;

public sealed class ClusterTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Two_silo_processes_stain_a_slide_and_stop_in_good_order()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        string[] common = ["--redis", redis.Address, "--cluster", "two", "--state", folder.File("state")];
        await using var cpu = await StartAsync("c", [.. common, "--role", "cpu"]);
        Assert.StartsWith("staingrid: silo c ready (role cpu, devices none, silo address 127.0.0.1:", cpu.ReadyLine, StringComparison.Ordinal);
        await using var accelerator = await StartAsync("a", [.. common, "--role", "accelerator", "--device", "cpu"]);
        Assert.StartsWith("staingrid: silo a ready (role accelerator, devices cpu, ", accelerator.ReadyLine, StringComparison.Ordinal);

        string image = folder.File("slide.png");
        PngWriter.WriteGrey16(image, [.. Enumerable.Range(0, 200 * 150).Select(i => (ushort)(i * 37))], 200, 150);
        using (var model = StainModel.Create(
            new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("FIRST", 0, 65_535, "FF0000")], seed: 3))
        {
            model.Save(folder.File("small.safetensors"));
        }

        await using (var cluster = await StainGridCluster.ConnectAsync(redis.Address, "two", cancellationToken: Stop))
        {
            var client = new GrainClient(cluster.Grains);
            string slide = await client.SubmitAsync(new SlideRequest
            {
                Files = [image],
                Settings = new() { Model = folder.File("small.safetensors") },
                Output = folder.File("out.ome.zarr"),
            });
            SlideStatus? last = null;
            await foreach (var status in client.WatchAsync(slide, Stop))
                last = status;
            Assert.Equal((SlideState.Complete, (string?)null), (last!.State, last.Error));
            var refused = await Assert.ThrowsAsync<PlateException>(() => client.SubmitPlateAsync(
                "none", new PlateRequest { Source = folder.File("nowhere"), Settings = new() { Model = folder.File("small.safetensors") }, Output = folder.File("none") }, Stop));
            Assert.Contains(folder.File("nowhere"), refused.Message, StringComparison.Ordinal);
        }

        Assert.Equal(0, await accelerator.StopAsync(Patience));
        Assert.DoesNotContain("did not stop in good order", await File.ReadAllTextAsync(accelerator.Log, Stop), StringComparison.Ordinal);
        Assert.Equal(0, await cpu.StopAsync(Patience));
    }

    [Fact]
    public async Task A_silo_that_was_declared_dead_while_it_stood_still_says_so_and_ends_with_1()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        string[] common = ["--redis", redis.Address, "--cluster", "evicted", "--state", folder.File("state"), "--role", "cpu"];
        await using var survivor = await StartAsync("s", [.. common, "--verbose"]);
        await using var paused = await StartAsync("p", common);
        await paused.PauseAsync();

        // Evicted, by what the other says (the words are Orleans'); more than ten times what the failure detector takes.
        for (var deadline = DateTime.UtcNow + Patience; !(await ReadAsync(survivor.Log)).Contains("Evicting", StringComparison.OrdinalIgnoreCase); await Task.Delay(200, Stop))
            Assert.True(DateTime.UtcNow < deadline, "The paused silo was not evicted.");
        await paused.ResumeAsync();
        Assert.Equal(1, await paused.ExitAsync(Patience));
        string said = Assert.Single((await ReadAsync(paused.Log)).Split('\n'), line => line.StartsWith("staingrid: the cluster", StringComparison.Ordinal));
        Assert.Equal("staingrid: the cluster declared this silo dead, since it did not answer the others; start it again.", said);
    }

    [Fact]
    public async Task Two_silo_processes_without_a_shared_disk_stain_a_plate_from_blobs_to_blobs()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        await using var azurite = await AzuriteServer.StartAsync(Stop);
        var container = new BlobContainerClient(azurite.ConnectionString, "plates");
        await container.CreateAsync(cancellationToken: Stop);
        foreach (string well in (string[])["A01", "A02"])
        {
            PngWriter.WriteGrey16(folder.File(well + ".png"), [.. Enumerable.Range(0, 200 * 150).Select(i => (ushort)(i * 37))], 200, 150);
            await container.GetBlobClient($"in/plate1/{well}.png").UploadAsync(folder.File(well + ".png"), Stop);
            File.Delete(folder.File(well + ".png"));
        }

        using (var model = StainModel.Create(
            new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution }, [new("FIRST", 0, 65_535, "FF0000")], seed: 3))
        {
            model.Save(folder.File("small.safetensors"));
        }

        await container.GetBlobClient("models/small.safetensors").UploadAsync(folder.File("small.safetensors"), Stop);
        File.Delete(folder.File("small.safetensors"));
        string[] common = ["--redis", redis.Address, "--cluster", "blobs", "--state", "azure://plates/state", "--input-cache", "1"];
        await using var cpu = await StartAsync("c", [.. common, "--role", "cpu"], Alone("c"));
        await using var accelerator = await StartAsync("a", [.. common, "--role", "accelerator", "--device", "cpu"], Alone("a"));
        await using (var cluster = await StainGridCluster.ConnectAsync(redis.Address, "blobs", cancellationToken: Stop))
        {
            var client = new GrainClient(cluster.Grains);
            await client.SubmitPlateAsync("plate1", new PlateRequest
            {
                Source = "azure://plates/in/plate1",
                Pattern = @"(?<well>A\d\d)",
                Settings = new() { Model = "azure://plates/models/small.safetensors" },
                Output = "azure://plates/out/plate1",
            }, Stop);
            PlateStatus? last = null;
            await foreach (var status in client.WatchPlateAsync("plate1", Stop))
                last = status;
            Assert.Equal((PlateState.Complete, (string?)null, 2), (last!.State, last.Error, last.FieldsComplete));
        }

        // Each had its own copies, which go with it.
        Assert.NotEmpty(Directory.GetDirectories(folder.File("c"), "staingrid-inputs-*"));
        Assert.NotEmpty(Directory.GetDirectories(folder.File("a"), "staingrid-inputs-*"));
        Assert.Equal((0, 0), (await accelerator.StopAsync(Patience), await cpu.StopAsync(Patience)));
        Assert.Empty(Directory.GetDirectories(folder.Path, "staingrid-inputs-*", SearchOption.AllDirectories));

        Dictionary<string, string> Alone(string name) => new()
        {
            ["TMPDIR"] = Directory.CreateDirectory(folder.File(name)).FullName,
            [BlobStores.ConnectionStringVariable] = azurite.ConnectionString,
        };
    }

    [Fact]
    public async Task Redis_or_a_cluster_that_is_not_there_is_told_in_one_line()
    {
        await RefusedAsync(1, "\nstaingrid: Redis at 127.0.0.1:1 does not answer. Start redis-server there (with appendonly yes), or say where it is.\n---",
            "--redis", "127.0.0.1:1", "--state", folder.File("state"));
        await Assert.ThrowsAsync<ClusterException>(() => StainGridCluster.ConnectAsync("127.0.0.1:1", "c", timeout: TimeSpan.FromSeconds(2), cancellationToken: Stop));
        await using var redis = await RedisServer.StartAsync(Stop);
        var none = await Assert.ThrowsAsync<ClusterException>(() => StainGridCluster.ConnectAsync(redis.Address, "none", timeout: TimeSpan.FromSeconds(20), cancellationToken: Stop));
        Assert.StartsWith("No silo of cluster 'none'", none.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("SiloPort (--silo-port)", "--silo-port")]
    [InlineData("GatewayPort (--gateway-port)", "--gateway-port")]
    public async Task A_port_that_is_taken_is_told_in_one_line(string said, string option)
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        int port = ((IPEndPoint)other.LocalEndpoint).Port;
        await RefusedAsync(1, $"\nstaingrid: {said} {port} is taken by another program. Give another, or 0 for any that is free.\n---",
            "--redis", "127.0.0.1:1", "--state", folder.File("state"), option, $"{port}");
    }

    [Theory]
    [InlineData("--redis is missing. Give it, or set STAINGRID_REDIS.", "--state", "s")]
    [InlineData("Redis must be HOST:PORT, as in 10.0.0.5:6379.", "--redis", "nowhere", "--state", "s")]
    [InlineData("--role 'gpu' is none of all, cpu, accelerator.", "--redis", "h:1", "--state", "s", "--role", "gpu")]
    [InlineData("MaxBytes (--input-cache) must be at least 1 MiB.", "--redis", "h:1", "--state", "s", "--input-cache", "0")]
    [InlineData("'tpu' is not a device.", "--redis", "h:1", "--state", "s", "--device", "tpu")]
    public Task Wrong_options_end_with_2(string said, params string[] arguments) => RefusedAsync(2, said, arguments);

    private async Task RefusedAsync(int exit, string said, params string[] arguments)
    {
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync("refused", arguments));
        Assert.Contains($"refused ended with {exit} before it was ready.", refused.Message, StringComparison.Ordinal);
        Assert.Contains(said, refused.Message, StringComparison.Ordinal);
    }

    private static async Task<string> ReadAsync(string log)
    {
        await using var stream = new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync(Stop);
    }

    [Fact]
    public async Task A_cluster_without_devices_and_plates_tells_that_no_work_waits_and_that_no_device_is_there()
    {
        await using var redis = await RedisServer.StartAsync(Stop);
        await using var cpu = await StartAsync("c", ["--redis", redis.Address, "--cluster", "idle", "--state", folder.File("state"), "--role", "cpu", "--monitoring", "127.0.0.1:0"]);
        using var http = new HttpClient();
        for (var watch = System.Diagnostics.Stopwatch.StartNew(); ; await Task.Delay(200, Stop))
        {
            string[] metrics = (await http.GetStringAsync(new Uri(cpu.MonitoringUrl + "/metrics"), Stop)).Split('\n');
            if (metrics.Any(line => line.StartsWith("staingrid_queue_work_seconds", StringComparison.Ordinal) && line.EndsWith(" 0", StringComparison.Ordinal))
                && metrics.Any(line => line.StartsWith("staingrid_device_count", StringComparison.Ordinal) && line.EndsWith(" 0", StringComparison.Ordinal)))
                return;
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(60), string.Join('\n', metrics));
        }
    }

    private Task<SiloProcess> StartAsync(string name, string[] arguments, IReadOnlyDictionary<string, string>? environment = null) =>
        SiloProcess.StartAsync(SiloProcess.CommandPath, name, arguments, environment ?? new Dictionary<string, string>(), folder.Path, Stop);
}

using System.Diagnostics;
using System.Globalization;
using k8s.Models;
using StainGrid.Client;
using StainGrid.TestSupport;

namespace StainGrid.Deploy.Tests.Kubernetes;

/// <summary>The pods' own commands and settings, run as processes: only addresses, folders and the device are this machine's.</summary>
public sealed class ClusterRunTests : IDisposable
{
    private const string Password = "a0-secret-of-the-test";

    // Loopback addresses of this run's own, so that the fixed ports are free.
    private static readonly string s_network = string.Create(CultureInfo.InvariantCulture, $"127.{Random.Shared.Next(16, 200)}.{Random.Shared.Next(1, 250)}.");

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_cluster_s_pods_start_find_each_other_by_a_Redis_with_a_password_and_stop_in_their_grace_period()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/redis-server"), "redis-server is not installed (apt-get install redis-server).");
        var overlay = await Overlay.OfAsync("cluster");
        await using var redis = await StartRedisAsync(overlay);
        var started = new List<SiloProcess>();
        try
        {
            foreach (var pool in overlay.Silos.OrderBy(pool => pool.Name == "staingrid-gpu"))
                started.Add(await StartAsync(overlay, pool, $"{s_network}{started.Count + 2}"));
            Assert.Equal(3, started.Count);

            // At the port that the probes ask, which is its own.
            for (int i = 0; i < started.Count; i++)
                Assert.Contains("answers 200", await HealthAsync($"http://{s_network}{i + 2}:9464"), StringComparison.Ordinal);
            string url = started.Select(silo => silo.ReadyLine).Single(line => line.Contains("serving", StringComparison.Ordinal)).Split("serving ")[1].Split(',', ')')[0];
            Assert.Contains("answers 200", await UntilWellAsync(() => HealthAsync(url)), StringComparison.Ordinal);   // a silo that has just joined may be asked for a grain that none has yet
            foreach (var (silo, pool) in started.Zip(overlay.Silos.OrderBy(pool => pool.Name == "staingrid-gpu")).Reverse())
                Assert.Equal(0, await silo.StopAsync(TimeSpan.FromSeconds(pool.Spec.TerminationGracePeriodSeconds!.Value)));
        }
        finally
        {
            foreach (var silo in started)
                await silo.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_password_that_is_wrong_or_missing_is_told_in_one_line_without_it()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/redis-server"), "redis-server is not installed (apt-get install redis-server).");
        var overlay = await Overlay.OfAsync("cluster");
        await using var redis = await StartRedisAsync(overlay);
        foreach (string given in (string[])["", "another"])
        {
            var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(overlay, overlay.Silos.First(), s_network + "9", given));
            Assert.Contains($"\nstaingrid: Redis at {s_network}1:6379 asks for a password, and {RedisServers.PasswordVariable} is not it. Set it to the server's requirepass.\n", refused.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(Password, refused.Message, StringComparison.Ordinal);
        }
    }

    // What a probe asks, again until it succeeds, as probes do.
    private static async Task<string> UntilWellAsync(Func<Task<string>> probe)
    {
        for (var deadline = DateTime.UtcNow.AddMinutes(3); ; await Task.Delay(100, Stop))
        {
            try
            {
                return await probe();
            }
            catch (InvalidOperationException) when (DateTime.UtcNow < deadline)
            {
                // Not yet.
            }
        }
    }

    private static Task<string> HealthAsync(string url) => Checkout.RunAsync(SiloProcess.CommandPath, ["health", "--ready", "--timeout", "60", url], Checkout.Root, null, Stop);

    // By the manifest's own shell line and configuration, bound to an address of this machine.
    private async Task<SiloProcess> StartRedisAsync(Overlay overlay)
    {
        var pool = overlay.Pools.Single(pool => pool.Name == "staingrid-redis");
        string volume = Assert.Single(pool.Container.VolumeMounts, mount => mount.MountPath == "/etc/redis").Name;
        string map = pool.Spec.Volumes.Single(other => other.Name == volume).ConfigMap.Name;
        string configuration = overlay.Of<V1ConfigMap>().Single(other => other.Metadata.Name == map).Data["redis.conf"];
        Assert.Contains("\nappendonly yes\n", configuration, StringComparison.Ordinal);
        string data = Directory.CreateDirectory(_folder.File("redis")).FullName;
        await File.WriteAllTextAsync(_folder.File("redis.conf"), configuration.Replace("dir /data", $"dir {data}", StringComparison.Ordinal) + $"bind {s_network}1\n", Stop);
        string line = Assert.Single(pool.Container.Args).Replace("/etc/redis/redis.conf", _folder.File("redis.conf"), StringComparison.Ordinal);
        var redis = await SiloProcess.StartAsync(
            "redis",
            () =>
            {
                var info = new ProcessStartInfo("sh", [.. pool.Container.Command.Skip(1), line]) { WorkingDirectory = data };
                info.Environment[pool.Container.Env.Single(variable => variable.ValueFrom?.SecretKeyRef is not null).Name] = Password;
                return info;
            },
            "", _folder.File("redis.log"), Stop);

        // As its probes ask, with their own environment.
        string probe = pool.Container.ReadinessProbe.Exec.Command[^1].Replace("redis-cli ", $"REDISCLI_AUTH={Password} redis-cli -h {s_network}1 ", StringComparison.Ordinal);
        await UntilWellAsync(() => Checkout.RunAsync("sh", ["-c", probe], data, null, Stop));
        await Assert.ThrowsAsync<InvalidOperationException>(() => Checkout.RunAsync("sh", ["-c", $"redis-cli -h {s_network}1 ping | grep -q PONG"], data, null, Stop));
        return redis;
    }

    private Task<SiloProcess> StartAsync(Overlay overlay, Pool pool, string address, string password = Password)
    {
        string name = pool.Name + "-0";
        var environment = overlay.Environment(pool).ToDictionary(
            pair => pair.Key,
            pair => pair.Value switch
            {
                "<metadata.name>" => name,
                "<status.podIP>" => address,
                "<staingrid-redis>" => password,
                "staingrid-redis:6379" => s_network + "1:6379",
                "cuda:0" => "cpu",
                var value => value.Replace("0.0.0.0:", address + ":", StringComparison.Ordinal).Replace("/data/", _folder.File("data") + "/", StringComparison.Ordinal),
            });
        return SiloProcess.StartAsync(
            name,
            () =>
            {
                var info = new ProcessStartInfo(SiloProcess.CommandPath, pool.Container.Args);
                foreach (var (variable, value) in environment)
                    info.Environment[variable] = value;
                return info;
            },
            $"staingrid: silo {name} ready", _folder.File(name + ".log"), Stop);
    }
}

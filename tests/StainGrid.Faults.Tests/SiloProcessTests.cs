using System.Diagnostics;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

/// <summary>With a shell that counts in place of a silo.</summary>
public sealed class SiloProcessTests : IDisposable
{
    private const string Counting = "trap 'exit 0' TERM; echo oops >&2; echo 'staingrid: silo s1 ready now'; i=0; while :; do i=$((i+1)); echo $i > count; sleep 0.02; done";

    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_killed_silo_starts_again_under_its_name()
    {
        await using var silo = await StartAsync(Counting);
        int first = silo.Id;
        Assert.Equal(137, await silo.KillAsync());
        Assert.True(silo.HasExited);
        await silo.RestartAsync(Stop);
        Assert.NotEqual(first, silo.Id);
        Assert.Equal(139, await silo.CrashNativeAsync());
        await silo.RestartAsync(Stop);
        Assert.Equal(0, await silo.StopAsync(TimeSpan.FromMinutes(1)));
        string log = File.ReadAllText(silo.Log);
        Assert.Equal(3, log.Split("oops").Length - 1);
        Assert.Contains("ended with 139", log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_paused_silo_stands_still_until_it_is_resumed()
    {
        await using var silo = await StartAsync(Counting);
        string count = _folder.File("count");
        await WaitForAsync(() => File.Exists(count));
        await silo.PauseAsync();
        await Task.Delay(100, Stop);
        string before = File.ReadAllText(count);
        await Task.Delay(300, Stop);
        Assert.Equal(before, File.ReadAllText(count));
        await silo.ResumeAsync();
        await WaitForAsync(() => File.ReadAllText(count) != before);
        await silo.PauseAsync();
        Assert.Equal(137, await silo.KillAsync());
    }

    [Fact]
    public async Task A_silo_that_ends_or_hangs_at_its_start_says_why()
    {
        var ended = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync("echo no Redis >&2; exit 3"));
        Assert.Contains("ended with 3", ended.Message, StringComparison.Ordinal);
        Assert.Contains("no Redis", ended.Message, StringComparison.Ordinal);
        var hung = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync("exec sleep 100", seconds: 0.5));
        Assert.Contains("not ready within", hung.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_silo_that_does_not_stop_is_told()
    {
        await using var silo = await StartAsync("trap '' TERM; echo 'staingrid: silo s1 ready'; while :; do sleep 0.05; done");
        await Assert.ThrowsAsync<TimeoutException>(() => silo.StopAsync(TimeSpan.FromSeconds(0.5)));
    }

    private static async Task WaitForAsync(Func<bool> condition)
    {
        for (var watch = Stopwatch.StartNew(); !condition(); await Task.Delay(10, Stop))
            Assert.True(watch.Elapsed < TimeSpan.FromMinutes(1));
    }

    private Task<SiloProcess> StartAsync(string script, double seconds = 60) =>
        SiloProcess.StartAsync("s1", () => new ProcessStartInfo("/bin/sh", ["-c", script]) { WorkingDirectory = _folder.Path },
            "staingrid: silo s1 ready", _folder.File("s1.log"), Stop, TimeSpan.FromSeconds(seconds));
}

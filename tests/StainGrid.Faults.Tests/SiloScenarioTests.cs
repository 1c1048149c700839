namespace StainGrid.Faults.Tests;

/// <summary>One silo of three is lost, or all are there.</summary>
public sealed class SiloScenarioTests(OneSilo one) : Scenario(one)
{
    [Fact]
    public Task A_calm_cluster() => RunAsync("calm");

    [Fact]
    public Task A_silo_that_is_killed() => RunAsync("killed", SiloFault.Kill);

    [Fact]
    public Task A_silo_that_crashes_in_native_code() => RunAsync("crashed", SiloFault.CrashNative);

    [Fact]
    public Task A_silo_that_is_paused_and_goes_on() => RunAsync("paused", SiloFault.Pause);

    [Fact]
    public Task A_silo_that_is_told_to_stop() => RunAsync("stopped", SiloFault.GracefulStop);

    [Fact]
    public async Task An_accelerator_that_is_killed_and_another_that_joins()
    {
        await using var cluster = await StartAsync();
        var run = await StainAsync(cluster, "joined", "p", 1, async () =>
        {
            Assert.Equal(137, await cluster.Silos["a1"].KillAsync());
            await cluster.AddAsync("a3", "accelerator", Stop);
        });
        Assert.NotNull(run);
    }
}

namespace StainGrid.Faults.Tests;

/// <summary>What all silos need is lost, or all are.</summary>
public sealed class ClusterScenarioTests(OneSilo one) : Scenario(one)
{
    [Fact]
    public Task Redis_that_restarts() => RunAsync("redis", SiloFault.RestartRedis);

    [Fact]
    public Task A_cluster_that_is_killed_as_a_whole_at_half_of_the_plate() => RunAsync("all killed", SiloFault.KillAll);

    [Fact]
    public Task A_store_that_fails() => RunAsync("store", percents: [1, 5, 20]);
}

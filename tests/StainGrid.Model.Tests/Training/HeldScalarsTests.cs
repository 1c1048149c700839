using System.Runtime;

namespace StainGrid.Model.Tests.Training;

[Collection(nameof(Alone))]
public sealed class HeldScalarsTests
{
    [Fact]
    public void Nothing_is_collected_until_it_ends_and_one_within_another_changes_nothing()
    {
        using (HeldScalars.Begin())
        {
            int before = GC.CollectionCount(0);
            Allocate(10);
            using (HeldScalars.Begin())
                Allocate(10);
            Allocate(10);
            Assert.Equal(before, GC.CollectionCount(0));
            Assert.Equal(GCLatencyMode.NoGCRegion, GCSettings.LatencyMode);
        }

        Assert.NotEqual(GCLatencyMode.NoGCRegion, GCSettings.LatencyMode);
    }

    [Fact]
    public void More_memory_than_was_thought_of_is_had_by_a_collection()
    {
        using (HeldScalars.Begin())
            Allocate(1000);
        Assert.NotEqual(GCLatencyMode.NoGCRegion, GCSettings.LatencyMode);
    }

    private static void Allocate(int megabytes)
    {
        for (int i = 0; i < megabytes * 1000; i++)
            GC.KeepAlive(new byte[1000]);
    }
}

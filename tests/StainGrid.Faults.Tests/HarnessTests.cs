using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Silo;
using StainGrid.TestSupport;

namespace StainGrid.Faults.Tests;

public sealed class HarnessTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_seed_gives_its_fault_again_and_others_give_others()
    {
        static FaultEvent Fault(int seed) => FaultPlan.Draw(seed, SiloFault.Kill, ["a", "b", "c"], 24);
        Assert.Equal(Fault(7), Fault(7));
        var faults = Enumerable.Range(1, 20).Select(Fault).ToList();
        Assert.Equal(20, faults.Distinct().Count());
        Assert.Equal(["a", "b", "c"], faults.Select(fault => fault.Silo).Distinct().Order());
        Assert.All(faults, fault => Assert.InRange(fault.AfterFields, 1, 18));
        Assert.True(faults.Select(fault => fault.AfterFields).Distinct().Count() > 8);
    }

    [Fact]
    public async Task The_test_plate_is_24_different_fields_and_the_digest_sees_every_byte_of_them()
    {
        string plate = _folder.File("plate"), model = _folder.File("small.safetensors");
        TestPlate.Write(plate);
        TestPlate.WriteModel(model);
        string[] files = [.. Directory.GetFiles(plate).Order(StringComparer.Ordinal)];
        Assert.Equal(24, files.Length);
        Assert.Equal(24, files.Select(file => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file)))).Distinct().Count());

        await using var silo = await EmbeddedSilo.StartAsync(new DeviceOptions(), cancellationToken: Stop);
        var client = new GrainClient(silo.Grains);
        for (int i = 0; i < 3; i++)
        {
            string slide = await client.SubmitAsync(new SlideRequest { Files = [files[i]], Settings = new() { Model = model }, Output = _folder.File("out", "A", $"{i + 1}", "0") });
            SlideStatus? last = null;
            await foreach (var status in client.WatchAsync(slide, Stop))
                last = status;
            Assert.Equal((SlideState.Complete, (string?)null), (last!.State, last.Error));
        }

        // The digest sees every chunk, and a flipped byte.
        var store = new FolderBlobStore(_folder.File("out"));
        var digest = await PlateDigest.OfAsync(store, Stop);
        Assert.Contains("A/3/0/0/0/1/0/0/0", digest.Chunks.Keys);
        Assert.Equal(3, digest.Chunks.Values.Where((_, i) => digest.Chunks.Keys.ElementAt(i).EndsWith("/0/0/0/0/0/0", StringComparison.Ordinal)).Distinct().Count());
        Assert.Null(digest.FirstDifference(await PlateDigest.OfAsync(store, Stop)));
        string chunk = _folder.File("out", "A", "2", "0", "0", "0", "1", "0", "0", "0");
        byte[] bytes = File.ReadAllBytes(chunk);
        bytes[^1] ^= 1;
        File.WriteAllBytes(chunk, bytes);
        Assert.StartsWith("A/2/0/0/0/1/0/0/0 is ", digest.FirstDifference(await PlateDigest.OfAsync(store, Stop)), StringComparison.Ordinal);
        File.Delete(chunk);
        Assert.Equal("A/2/0/0/0/1/0/0/0 is not in the other plate.", digest.FirstDifference(await PlateDigest.OfAsync(store, Stop)));
    }
}

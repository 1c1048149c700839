using Azure.Storage.Blobs;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Cli.Tests;

public sealed class BlobTests : IDisposable
{
    private const string Pattern = @"(?<well>[A-P]\d\d)\.png";

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        Environment.SetEnvironmentVariable(BlobStores.ConnectionStringVariable, null);
        folder.Dispose();
    }

    [Fact]
    public async Task Images_and_models_in_blobs_are_stained_as_those_in_a_folder_and_a_plate_goes_from_blobs_to_blobs()
    {
        await using var azurite = await AzuriteServer.StartAsync(Stop);
        var container = new BlobContainerClient(azurite.ConnectionString, "plates");
        await container.CreateAsync(cancellationToken: Stop);
        Environment.SetEnvironmentVariable(BlobStores.ConnectionStringVariable, azurite.ConnectionString);   // which the command inherits

        string model = folder.File("small.safetensors");
        await SuccessAsync("model", "init", "--seed", "1", "--labels", "DAPI_CONFOCAL", "--stem", "2", "--growth", "2", "--resampling", "convolution", "-o", model);
        await container.GetBlobClient("models/small.safetensors").UploadAsync(model, Stop);
        foreach (string well in (string[])["A01", "B02"])
        {
            PngWriter.WriteGrey16(folder.File(well + ".png"), [.. Enumerable.Range(0, 150 * 130).Select(i => (ushort)(i * (well[0] - 'A' + 3)))], 150, 130);
            await container.GetBlobClient($"in/plate 1/{well}.png").UploadAsync(folder.File(well + ".png"), Stop);
        }

        await SuccessAsync("stain", folder.File("B02.png"), "-m", model, "-o", folder.File("local"), "--stride", "128", "--precision", "float32");
        string line = await SuccessAsync("stain", "azure://plates/in/plate 1/B02.png", "-m", "azure://plates/models/small.safetensors", "-o", folder.File("blob"), "--stride", "128", "--precision", "float32", "--json");
        var result = Assert.Single(StainGridCommand.Lines(line));
        Assert.Equal("azure://plates/in/plate 1/B02.png", result.GetProperty("input")[0].GetString());
        Assert.True(File.Exists(result.GetProperty("preview").GetString()));
        byte[] expected = await File.ReadAllBytesAsync(folder.File("local", "B02.ome.zarr", "0", "0", "0", "0", "0", "0"), Stop);
        Assert.Equal(expected, await File.ReadAllBytesAsync(folder.File("blob", "B02.ome.zarr", "0", "0", "0", "0", "0", "0"), Stop));

        line = await SuccessAsync("plate", "plan", "azure://plates/in/plate%201", "--pattern", Pattern, "-m", "azure://plates/models/small.safetensors", "--json");
        Assert.Equal(2, StainGridCommand.Lines(line)[0].GetProperty("fields").GetInt32());
        await SuccessAsync("plate", "submit", "azure://plates/in/plate%201", "--pattern", Pattern, "-m", "azure://plates/models/small.safetensors",
            "-o", "azure://plates/out/plate1", "--stride", "128", "--precision", "float32", "--json");
        var written = await container.GetBlobClient("out/plate1/B/2/0/0/0/0/0/0/0").DownloadContentAsync(Stop);
        Assert.Equal(expected, written.Value.Content.ToArray());

        var (exit, _, error) = await StainGridCommand.RunAsync("plate", "submit", "azure://plates/in/absent", "-m", model, "-o", "azure://plates/out/none");
        Assert.Equal(1, exit);
        Assert.Contains("azure://plates/in/absent has no image", error, StringComparison.Ordinal);
    }

    private static async Task<string> SuccessAsync(params string[] arguments)
    {
        var (exit, output, error) = await StainGridCommand.RunAsync(arguments);
        Assert.True(exit == 0, $"{string.Join(' ', arguments)}: {error}{output}");
        return output;
    }
}

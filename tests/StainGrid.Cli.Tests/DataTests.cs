using System.Text.Json.Nodes;
using NetVips;
using StainGrid.TestSupport;

namespace StainGrid.Cli.Tests;

public sealed class DataTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Data_lists_fields_and_what_is_left_out_and_succeeds()
    {
        string manifest = Manifest("1,drug,B02,light.png,dapi.png", "2,drug,B03,gone.png,dapi2.png");
        var (exit, output, error) = await StainGridCommand.RunAsync("data", manifest);
        Assert.Equal(0, exit);
        Assert.Equal("", error);
        Assert.Contains("condition drug: 1 field, 1 well", output);
        Assert.Contains("drug/B02/1  140x130, 1 plane of 16 bit; DAPI_CONFOCAL (16 bit)", output);
        Assert.Contains("drug/B03/2: gone.png does not exist", output);

        (exit, output, _) = await StainGridCommand.RunAsync("data", manifest, "--json");
        Assert.Equal(0, exit);
        var json = JsonNode.Parse(output)!;
        var field = Assert.Single(json["fields"]!.AsArray())!;
        Assert.Equal(("drug/B02/1", 140, "uint16"), (field["name"]!.GetValue<string>(), field["width"]!.GetValue<int>(), field["labels"]!["DAPI_CONFOCAL"]!.GetValue<string>()));
        Assert.Equal("drug/B03/2", Assert.Single(json["left_out"]!.AsArray())!["what"]!.GetValue<string>());
        Assert.Empty(json["problems"]!.AsArray());
    }

    [Fact]
    public async Task Data_that_cannot_be_used_is_a_failure_that_says_why()
    {
        var (exit, output, error) = await StainGridCommand.RunAsync("data", Manifest("1,drug,B02,light.png,black.png"));
        Assert.Equal(1, exit);
        Assert.Contains("drug/B02/1: DAPI_CONFOCAL, black.png, is 0 everywhere", error);
        Assert.Contains("drug/B02/1", output);

        (exit, _, error) = await StainGridCommand.RunAsync("data", Manifest("1,drug,B02,light.png,"));
        Assert.Equal(1, exit);
        Assert.Contains("has no field that can be used", error);

        (exit, _, error) = await StainGridCommand.RunAsync("data", Manifest("1,drug,B02,../light.png,dapi.png"));
        Assert.Equal(1, exit);
        Assert.Contains("leads out of the manifest's folder", error);
    }

    private string Manifest(params string[] rows)
    {
        foreach (string name in (string[])["light.png", "dapi.png", "dapi2.png", "black.png"])
        {
            using var ramp = Image.Xyz(140, 130)[0].Linear([name is "black.png" ? 0 : 7], [0]);
            using var image = ramp.Cast(Enums.BandFormat.Ushort).Copy(interpretation: Enums.Interpretation.Grey16);
            image.WriteToFile(folder.File(name));
        }

        File.WriteAllLines(folder.File("pairs.csv"), ["field,condition,well,image,DAPI_CONFOCAL", .. rows]);
        return folder.File("pairs.csv");
    }
}

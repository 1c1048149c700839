using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Model.Tests.Data;

public sealed class PairedManifestTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public PairedManifestTests() => folder.Touch("images", ["a.tif", "a_dapi.tif", "a_own.tif", "b.tif", "z0.png", "z1.png", "z2.png", "z10.png"]);

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_row_is_a_field_with_the_labels_that_are_named()
    {
        var data = PairedData.Discover(folder.Manifest(
            "Field,Condition,Well,Image,dapi_confocal,OWN", "1,drug,B02,images/a.tif,images/a_dapi.tif,images/a_own.tif", "2,drug,,images/b.tif,,images/z0.png"));
        Assert.Empty(data.LeftOut);
        Assert.Equal(["drug/2", "drug/B02/1"], data.Fields.Select(field => field.Name));
        var field = data.Fields[1];
        Assert.Equal(("drug", "B02"), (field.Condition, field.Well));
        Assert.Equal([folder.File("images", "a.tif")], field.Planes);
        Assert.Equal(["DAPI_CONFOCAL", "OWN"], field.Labels.Keys.Order());
        Assert.Equal(folder.File("images", "a_dapi.tif"), field.Labels["DAPI_CONFOCAL"]);
        Assert.Equal(["OWN"], data.Fields[0].Labels.Keys);
    }

    [Fact]
    public void Rows_of_planes_are_one_field_in_the_order_of_their_numbers()
    {
        var data = PairedData.Discover(folder.Manifest("field,plane,image,DAPI_CONFOCAL", "1,2,images/z10.png,images/a_dapi.tif", "1,1,images/z1.png,", "1,3,images/z2.png,images/a_dapi.tif"));
        var field = Assert.Single(data.Fields);
        Assert.Equal(["z1.png", "z10.png", "z2.png"], field.Planes.Select(Path.GetFileName));
        Assert.Equal(["DAPI_CONFOCAL"], field.Labels.Keys);
    }

    [Theory]
    [InlineData("1,0,images/z0.png,images/a_dapi.tif;1,2,images/z2.png,", "plane 1 is missing")]
    [InlineData("1,0,images/z0.png,images/a_dapi.tif;1,0,images/z2.png,", "plane 0 is there twice")]
    [InlineData("1,,images/z0.png,images/a_dapi.tif;1,1,images/z2.png,", "not all have a plane's number")]
    [InlineData("1,,images/z0.png,", "no true image of a label")]
    [InlineData("1,,images/gone.png,images/a_dapi.tif", "images/gone.png does not exist")]
    [InlineData("1,,images/z0.png,images/gone.tif", "images/gone.tif does not exist")]
    public void Fields_that_are_not_whole_are_left_out_with_the_reason(string rows, string reason)
    {
        var data = PairedData.Discover(folder.Manifest(["field,plane,image,DAPI_CONFOCAL", "good,,images/a.tif,images/a_own.tif", .. rows.Split(';')]));
        Assert.Equal("good", Assert.Single(data.Fields).Name);
        var left = Assert.Single(data.LeftOut);
        Assert.Equal("1", left.What);
        Assert.Contains(reason, left.Why);
    }

    [Theory]
    [InlineData("../a.tif")]
    [InlineData("images/../../a.tif")]
    [InlineData("/etc/passwd")]
    [InlineData("images\\..\\a.tif")]
    [InlineData("C:\\a.tif")]
    [InlineData("link/a.tif")]
    [InlineData("images/link.tif")]
    public void Paths_that_lead_out_of_the_manifests_folder_are_refused(string path)
    {
        Directory.CreateSymbolicLink(folder.File("link"), folder.File("images"));
        File.CreateSymbolicLink(folder.File("images", "link.tif"), "/etc/passwd");
        string image = Refusal("field,image,DAPI_CONFOCAL", $"1,{path},images/a_dapi.tif");
        Assert.Contains("row 2: image", image);
        Assert.Contains("leads out", image);
        Assert.Contains("leads out", Refusal("field,image,DAPI_CONFOCAL", $"1,images/a.tif,{path}"));
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("field,image,DAPI_CONFOCAL", "names no field")]
    [InlineData("image,DAPI_CONFOCAL;images/a.tif,images/b.tif", "no column \"field\"")]
    [InlineData("field,DAPI_CONFOCAL;1,images/b.tif", "no column \"image\"")]
    [InlineData("field,image;1,images/a.tif", "no column of a label")]
    [InlineData("field,image,my label;1,images/a.tif,images/b.tif", "letters, digits")]
    [InlineData("field,image,DAPI_CONFOCAL,dapi_confocal;1,images/a.tif,images/b.tif,", "DAPI_CONFOCAL twice")]
    [InlineData("field,image,DAPI_CONFOCAL;1,images/a.tif,images/b.tif,more", "has 4 cells, the header 3")]
    [InlineData("field,image,DAPI_CONFOCAL;,images/a.tif,images/b.tif", "has no field")]
    [InlineData("field,image,DAPI_CONFOCAL;1,,images/b.tif", "has no image")]
    [InlineData("field,image,DAPI_CONFOCAL;1/2,images/a.tif,images/b.tif", "slash")]
    [InlineData("field,plane,image,DAPI_CONFOCAL;1,one,images/a.tif,images/b.tif", "plane \"one\"")]
    [InlineData("field,plane,image,DAPI_CONFOCAL;1,0,images/z0.png,images/a.tif;1,1,images/z1.png,images/b.tif", "another file of DAPI_CONFOCAL")]
    [InlineData("field,condition,well,image,DAPI_CONFOCAL;1,x,,images/a.tif,images/a_dapi.tif;1,,x,images/b.tif,images/z0.png", "two fields are called x/1")]
    [InlineData("field,image,DAPI_CONFOCAL;1,images/a.tif,images/b.tif;2,images/z0.png,images/b.tif", "images/b.tif is in the manifest already, for 1 (DAPI_CONFOCAL)")]
    [InlineData("field,image,DAPI_CONFOCAL;1,images/a.tif,images/b.tif;2,images/a.tif,images/z0.png", "images/a.tif is in the manifest already, for 1")]
    [InlineData("field,image,DAPI_CONFOCAL;1,images/a.tif,images/a.tif", "images/a.tif is in the manifest already")]
    [InlineData("field,plane,image,DAPI_CONFOCAL;1,0,images/z0.png,images/a.tif;1,1,images/z0.png,", "images/z0.png is in the manifest already")]
    public void A_manifest_that_is_wrong_is_refused_with_what_to_correct(string text, string reason) =>
        Assert.Contains(reason, Refusal(text.Length == 0 ? [] : text.Split(';')));

    private string Refusal(params string[] lines)
    {
        string message = Assert.Throws<ImageException>(() => PairedData.Discover(folder.Manifest(lines))).Message;
        Assert.Contains("pairs.csv", message);
        return message;
    }
}

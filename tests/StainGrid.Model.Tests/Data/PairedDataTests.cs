using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Model.Tests.Data;

public sealed class PairedDataTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Both_dialects_are_grouped_to_fields_whatever_folders_they_lie_in()
    {
        folder.Touch("train/Finkbeiner/kevan_0_8", PairedFiles.NewNames);
        folder.Touch("test", PairedFiles.OldNames);
        var data = PairedData.Discover(folder.Path);
        Assert.Empty(data.LeftOut);
        Assert.Equal(["FINKBEINER/KEVAN_0_8/A4/2015-10-05", "Finkbeiner/kevan_0_8/B2/2015-09-28"], data.Fields.Select(field => field.Name));
        foreach (var (field, well, names) in data.Fields.Zip(["A4", "B2"], (string[][])[PairedFiles.OldNames, PairedFiles.NewNames]))
        {
            Assert.Equal(("B", well), (field.Condition, field.Well));
            Assert.Equal(names[..3], field.Planes.Select(Path.GetFileName));
            Assert.Equal([KeyValuePair.Create("DAPI_CONFOCAL", names[3])], field.Labels.Select(label => KeyValuePair.Create(label.Key, Path.GetFileName(label.Value))));
        }

        // Condition B has MAP2 and NFH besides.
        Assert.All(data.Notes, note => Assert.Contains("lacks MAP2_CONFOCAL, NFH_CONFOCAL", note));
        Assert.Equal(2, data.Notes.Count);
    }

    [Fact]
    public void Planes_are_in_the_order_of_their_numbers()
    {
        folder.Touch("", Enumerable.Range(0, 13).Select(z => $"{PairedFiles.New}z_depth-{z},channel,value-PHASE_CONTRAST,is_mask-false,kind,value-ORIGINAL.png").Append(PairedFiles.NewNames[3]));
        var field = Assert.Single(PairedData.Discover(folder.Path).Fields);
        Assert.Equal(Enumerable.Range(0, 13), field.Planes.Select(plane => IslName.Parse(Path.GetFileName(plane))!.Plane!.Value));
    }

    [Theory]
    [InlineData("Rubin", "scott_1_0", "A")]
    [InlineData("FINKBEINER", "KEVAN_0_10", "B")]
    [InlineData("Finkbeiner", "alicia_2_0", "C")]
    [InlineData("Finkbeiner", "yusha_0_1", "D")]
    [InlineData("GLS", "2015_06_26", "E")]
    [InlineData("Rubin", "kevan_0_8", "kevan_0_8")]
    [InlineData("Finkbeiner", "kevan_0_6", "kevan_0_6")]
    public void Conditions_have_the_papers_letters_and_others_keep_their_names(string lab, string name, string expected)
    {
        folder.Touch("", PairedFiles.NewNames.Select(file => file.Replace("lab-Finkbeiner", $"lab-{lab}").Replace("condition-kevan_0_8", $"condition-{name}")));
        Assert.Equal(expected, Assert.Single(PairedData.Discover(folder.Path).Fields).Condition);
    }

    [Theory]
    [InlineData("z_depth-0,channel-PHASE_CONTRAST,is_mask-true", "mask")]
    [InlineData("depth_computation-MAXPROJECT,channel-MAP2_CONFOCAL,is_mask-true", "mask")]
    [InlineData("depth_computation,value-MAXPROJECT,channel,value-MAP2_CONFOCAL,statistic,value-MEDIAN,kind,value-PREDICTED", "prediction")]
    [InlineData("depth_computation,value-MAXPROJECT,is_mask-false,kind,value-ORIGINAL", "several at once")]
    [InlineData("depth_computation,value-MAXPROJECT,channel,value-NEURITE_CONFOCAL,is_mask-false,kind,value-ORIGINAL", "computed from")]
    [InlineData("depth_computation,value-MAXPROJECT,channel,value-GFP,is_mask-false,kind,value-ORIGINAL", "channel GFP")]
    [InlineData("depth_computation,value-MAXPROJECT,channel,value-PHASE_CONTRAST,is_mask-false,kind,value-ORIGINAL", "plane's number")]
    [InlineData("z_depth-2,channel,value-MAP2_CONFOCAL,is_mask-false,kind,value-ORIGINAL", "no projection")]
    [InlineData("z_depth-x,channel-PHASE_CONTRAST,is_mask-false", "does not tell")]
    [InlineData("well-A5,z_depth-3,channel-PHASE_CONTRAST,is_mask-false", "does not tell")]
    public void Files_that_are_no_truth_and_no_transmitted_plane_are_left_out_with_the_reason(string end, string reason)
    {
        folder.Touch("", [.. PairedFiles.OldNames, $"{PairedFiles.Old}{end}.png"]);
        var data = PairedData.Discover(folder.Path);
        var field = Assert.Single(data.Fields);
        Assert.Equal(PairedFiles.OldNames, field.Planes.Concat(field.Labels.Values).Select(Path.GetFileName));
        Assert.Contains(reason, Assert.Single(data.LeftOut).Why);
    }

    [Theory]
    [InlineData("z_depth-1", null, "plane 1 is missing")]
    [InlineData("z_depth-0", null, "plane 0 is missing")]
    [InlineData("PHASE_CONTRAST", null, "no transmitted light")]
    [InlineData("DAPI_CONFOCAL", null, "no true image")]
    [InlineData(null, "z_depth-2,channel,value-PHASE_CONTRAST,is_mask-false,kind,value-ORIGINAL", "plane 2 is there twice")]
    [InlineData(null, "z_depth-3,channel-DIC,is_mask-false", "several kinds (PHASE_CONTRAST, DIC)")]
    [InlineData(null, "depth_computation,value-MAXPROJECT,channel,value-DAPI_CONFOCAL,is_mask-false", "DAPI_CONFOCAL is there twice")]
    public void Fields_that_are_not_whole_are_left_out_with_the_reason(string? without, string? with, string reason)
    {
        folder.Touch("good", PairedFiles.NewNames);
        folder.Touch("bad", PairedFiles.OldNames.Where(name => without is null || !name.Contains(without)));
        if (with is not null)
            folder.Touch("more", [$"{PairedFiles.Old}{with}.png"]);
        var data = PairedData.Discover(folder.Path);
        Assert.Equal("B2", Assert.Single(data.Fields).Well);
        var left = Assert.Single(data.LeftOut);
        Assert.Equal("FINKBEINER/KEVAN_0_8/A4/2015-10-05", left.What);
        Assert.Contains(reason, left.Why);
    }

    [Fact]
    public void A_stack_that_is_shorter_than_its_conditions_is_left_out()
    {
        folder.Touch("1", PairedFiles.NewNames);
        folder.Touch("2", PairedFiles.NewNames.Select(name => name.Replace("well-B2", "well-B3")).Where(name => !name.Contains("z_depth-2")));
        var data = PairedData.Discover(folder.Path);
        Assert.Equal("B2", Assert.Single(data.Fields).Well);
        Assert.Contains("plane 2 is missing: the condition's fields have 3 planes", Assert.Single(data.LeftOut).Why);
    }

    [Fact]
    public void What_is_no_data_is_refused_with_what_to_give()
    {
        Assert.Contains("no PNG file", Assert.Throws<ImageException>(() => PairedData.Discover(folder.Path)).Message);
        Assert.Contains("does not exist", Assert.Throws<ImageException>(() => PairedData.Discover(folder.File("nowhere"))).Message);
        folder.Touch("", ["pairs.txt"]);
        Assert.Contains("neither a folder nor a manifest", Assert.Throws<ImageException>(() => PairedData.Discover(folder.File("pairs.txt"))).Message);
    }

    [Fact]
    public void The_real_data_is_one_field_of_thirteen_planes_and_three_labels_without_a_problem()
    {
        var data = PairedData.Discover(SharedData.File("isl-condition-b"));
        var field = Assert.Single(data.Fields);
        Assert.Empty(data.LeftOut);
        Assert.Empty(data.Notes);
        Assert.Equal(("B", "A4", 13), (field.Condition, field.Well, field.Planes.Count));
        Assert.Equal(["DAPI_CONFOCAL", "MAP2_CONFOCAL", "NFH_CONFOCAL"], field.Labels.Keys.Order());
        Assert.Equal(Enumerable.Range(0, 13), field.Planes.Select(plane => IslName.Parse(Path.GetFileName(plane))!.Plane!.Value));
        var preflight = DataPreflight.Run(data.Fields, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Empty(preflight.Problems);
        var looked = Assert.Single(preflight.Fields);
        Assert.Equal((768, 1024, 13, PixelType.UInt16), (looked.Width, looked.Height, looked.Planes, looked.PixelType));

        var split = DataSplits.ByRegion(data.Fields, new ColumnRange(640, 768));
        Assert.Equal(new Tiling.Region(0, 0, 640, 1024), Assert.Single(split.Train).Region);
        Assert.Equal(new Tiling.Region(640, 0, 128, 1024), Assert.Single(split.Test).Region);
    }
}

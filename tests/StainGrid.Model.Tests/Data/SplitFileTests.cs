using System.Text.Json.Nodes;
using StainGrid.Imaging;
using StainGrid.TestSupport;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests.Data;

public sealed class SplitFileTests : IDisposable
{
    private static readonly PairedField[] Fields = [PairedFiles.Field(1, "B", "A4"), PairedFiles.Field(1, "B", "A5"), PairedFiles.Field(1, "C", "A \"6\" µ")];
    private static readonly DataSplit Split = new(
        [new FieldPart(Fields[0], new Region(0, 0, 200, 300)), new FieldPart(Fields[0], new Region(400, 0, 200, 300)), new FieldPart(Fields[2], null)],
        [new FieldPart(Fields[1], null)],
        [new FieldPart(Fields[0], new Region(200, 0, 200, 300))]);

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_split_that_was_written_is_read_as_it_was()
    {
        File.WriteAllText(folder.File("split.json"), "an older one");
        SplitFile.Write(Split, folder.File("split.json"));
        var read = Read();
        Assert.Equal(Split.Train, read.Train);
        Assert.Equal(Split.Validation, read.Validation);
        Assert.Equal(Split.Test, read.Test);
        Assert.Equal(["split.json"], Directory.GetFiles(folder.Path).Select(Path.GetFileName));

        // Names, not the data's files.
        Assert.DoesNotContain("plane.png", File.ReadAllText(folder.File("split.json")));
    }

    [Fact]
    public void A_split_with_a_pixel_twice_is_not_written()
    {
        Assert.Throws<ImageException>(() => SplitFile.Write(Split with { Test = [new FieldPart(Fields[1], null)] }, folder.File("split.json")));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void A_split_that_was_tampered_with_is_refused()
    {
        Refused("which is not in the data", json => json["test"]![0]!["field"] = "lab/B/A4/2");
        Refused("for train and for test", json => json["test"]![0]!["region"]!["x"] = 199);
        Refused("for train and for test", json => json["test"]![0]!.AsObject().Remove("region"));
        Refused("for train and for validation", json => json["validation"]![0]!["field"] = Fields[2].Name);
        Refused("for train and for train", json => json["train"]!.AsArray().Add(json["train"]![2]!.DeepClone()));
        Refused("is not in lab/B/A4/1, 600x300", json => json["train"]![1]!["region"]!["width"] = 201);
        Refused("is not in lab/B/A4/1, 600x300", json => json["train"]![1]!["region"]!["width"] = int.MaxValue);
        Refused("is not in lab/B/A4/1, 600x300", json => json["train"]![1]!["region"]!["x"] = -1);
        Refused("under 128", json => json["train"]![1]!["region"]!["height"] = 127);
        Refused("version 2", json => json["version"] = 2);
        Refused("is no split", json => json.Remove("test"));
        Refused("is no split", json => json["test"] = null);
        Refused("not in the data", json => json["test"]!.AsArray().Add(null));
        Refused("is no split", json => json["seed"] = 1);
        Refused("is no split", json => json["test"]![0]!["region"]!.AsObject().Remove("height"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("""{"version":1,"train":[],"validation":[],"test":[],"test":[]}""")]
    public void A_file_that_is_no_split_is_refused(string text)
    {
        File.WriteAllText(folder.File("split.json"), text);
        Assert.Contains("is no split", Assert.Throws<ImageException>(() => Read()).Message);
    }

    [Fact]
    public void A_file_that_is_not_there_and_data_with_a_name_twice_are_refused()
    {
        Assert.Contains("cannot be read", Assert.Throws<ImageException>(() => Read()).Message);
        SplitFile.Write(Split, folder.File("split.json"));
        Assert.Contains("two fields called", Assert.Throws<ImageException>(() => SplitFile.Read(folder.File("split.json"), [.. Fields, Fields[0]])).Message);
    }

    private void Refused(string reason, Action<JsonObject> tamper)
    {
        SplitFile.Write(Split, folder.File("split.json"));
        var json = JsonNode.Parse(File.ReadAllBytes(folder.File("split.json")))!.AsObject();
        tamper(json);
        File.WriteAllText(folder.File("split.json"), json.ToJsonString());
        string message = Assert.Throws<ImageException>(() => Read()).Message;
        Assert.Contains(reason, message);
    }

    private DataSplit Read() => SplitFile.Read(folder.File("split.json"), Fields, _ => (600, 300));
}

using StainGrid.Imaging;
using StainGrid.TestSupport;
using StainGrid.Tiling;

namespace StainGrid.Model.Tests.Training;

public sealed class TrainingConfigTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Settings_that_were_written_are_read_as_they_were()
    {
        var config = new TrainingConfig
        {
            Data = folder.File("data"),
            Split = folder.File("split.json"),
            From = folder.File("m.safetensors"),
            Specimens = 7,
            SpecimenShare = 0.3,
            Network = TrainingFiles.Small,
            Training = TrainingOptions.Paper with { Seed = 9, Precision = Precision.BFloat16, LearningRate = 1.0 / 3 },
            EvaluateEvery = 5,
            CheckpointEvery = 6,
            Licence = "CC-BY-4.0",
        };
        Assert.Equal(config, Read(config.ToJson()));
        Assert.Equal(config.ToJson(), Read(config.ToJson()).ToJson());
        Assert.Contains("\"precision\": \"b_float16\"", config.ToJson());
    }

    [Fact]
    public void What_is_left_out_is_as_by_default_and_paths_are_relative_to_the_file()
    {
        var config = Read("""{ "data": "data/pairs.csv", "split": "../split.json", "training": { "steps": 12 } }""");
        Assert.Equal(folder.File("data", "pairs.csv"), config.Data);
        Assert.Equal(Path.Combine(Path.GetDirectoryName(folder.Path)!, "split.json"), config.Split);
        Assert.Null(config.From);
        Assert.Equal(new TrainingConfig { Data = config.Data, Split = config.Split, Training = new TrainingOptions { Steps = 12 } }, config);
        Assert.Equal("/elsewhere/x", Read("""{ "data": "/elsewhere/x" }""").Data);
    }

    [Theory]
    [InlineData("", "is no settings of a training")]
    [InlineData("null", "is no settings of a training")]
    [InlineData("[1]", "is no settings of a training")]
    [InlineData("""{ "specimens": 1, "speciments": 2 }""", "speciments")]
    [InlineData("""{ "specimens": 1, "specimens": 2 }""", "is no settings of a training")]
    [InlineData("""{ "specimens": 1, "training": { "step": 2 } }""", "step")]
    [InlineData("""{ "specimens": 1, "training": null }""", "training and licence may be left out, but not be null")]
    [InlineData("""{ "specimens": 1, "network": null }""", "but not be null")]
    [InlineData("""{ "specimens": 1, "licence": null }""", "but not be null")]
    [InlineData("""{ "specimens": 1, "network": { "growth": 3 } }""", "is no settings of a training")]
    [InlineData("{ }", "There is nothing to train on")]
    [InlineData("""{ "specimens": -1 }""", "Specimens must be between 0 and 10000")]
    [InlineData("""{ "specimens": 10001 }""", "Specimens must be between")]
    [InlineData("""{ "specimens": 1, "specimen_share": 1.01 }""", "SpecimenShare must be between 0 and 1")]
    [InlineData("""{ "specimens": 1, "evaluate_every": -1 }""", "EvaluateEvery must be between")]
    [InlineData("""{ "specimens": 1, "checkpoint_every": 0 }""", "CheckpointEvery must be between")]
    [InlineData("""{ "specimens": 1, "training": { "loss_stride": 17 } }""", "LossStride must be between 1 and 16")]
    [InlineData("""{ "specimens": 1, "training": { "precision": "auto" } }""", "float32 or bfloat16")]
    [InlineData("""{ "specimens": 1, "training": { "precision": 7 } }""", "float32 or bfloat16")]
    [InlineData("""{ "specimens": 1, "data": "a\u0000b" }""", "is no settings of a training")]
    public void What_is_wrong_is_refused_with_what_to_correct(string json, string why)
    {
        string message = Assert.Throws<ImageException>(() => Read(json)).Message;
        Assert.StartsWith(folder.File("training.json"), message);
        Assert.Contains(why, message);
    }

    [Fact]
    public void A_file_that_is_not_there_or_too_large_is_refused()
    {
        Assert.Contains("cannot be read", Assert.Throws<ImageException>(() => TrainingConfig.Read(folder.File("none.json"))).Message);
        Assert.Contains("larger than 1 MB", Assert.Throws<ImageException>(() => Read(new string(' ', (1 << 20) + 1))).Message);
    }

    private TrainingConfig Read(string json)
    {
        File.WriteAllText(folder.File("training.json"), json);
        return TrainingConfig.Read(folder.File("training.json"));
    }
}

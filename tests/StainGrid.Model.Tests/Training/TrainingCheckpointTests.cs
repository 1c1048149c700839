using StainGrid.TestSupport;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests.Training;

[Collection(nameof(Alone))]
public sealed class TrainingCheckpointTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly TrainingField field = TrainingFiles.Blobs();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Of_another_network_other_labels_or_other_options_it_is_refused()
    {
        Save(folder.File("other"), TrainingFiles.Small with { Growth = 5 }, TrainingFiles.Labels, TrainingFiles.Quick);
        Refused("it is of another network (labels BRIGHT, ABSENT). Give another folder");
        Save(folder.File("other"), TrainingFiles.Small with { Dropout = 0.1 }, TrainingFiles.Labels, TrainingFiles.Quick);
        Refused("it is of another network");
        Save(folder.File("other"), TrainingFiles.Small, [.. TrainingFiles.Labels.Reverse()], TrainingFiles.Quick);
        Refused("it is of another network (labels ABSENT, BRIGHT)");
        Save(folder.File("other"), TrainingFiles.Small, TrainingFiles.Labels, TrainingFiles.Quick with { LearningRate = 2e-3 });
        Refused("it is of a training with other settings. Give another folder");
    }

    [Fact]
    public void Cut_off_or_of_something_else_it_is_refused()
    {
        Save(folder.File("whole"), TrainingFiles.Small, TrainingFiles.Labels, TrainingFiles.Quick);
        byte[] bytes = File.ReadAllBytes(folder.File("whole"));
        foreach (int length in (int[])[0, 7, 100, bytes.Length / 2, bytes.Length - 1])
        {
            File.WriteAllBytes(folder.File("other"), bytes[..length]);
            Refused("");
        }

        File.WriteAllText(folder.File("other"), "step,loss\n1,2\n");
        Refused("");
        Directory.CreateDirectory(folder.File("folder"));
        File.Delete(folder.File("other"));
        Refused("there is no such file");

        using var model = StainModel.Create(TrainingFiles.Small, TrainingFiles.Labels, 1);
        model.Save(folder.File("other"));
        Refused("it is no checkpoint of a training, or of another version. Give the folder of a training, or delete the file to begin anew.");
    }

    [Fact]
    public void Without_a_tensor_or_with_one_of_another_shape_it_is_refused()
    {
        Save(folder.File("whole"), TrainingFiles.Small, TrainingFiles.Labels, TrainingFiles.Quick);
        using var file = SafetensorsFile.Read(folder.File("whole"));
        string[] names = [.. file.Tensors.Keys.Order(StringComparer.Ordinal)];
        foreach (string name in (string[])["weights.stem.weight", "adam.average.stem.weight", "adam.square.heads.BRIGHT.bias", names[^1]])
        {
            SafetensorsFile.Write(folder.File("other"), file.Tensors.Where(pair => pair.Key != name).ToDictionary(), file.Metadata);
            Refused($"the tensor '{name}' is missing or of another shape");
            using var other = zeros(3);
            SafetensorsFile.Write(folder.File("other"), file.Tensors.ToDictionary(pair => pair.Key, pair => pair.Key == name ? other : pair.Value), file.Metadata);
            Refused($"the tensor '{name}' is missing or of another shape");
        }
    }

    [Fact]
    public void Of_another_version_or_with_unknown_members_it_is_refused()
    {
        Save(folder.File("whole"), TrainingFiles.Small, TrainingFiles.Labels, TrainingFiles.Quick);
        using var file = SafetensorsFile.Read(folder.File("whole"));
        var (key, text) = Assert.Single(file.Metadata);
        foreach (var (part, other) in ((string, string)[])[("\"Version\":1", "\"Version\":2"), ("\"Step\":2", "\"Step\":-2"), ("\"Step\":2", "\"Stop\":2"), ("{", "["), ("\"Options\":{", "\"Options\":null,\"O\":{")])
        {
            Assert.Contains(part, text);
            SafetensorsFile.Write(folder.File("other"), file.Tensors, new Dictionary<string, string> { [key] = text.Replace(part, other) });
            Refused("it is no checkpoint of a training, or of another version");
        }
    }

    [Fact]
    public void One_that_cannot_be_written_leaves_the_one_before()
    {
        using var model = StainModel.Create(TrainingFiles.Small, TrainingFiles.Labels, 1);
        using var trainer = new Trainer(model, [field], TrainingFiles.Quick);
        Directory.CreateDirectory(folder.File("taken"));
        Assert.Contains("cannot be written", Assert.Throws<ModelFileException>(() => trainer.SaveCheckpoint(folder.File("taken"))).Message);
        Assert.Contains("cannot be written", Assert.Throws<ModelFileException>(() => trainer.SaveCheckpoint(folder.File("no", "a"))).Message);
        Assert.Equal([folder.File("taken")], Directory.GetFileSystemEntries(folder.Path));
    }

    private void Save(string path, NetworkOptions network, LabelInfo[] labels, TrainingOptions options)
    {
        using var model = StainModel.Create(network, labels, 3);
        var fields = labels[0].Name == "BRIGHT" ? field : TrainingField.Read("other", TrainingFiles.Light(),
            new Dictionary<string, Imaging.IPlaneImage> { ["BRIGHT"] = TrainingFiles.Truth() }, labels, new NormalisationRule(), new Tiling.Region(0, 0, 160, 160));
        using var trainer = new Trainer(model, [fields], options);
        trainer.Step();
        trainer.Step();
        trainer.SaveCheckpoint(path);
    }

    // Weights, Adam's averages and the steps are as before: what follows is what would have followed.
    private void Refused(string why)
    {
        string path = folder.File("other");
        using var model = StainModel.Create(TrainingFiles.Small, TrainingFiles.Labels, 1);
        using var trainer = new Trainer(model, [field], TrainingFiles.Quick);
        trainer.Step();
        trainer.SaveCheckpoint(folder.File("before"));
        string message = Assert.Throws<ModelFileException>(() => trainer.LoadCheckpoint(path)).Message;
        Assert.StartsWith(path + ": ", message);
        Assert.Contains(why, message);
        Assert.Equal(1, trainer.Steps);
        trainer.SaveCheckpoint(folder.File("after"));
        Assert.Equal(File.ReadAllBytes(folder.File("before")), File.ReadAllBytes(folder.File("after")));
    }
}

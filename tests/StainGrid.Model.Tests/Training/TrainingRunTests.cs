using StainGrid.Imaging;
using StainGrid.Model.Tests.Data;
using StainGrid.TestSupport;
using StainGrid.Tiling;
using static TorchSharp.torch;

namespace StainGrid.Model.Tests.Training;

[Collection(nameof(Alone))]
public sealed class TrainingRunTests : IDisposable
{
    private const int Side = 128;
    private const string Checkpoint = "checkpoint.safetensors";
    private static readonly string[] Finished = [Checkpoint, "curve.csv", "curve.png", "model.safetensors", "split.json", "training.json"];

    private readonly TemporaryFolder folder = new();
    private readonly TrainingConfig config;
    private readonly TrainingConfig plain;   // without evaluations, which take longest
    private readonly DataSplit split;

    public TrainingRunTests()
    {
        var lines = new List<string> { "field,condition,well,image,OWN,DAPI_CONFOCAL" };
        foreach (int i in (int[])[1, 2, 3, 4])
        {
            int shift = i;
            folder.Image($"light{i}.png", Side, Side, pixel: (x, y) => 20_000 + 9000 * Math.Sin((x + shift) * 0.2) + 40 * y);
            folder.Image($"own{i}.png", Side, Side, pixel: (x, _) => 20_000 + 15_000 * Math.Sin((x + shift) * 0.2));
            folder.Image($"dapi{i}.png", Side, Side, pixel: (x, y) => x * y % 5000);
            lines.Add($"{i},c,A{i},light{i}.png,own{i}.png,{(i == 2 ? "" : $"dapi{i}.png")}");
        }

        string manifest = folder.Manifest([.. lines]);
        split = Split(manifest, "A4");
        config = new TrainingConfig
        {
            Data = manifest,
            Network = TrainingFiles.Small with { StemChannels = 2, Growth = 2, Dropout = 0.5 },
            Training = TrainingFiles.Quick with { Steps = 7, NormBatches = 2, SmallTileShare = 0.6 },
            EvaluateEvery = 3,
            CheckpointEvery = 2,
            Licence = "CC0-1.0",
        };
        plain = config with { EvaluateEvery = 0 };
    }

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_finished_run_leaves_settings_split_checkpoint_curve_and_model()
    {
        var told = new List<TrainingProgress>();
        string file = Run("a", told: told.Add);
        Assert.Equal(folder.File("a", "model.safetensors"), file);
        Assert.Equal(Finished, Names("a"));
        Assert.Equal(Enumerable.Range(1, 7).Select(step => (step, 7)), told.Select(at => (at.Step, at.Steps)));
        Assert.Equal([true, true, false, false, false, false, false], told.Select(at => at.Pearson is null));
        Assert.Equal(config with { Split = folder.File("a", "split.json") }, TrainingConfig.Read(folder.File("a", "training.json")));
        Assert.Equal(split.Test, SplitFile.Read(folder.File("a", "split.json"), [.. split.Train.Concat(split.Validation).Concat(split.Test).Select(part => part.Field)]).Test);
        string[] curve = File.ReadAllLines(folder.File("a", "curve.csv"));
        Assert.Equal("step,learning_rate,loss_DAPI_CONFOCAL,loss_OWN,pearson_DAPI_CONFOCAL,pearson_OWN", curve[0]);
        Assert.Equal([false, false, true, false, false, true, true], curve[1..].Select(line => !line.EndsWith(",,", StringComparison.Ordinal)));

        using var model = StainModel.Load(file);
        Assert.Equal(("CC0-1.0", config.Network), (model.Metadata.Licence, model.Metadata.Network));
        var values = model.Metadata.Training.Values;
        Assert.Equal(("7", "1", "c/A1/1; c/A2/2"), (values["steps"], values["batch"], values["data"]));
        Assert.Equal($"{told[^1].Losses[1]:F3}", values["loss_OWN"]);
        Assert.Equal($"{told[^1].Pearson![1]:F3}", values["validation_pearson_OWN"]);

        // From the dark of the darkest to the brightest pixel of what is trained on.
        var own = model.Metadata.Labels[1];
        Assert.InRange(own.Low, 5000, 5100);
        Assert.InRange(own.High, 34_900, 35_000);
        Assert.Equal(FluorescenceLabels.DapiConfocal.Colour, model.Metadata.Labels[0].Colour);
    }

    [Theory]
    [InlineData(Precision.Float32)]
    [InlineData(Precision.BFloat16)]
    public void A_run_that_was_stopped_or_killed_and_goes_on_leaves_what_the_unbroken_one_leaves(Precision precision)
    {
        var same = config with { Training = config.Training with { Precision = precision } };
        Run("unbroken", same);

        // Stopped after step 3, between checkpoints; killed in step 6, after the checkpoint of step 4; killed once more before a step.
        using var stop = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() => Run("broken", same, told: at => { if (at.Step == 3) stop.Cancel(); }, stop: stop));
        Assert.Equal(Finished.Except(["model.safetensors"]), Names("broken"));
        Assert.Equal(4, File.ReadAllLines(folder.File("broken", "curve.csv")).Length);
        Assert.Throws<NotSupportedException>(() => Run("broken", same, told: at => { if (at.Step == 5) throw new NotSupportedException(); }, done: 3));
        Run("broken", same, done: 4);
        AssertSame("unbroken", "broken");

        // A finished one is left as it is.
        Run("broken", same, done: 7);
        AssertSame("unbroken", "broken");
    }

    [Fact]
    public void An_evaluation_that_was_stopped_is_made_when_the_run_goes_on()
    {
        Run("unbroken");
        using var stop = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() => Run("broken", told: at => { if (at.Step == 3) stop.Cancel(); }, stop: stop));
        string curve = folder.File("broken", "curve.csv");
        string[] lines = File.ReadAllLines(curve);
        lines[3] = string.Join(',', lines[3].Split(',')[..4]) + ",,";
        File.WriteAllLines(curve, lines);
        var told = new List<int>();
        Run("broken", told: at => told.Add(at.Step), done: 3);
        Assert.Equal([4, 5, 6, 7], told);
        AssertSame("unbroken", "broken");
    }

    [Fact]
    public void A_curve_that_is_ahead_of_its_checkpoint_is_taken_up_as_far_as_that_goes()
    {
        Run("unbroken", plain);
        Run("broken", plain, told: at => { if (at.Step == 3) File.Copy(folder.File("broken", Checkpoint), folder.File("earlier")); });
        File.Move(folder.File("earlier"), folder.File("broken", Checkpoint), overwrite: true);
        File.Delete(folder.File("broken", "model.safetensors"));
        Run("broken", plain, done: 2);
        AssertSame("unbroken", "broken");
    }

    [Fact]
    public void Other_settings_or_another_split_are_refused_and_nothing_is_written()
    {
        Run("a", plain);
        var before = Bytes("a");
        foreach (var (other, parts) in ((TrainingConfig, DataSplit)[])
            [
                (plain with { Training = config.Training with { LearningRate = 1e-3 } }, split),
                (plain with { Specimens = 1 }, split),
                (plain, Split(config.Data!, "A1")),
            ])
        {
            string message = Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("a"), other, parts)).Message;
            Assert.Contains("holds a training with other settings or another split. Give another folder, or go on with", message);
            Assert.Equal(before, Bytes("a"));
        }
    }

    [Fact]
    public void A_folder_whose_training_never_began_takes_other_settings_but_a_split_of_somebody_elses_stays()
    {
        Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("a"), plain, split, memory: 1));
        Run("a", plain with { Training = plain.Training with { Seed = 9 } });

        Directory.CreateDirectory(folder.File("b"));
        File.WriteAllText(folder.File("b", "split.json"), "mine");
        Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("b"), plain, split));
        Assert.Equal("mine", File.ReadAllText(folder.File("b", "split.json")));
        Assert.Equal(["split.json"], Names("b"));
    }

    [Fact]
    public void A_checkpoint_that_cannot_be_written_is_told_and_the_run_goes_on_from_the_one_before()
    {
        Run("unbroken", plain);
        string path = folder.File("broken", Checkpoint);
        string message = Assert.Throws<ModelFileException>(() => Run("broken", plain, told: at =>
        {
            if (at.Step != 3)
                return;
            File.Move(path, folder.File("kept"));
            Directory.CreateDirectory(path);
        })).Message;
        Assert.StartsWith(path + ": the file cannot be written", message);
        Assert.Equal(Finished.Except(["model.safetensors"]), Names("broken"));
        Directory.Delete(path);
        File.Move(folder.File("kept"), path);
        Run("broken", plain, done: 2);
        AssertSame("unbroken", "broken");
    }

    [Fact]
    public void A_run_that_diverges_keeps_the_checkpoint_before()
    {
        var wild = config with { Training = config.Training with { LearningRate = 1e30 }, CheckpointEvery = 1, EvaluateEvery = 0 };
        int last = 0;
        Assert.Contains("smaller learning rate", Assert.Throws<TrainingException>(() => Run("a", wild, told: at => last = at.Step)).Message);
        Assert.DoesNotContain("model.safetensors", Names("a"));
        using var run = TrainingRun.Open(folder.File("a"), wild, split);
        Assert.InRange(last, 1, 6);
        Assert.Equal(last, run.StepsDone);
    }

    [Fact]
    public void A_checkpoint_of_another_network_or_a_folder_that_is_a_file_is_refused()
    {
        Run("a", plain);
        Run("b", plain with { Network = config.Network with { Growth = 3 } });
        File.Copy(folder.File("b", Checkpoint), folder.File("a", Checkpoint), overwrite: true);
        Assert.Contains("of another network", Assert.Throws<ModelFileException>(() => TrainingRun.Open(folder.File("a"), plain, split)).Message);
        File.WriteAllText(folder.File("file"), "");
        Assert.Contains("cannot be written to", Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("file"), config, split)).Message);
    }

    [Fact]
    public void Specimens_alone_need_no_data()
    {
        var alone = config with { Data = null, Specimens = 2, Training = config.Training with { Steps = 2 }, Network = TrainingFiles.Small };
        using var run = TrainingRun.Open(folder.File("a"), alone, null);
        Assert.Equal(Imaging.Specimen.SyntheticSpecimen.LabelNames.Order(), run.Model.Network.Labels.Order());
        run.Run(cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(Finished.Except(["split.json"]), Names("a"));
        using var model = StainModel.Load(folder.File("a", "model.safetensors"));
        Assert.Equal("2 synthetic specimens", model.Metadata.Training.Values["data"]);
        Assert.All(model.Network.Labels, label => Assert.Contains($"loss_{label}", model.Metadata.Training.Values));
    }

    [Fact]
    public void Of_a_model_that_it_goes_on_from_the_labels_that_both_have_keep_head_and_range()
    {
        var network = TrainingFiles.Small with { StemChannels = 3 };
        using var from = StainModel.Create(network, [new("GONE", 0, 9, "FFFFFF"), new("OWN", 77, 40_000, "123456")], 8);
        from.Describe(from.Metadata with { Normalisation = new NormalisationRule { LowPercentile = 2, HighPercentile = 98 } });
        from.Save(folder.File("from.safetensors"));
        var next = plain with { From = folder.File("from.safetensors") };
        using (var run = TrainingRun.Open(folder.File("a"), next, split))
        {
            Assert.Equal(["DAPI_CONFOCAL", "OWN"], run.Model.Network.Labels);
            Assert.Equal(from.Metadata.Labels[1], run.Model.Metadata.Labels[1]);
            Assert.Equal((network, from.Metadata.Normalisation), (run.Model.Metadata.Network, run.Model.Metadata.Normalisation));
            var before = from.Network.NamedTensors();
            foreach (var (name, tensor) in run.Model.Network.NamedTensors().Where(pair => !pair.Key.StartsWith("heads.DAPI", StringComparison.Ordinal)))
                Assert.True(tensor.equal(before[name]).all().item<bool>(), name);
            Assert.NotEqual(TrainingFiles.Head(from, "GONE"), TrainingFiles.Head(run.Model, "DAPI_CONFOCAL"));
            Assert.NotEqual(0, run.Model.Network.NamedTensors()["heads.DAPI_CONFOCAL.weight"].abs().max().item<float>());
        }

        Run("a", next);
        File.Delete(folder.File("from.safetensors"));
        Assert.Contains("there is no such file", Assert.Throws<ModelFileException>(() => TrainingRun.Open(folder.File("b"), next, split)).Message);
    }

    [Fact]
    public void A_split_that_holds_nothing_out_or_has_nothing_to_train_on_is_refused_before_anything_is_written()
    {
        Assert.Contains("holds nothing out", Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("a"), config, split with { Test = [] })).Message);
        Assert.Contains("nothing to train on", Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("a"), config, split with { Train = [] })).Message);
        Assert.Throws<ArgumentException>(() => TrainingRun.Open(folder.File("a"), config with { CheckpointEvery = 0 }, split));
        Assert.False(Directory.Exists(folder.File("a")));
    }

    [Fact]
    public void A_label_that_is_the_same_everywhere_and_fields_larger_than_the_memory_are_refused()
    {
        foreach (int i in (int[])[1, 2])
            folder.Image($"own{i}.png", Side, Side, pixel: (_, _) => 700);
        Assert.Contains("OWN is 700 in all that is trained on", Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("a"), config, split)).Message);
        Assert.Contains("--memory", Assert.Throws<ImageException>(() => TrainingRun.Open(folder.File("b"), config, Split(config.Data!, "A1"), memory: 50_000)).Message);
    }

    // Wells to train on are those that are neither held out nor for validation.
    private static DataSplit Split(string manifest, string test) => DataSplits.ByWell(PairedData.Discover(manifest).Fields, [test], ["A3"]);

    private string Run(string name, TrainingConfig? settings = null, Action<TrainingProgress>? told = null, int done = 0, CancellationTokenSource? stop = null)
    {
        manual_seed(name.Length + done);   // the process's own numbers must not matter
        using var run = TrainingRun.Open(folder.File(name), settings ?? config, split);
        Assert.Equal(done, run.StepsDone);
        return run.Run(told, stop?.Token ?? TestContext.Current.CancellationToken);
    }

    private string[] Names(string name) => [.. Directory.GetFileSystemEntries(folder.File(name)).Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)];

    private Dictionary<string, string> Bytes(string name) =>
        Names(name).ToDictionary(file => file, file => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(folder.File(name, file)))));

    private void AssertSame(string expected, string actual)
    {
        Assert.Equal(Finished, Names(actual));
        Assert.Equal(File.ReadAllText(folder.File(expected, "curve.csv")), File.ReadAllText(folder.File(actual, "curve.csv")));
        Assert.Equal(Bytes(expected), Bytes(actual));
    }
}

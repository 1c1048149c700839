using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using NetVips;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.TestSupport;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Cli.Tests;

public sealed class StainTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Real_microscopy_becomes_an_OME_Zarr_that_other_readers_read_with_the_same_pixels()
    {
        string input = SharedData.File("isl-condition-b", "train",
            "lab-FINKBEINER,condition-KEVAN_0_8,acquisition_date,year-2015,month-10,day-5,minute-0,well-A4,tile_computation-STITCHED,z_depth-6,channel-PHASE_CONTRAST,is_mask-false.png");
        var (exit, output, error) = await StainGridCommand.RunAsync("stain", input, "-o", folder.Path, "--stride", "128", "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        var result = Assert.Single(StainGridCommand.Lines(output));
        string image = result.GetProperty("output").GetString()!;
        Assert.True(File.Exists(result.GetProperty("preview").GetString()));
        await AssertReadersAgreeAsync(image, 768, 1024, ["DAPI_CONFOCAL", "NFH_CONFOCAL", "MAP2_CONFOCAL"]);
    }

    [Fact]
    public async Task A_4600x4600_TIFF_becomes_an_OME_Zarr_that_other_readers_read_with_the_same_pixels()
    {
        string tiff = folder.File("large.tif");
        using (var phase = Image.NewFromFile(SharedData.File("formats", "phase16.png")))
        using (var large = phase.Replicate(18, 18).Crop(0, 0, 4600, 4600))
            large.Tiffsave(tiff, compression: Enums.ForeignTiffCompression.Deflate, tile: true, tileWidth: 512, tileHeight: 512);
        string model = await SmallModelAsync();
        var (exit, output, error) = await StainGridCommand.RunAsync(
            "stain", tiff, "-o", folder.Path, "-m", model, "--stride", "128", "--statistics", "mean,entropy", "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        string image = StainGridCommand.Lines(output)[0].GetProperty("output").GetString()!;
        await AssertReadersAgreeAsync(image, 4600, 4600, ["DAPI_CONFOCAL", "DAPI_CONFOCAL entropy"]);
    }

    [Fact]
    public async Task Inputs_that_fail_are_named_in_one_line_each_and_the_others_go_on()
    {
        string good = folder.File("good.png");
        PngWriter.WriteGrey16(good, [.. Enumerable.Range(0, 40 * 30).Select(i => (ushort)(i * 50))], 40, 30);
        string onePixel = folder.File("one.png");
        PngWriter.WriteGrey16(onePixel, [7], 1, 1);
        string empty = folder.File("empty.png");
        await File.WriteAllBytesAsync(empty, [], Stop);
        string text = folder.File("text.png");
        await File.WriteAllTextAsync(text, "This is not an image, but it is long enough to look at.", Stop);
        string truncated = folder.File("truncated.png");
        await File.WriteAllBytesAsync(truncated, (await File.ReadAllBytesAsync(good, Stop))[..^200], Stop);
        string colour = folder.File("colour.png");
        PngWriter.WriteRgb8(colour, new byte[20 * 20 * 3], 20, 20);
        string huge = folder.File("huge.png");
        byte[] header = await File.ReadAllBytesAsync(good, Stop);
        header[16] = header[20] = 0x7f;   // 2^31 pixels a side
        await File.WriteAllBytesAsync(huge, header, Stop);
        string zero = folder.File("zero.png");
        byte[] nothing = await File.ReadAllBytesAsync(good, Stop);
        nothing.AsSpan(16, 8).Clear();
        await File.WriteAllBytesAsync(zero, nothing, Stop);

        string[] bad = [folder.File("missing.png"), empty, text, truncated, colour, huge, zero, folder.Path];
        string target = folder.File("out");
        var (exit, output, error) = await StainGridCommand.RunAsync(
            ["stain", .. bad, good, onePixel, "-o", target, "-m", await SmallModelAsync(), "--json"]);
        Assert.Equal(1, exit);
        Assert.Equal("", error);
        var lines = StainGridCommand.Lines(output);
        Assert.Equal(bad.Length + 2, lines.Length);
        Assert.All(lines[..^2], line =>
        {
            Assert.Equal("failed", line.GetProperty("state").GetString());
            string reason = line.GetProperty("error").GetString()!;
            Assert.DoesNotContain('\n', reason);
            Assert.DoesNotContain("Exception", reason);
            Assert.InRange(reason.Length, 20, 400);
        });
        Assert.All(lines[^2..], line => Assert.Equal("complete", line.GetProperty("state").GetString()));
        Assert.Equal(["good.ome.zarr", "one.ome.zarr"], Directory.GetDirectories(target).Select(Path.GetFileName).Order());
    }

    [Theory]
    [InlineData("does not predict the label GFP", "--labels", "GFP")]
    [InlineData("planes 0 to 0, not 3", "--plane", "3")]
    public async Task A_request_that_does_not_fit_the_image_or_the_model_is_refused(string reason, params string[] options)
    {
        string input = folder.File("a.png");
        PngWriter.WriteGrey8(input, new byte[100], 10, 10);
        var (exit, output, error) = await StainGridCommand.RunAsync(["stain", input, "-o", folder.File("out"), "-m", await SmallModelAsync(), .. options]);
        Assert.Equal((1, ""), (exit, output));
        Assert.Contains(reason, error);
    }

    [Fact]
    public async Task Wrong_weights_are_refused()
    {
        string input = folder.File("a.png");
        PngWriter.WriteGrey8(input, new byte[100], 10, 10);
        string model = await SmallModelAsync();
        byte[] bytes = await File.ReadAllBytesAsync(model, Stop);
        string cut = folder.File("cut.safetensors"), foreign = folder.File("foreign.safetensors");
        await File.WriteAllBytesAsync(cut, bytes[..^1000], Stop);
        await File.WriteAllBytesAsync(foreign, [.. BitConverter.GetBytes(2L), (byte)'{', (byte)'}'], Stop);
        foreach (string wrong in (string[])[cut, foreign, input, folder.File("missing.safetensors")])
        {
            var (exit, output, error) = await StainGridCommand.RunAsync("stain", input, "-o", folder.File("out"), "-m", wrong);
            Assert.Equal((1, ""), (exit, output));
            Assert.Contains(Path.GetFileName(wrong), error);
            Assert.DoesNotContain("   at ", error);
        }
    }

    [Fact]
    public async Task An_output_that_cannot_be_a_folder_is_refused()
    {
        string input = folder.File("a.png");
        PngWriter.WriteGrey8(input, new byte[100], 10, 10);
        var (exit, _, error) = await StainGridCommand.RunAsync("stain", input, "-o", Path.Combine(input, "out"));
        Assert.Equal(1, exit);
        Assert.Contains("--output", error);
    }

    [Theory]
    [InlineData("stain")]
    [InlineData("stain", "a.png", "-o", "x", "--stride", "7")]
    [InlineData("stain", "a.png", "-o", "x", "--plane", "first")]
    [InlineData("stain", "a.png", "-o", "x", "--statistics", "average")]
    [InlineData("stain", "a.png", "-o", "x", "--device", "tpu")]
    [InlineData("stain", "a.png", "-o", "x", "--device", "cuda:0")]
    [InlineData("nonsense")]
    public async Task A_wrong_command_line_says_so_and_exits_with_2(params string[] arguments)
    {
        Assert.SkipWhen(arguments.Contains("cuda:0") && File.Exists("/dev/nvidia0"), "There is a GPU here.");
        var (exit, _, error) = await StainGridCommand.RunAsync([.. arguments.Select(argument => argument == "x" ? folder.File("x") : argument)]);
        Assert.Equal(2, exit);
        Assert.StartsWith("staingrid:", error);
    }

    [Theory]
    [InlineData("demo")]
    [InlineData("stain")]
    [InlineData("info")]
    [InlineData("model", "init")]
    [InlineData("model", "info")]
    [InlineData("train")]
    [InlineData("evaluate")]
    public async Task Every_command_has_help_with_a_description_of_each_option(params string[] command)
    {
        var (exit, output, _) = await StainGridCommand.RunAsync([.. command, "--help"]);
        Assert.Equal(0, exit);
        Assert.Contains("Usage:", output);
        Assert.All(output.Split('\n').Where(line => line.StartsWith("  --", StringComparison.Ordinal)), line => Assert.Contains("  ", line.Trim()));
    }

    [Fact]
    public async Task Ctrl_C_ends_soon_with_130_and_leaves_the_output_marked_incomplete()
    {
        string input = folder.File("big.png");
        PngWriter.WriteGrey16(input, new ushort[3000 * 3000], 3000, 3000);
        string target = folder.File("out");
        using var process = StainGridCommand.Start("stain", input, "-o", target, "-m", await SmallModelAsync(), "--stride", "16");
        var lines = new List<string>();
        try
        {
            using var start = CancellationTokenSource.CreateLinkedTokenSource(Stop);
            start.CancelAfter(TimeSpan.FromMinutes(3));
            try
            {
                while (await process.StandardError.ReadLineAsync(start.Token) is { } line)
                {
                    lines.Add(line);
                    if (line.Contains("tiles/s", StringComparison.Ordinal))
                        break;
                }
            }
            catch (OperationCanceledException) when (!Stop.IsCancellationRequested)
            {
                Assert.Fail($"It predicted no tile in 3 minutes. It said:\n{string.Join('\n', lines)}");
            }

            using (var kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
                await kill.WaitForExitAsync(Stop);
            try
            {
                await process.WaitForExitAsync(Stop).WaitAsync(TimeSpan.FromMinutes(3), Stop);
            }
            catch (TimeoutException)
            {
                Assert.Fail("It goes on three minutes after SIGINT. Is SIGINT ignored here (see StainGridCommand)?");
            }
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }

        Assert.Equal(130, process.ExitCode);
        Assert.Equal("incomplete", await SlideOutput.StateAsync(BlobStores.Open(Path.Combine(target, "big.ome.zarr")), Stop));
        var (_, output, _) = await StainGridCommand.RunAsync("info", Path.Combine(target, "big.ome.zarr"));
        Assert.Contains("incomplete", output);
    }

    [Fact]
    public async Task The_demo_predicts_what_its_specimen_shows()
    {
        var (exit, output, error) = await StainGridCommand.RunAsync("demo", "--size", "256", "-o", folder.Path, "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        var result = Assert.Single(StainGridCommand.Lines(output));
        var pearson = result.GetProperty("pearson").EnumerateObject().ToDictionary(label => label.Name, label => label.Value.GetDouble());
        Assert.Equal(3, pearson.Count);
        Assert.True(pearson.Values.Average() > 0.3, output);
        Assert.True(new FileInfo(result.GetProperty("preview").GetString()!).Length > 10_000);
    }

    [Fact]
    public async Task Where_tiles_end_an_image_has_no_steps_unless_they_are_averaged_plainly()
    {
        var (exit, output, error) = await StainGridCommand.RunAsync("demo", "--size", "256", "-o", folder.File("demo"), "--json");
        Assert.True(exit == 0, $"{exit}: {error}{output}");
        Assert.InRange(await ScoreAsync("standard"), 0.5, 2);
        Assert.InRange(await ScoreAsync("paper"), 2.5, 20);

        async Task<double> ScoreAsync(string quality)
        {
            (exit, output, error) = await StainGridCommand.RunAsync("stain", folder.File("demo", "specimen", "phase-z06.png"), "--block", "1", "--quality", quality, "-o", folder.File(quality));
            Assert.True(exit == 0, $"{exit}: {error}{output}");
            return JsonNode.Parse(await File.ReadAllTextAsync(folder.File(quality, "phase-z06.ome.zarr", ".zattrs"), Stop))!["staingrid"]!["check"]!["seam_score"]!.GetValue<double>();
        }
    }

    [Fact]
    public async Task The_same_seed_writes_the_same_model_and_info_describes_it()
    {
        string model = await SmallModelAsync(), again = await SmallModelAsync();
        Assert.Equal(await File.ReadAllBytesAsync(model, Stop), await File.ReadAllBytesAsync(again, Stop));
        var (_, output, _) = await StainGridCommand.RunAsync("model", "info", model, "--json");
        var facts = JsonDocument.Parse(output).RootElement;
        Assert.Equal("convolution", facts.GetProperty("resampling").GetString());
        Assert.Equal("DAPI_CONFOCAL", facts.GetProperty("labels")[0].GetString());
    }

    private async Task<string> SmallModelAsync()
    {
        string path = folder.File($"{Guid.NewGuid():n}.safetensors");
        var (exit, _, error) = await StainGridCommand.RunAsync(
            "model", "init", "--stem", "2", "--growth", "2", "--resampling", "convolution", "--labels", "DAPI_CONFOCAL", "-o", path);
        Assert.True(exit == 0, $"{exit}: {error}");
        return path;
    }

    private static async Task AssertReadersAgreeAsync(string image, int width, int height, string[] channels)
    {
        var ours = await OmeZarrReader.OpenAsync(BlobStores.Open(image), Stop);
        Assert.Equal((width, height), (ours.Image.Width, ours.Image.Height));
        Assert.Equal(channels, ours.Image.Channels.Select(channel => channel.Label));
        using var theirs = JsonDocument.Parse((await Conformance.ReadOmeZarrAsync(image, Stop)).GetRawText());
        for (int level = 0; level < ours.Image.Levels; level++)
        {
            var (w, h) = ours.Image.LevelSize(level);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (int channel = 0; channel < channels.Length; channel++)
                hash.AppendData(MemoryMarshal.AsBytes<ushort>(await ours.ReadAsync(level, channel, new Region(0, 0, w, h), Stop)));
            string expected = Convert.ToHexStringLower(hash.GetHashAndReset());
            foreach (string reader in (string[])["zarrita", "omeZarr"])
                Assert.Equal(expected, theirs.RootElement.GetProperty(reader).GetProperty("levels")[level].GetProperty("sha256").GetString());
        }
    }
}

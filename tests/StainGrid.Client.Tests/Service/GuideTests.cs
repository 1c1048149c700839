using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

/// <summary>The guides are true when followed: their commands are run as they stand, or are marked as not run.</summary>
public sealed partial class GuideTests(ServedFixture served) : IDisposable
{
    private const int Killed = 9;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromMinutes(10);

    private readonly TemporaryFolder folder = new();

    /// <summary>The pages whose commands are run.</summary>
    public static TheoryData<string> Run { get; } = ["operations.md", "facility.md", "pipelines.md", "models.md", "housekeeping.md"];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("operations.md")]
    [InlineData("facility.md")]
    [InlineData("pipelines.md")]
    [InlineData("kubernetes.md")]
    [InlineData("service.md")]
    [InlineData("models.md")]
    [InlineData("housekeeping.md")]
    [InlineData("upgrade.md")]
    public async Task Every_command_of_a_guide_is_marked_as_run_or_not(string page)
    {
        var guide = await Guide.ReadAsync(page, Stop);
        Assert.True(guide.Problems.Count == 0, string.Join('\n', guide.Problems));
        Assert.Equal(Run.Any(row => row.Data == page), guide.Blocks.Count > 0);
    }

    [Theory]
    [MemberData(nameof(Run))]
    public async Task What_a_guide_says_happens(string page)
    {
        foreach (string needed in (string[])["redis-server", "curl", "setsid"])
            Assert.SkipUnless(File.Exists("/usr/bin/" + needed), $"{needed} is not installed.");
        var guide = await Guide.ReadAsync(page, Stop);

        // What the guides say is there: a plate, two models, the service with its share and a key. 5080 is the service's port in them; the others are their own.
        await served.StartAsync(Stop);
        foreach (string plate in (string[])[folder.File("here", "first"), folder.File("here", "plates", "first"), Path.Combine(served.Share, "first")])
            WritePlate(plate);
        await File.WriteAllTextAsync(folder.File("here", "staingrid.key"), served.Key + "\n", Stop);
        if (page == "models.md")
            await MakeModelsAsync();
        var ports = Ports(guide);
        ports["5080"] = served.Address.Port.ToString(CultureInfo.InvariantCulture);
        string WithPorts(string text) => Port().Replace(text, match => ports[match.Value]);

        string[] script = [.. guide.Blocks.SelectMany((block, i) => new[] { WithPorts(block.Commands), $"printf '\\n%s, after %s s\\n' '{End(i)}' $SECONDS" })];
        await File.WriteAllLinesAsync(folder.File("guide.sh"), [$"exec > '{folder.File("output")}' 2>&1", .. script], Stop);
        int? exit = await RunAsync(folder.File("guide.sh"));
        string output = await File.ReadAllTextAsync(folder.File("output"), Stop);
        string last = string.Join('\n', output.Split('\n').TakeLast(25));
        TestContext.Current.TestOutputHelper!.WriteLine(output);

        int from = 0;
        for (int i = 0; i < guide.Blocks.Count; i++)
        {
            var block = guide.Blocks[i];
            string where = $"docs/{page}:{block.Line}";
            int to = output.IndexOf(End(i), from, StringComparison.Ordinal);
            Assert.True(to >= 0, $"{where}: the commands {(exit is { } code ? $"end with {code}" : "did not end in time")}:\n{last}");
            string? missing = Guide.FirstMissing(block.Printed.Select(WithPorts), output[from..to]);
            Assert.True(missing is null, $"{where}: not printed: {missing}\nbut:\n{output[from..to]}");
            from = to;
        }

        Assert.Equal(0, exit);
    }

    [Theory]
    [InlineData(true, "a\nb 1 c\nd\n", "a", "b .. c")]
    [InlineData(false, "b 1 c\na\n", "a", "b .. c")]
    [InlineData(false, "b 1\nc\n", "b .. c")]
    [InlineData(false, "abc", "a.c")]
    public void Lines_that_are_said_to_be_printed_are_looked_for_in_their_order(bool found, string output, params string[] printed) =>
        Assert.Equal(found, Guide.FirstMissing(printed, output) is null);

    private static string End(int block) => $"=== the end of block {block}";

    private static void WritePlate(string path)
    {
        ServedFixture.WritePlate(path, 3);
        foreach (string file in Directory.GetFiles(path, "A??.png"))
            File.Move(file, Path.Combine(path, $"first_{Path.GetFileNameWithoutExtension(file)}_T0001F001L01A01Z01C01.png"), overwrite: true);
    }

    private async Task MakeModelsAsync()
    {
        Directory.CreateDirectory(folder.File("here", "run"));
        File.Copy(Path.Combine(Documents.Root, "models", "staingrid-neuron.safetensors"), folder.File("here", "run", "model.safetensors"));
        await Conformance.RunAsync(
            SiloProcess.CommandPath, ["model", "init", "--stem", "8", "--growth", "4", "--labels", "DAPI_CONFOCAL", "-o", folder.File("here", "new.safetensors")], folder.Path, Stop);
    }

    private static Dictionary<string, string> Ports(Guide guide) => guide.Blocks.SelectMany(block => Port().Matches(block.Commands)).Select(match => match.Value).Distinct()
        .ToDictionary(port => port, _ => FreePort.Next().ToString(CultureInfo.InvariantCulture));

    // In a session of its own, so that what it leaves in the background ends with it. Null where it took too long.
    private async Task<int?> RunAsync(string script)
    {
        Directory.CreateDirectory(folder.File("bin"));
        File.CreateSymbolicLink(folder.File("bin", "staingrid"), SiloProcess.CommandPath);
        var info = new ProcessStartInfo("/usr/bin/setsid", ["bash", "-euo", "pipefail", script]) { WorkingDirectory = folder.File("here") };
        foreach (string variable in info.Environment.Keys.Where(name => name.StartsWith("STAINGRID_", StringComparison.Ordinal)).ToList())
            info.Environment.Remove(variable);
        info.Environment["PATH"] = $"{folder.File("bin")}:{info.Environment["PATH"]}";
        info.Environment["OMP_WAIT_POLICY"] = "PASSIVE";   // as the launcher sets it
        using var process = Process.Start(info)!;
        try
        {
            await process.WaitForExitAsync(Stop).WaitAsync(TimeLimit, Stop);
            return process.ExitCode;
        }
        catch (TimeoutException)
        {
            return null;
        }
        finally
        {
            for (int i = 0; Send(-process.Id, Killed) == 0 && i < 100; i++)
                await Task.Delay(50, CancellationToken.None);
        }
    }

    [GeneratedRegex(@"(?<=127\.0\.0\.1:|--port )\d{4,5}")]
    private static partial Regex Port();

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Send(int process, int signal);
}

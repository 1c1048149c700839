using System.Diagnostics;
using System.Text.Json;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

/// <summary>`staingrid plate .. --server`.</summary>
public sealed class CommandTests(ServedFixture served) : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_plate_on_this_machine_is_uploaded_stained_watched_and_listed()
    {
        await served.StartAsync(Stop);
        ServedFixture.WritePlate(folder.File("My plate"), 2);
        await File.WriteAllTextAsync(folder.File("key"), served.Key + "\n", Stop);
        string[] server = ["--server", served.Address.AbsoluteUri, "--key-file", folder.File("key")];
        var (exit, output, error) = await RunAsync(null, ["plate", "submit", folder.File("My plate"), "--pattern", ServedFixture.Pattern, "--watch", .. server]);
        Assert.True(exit == 0, $"{exit}: {error}");
        Assert.Contains("uploading: 2 of 2 files, 0.1 of 0.1 MB", error, StringComparison.Ordinal);
        string id = output.Split(':')[0];
        Assert.Equal($"{id}: complete, 2 of 2 fields complete\n", output);

        (exit, output, _) = await RunAsync(null, ["plate", "status", id, "--fields", "--json", .. server]);
        var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement).ToArray();
        Assert.Equal((0, id, "complete", 3, "A02", "complete"),
            (exit, lines[0].GetProperty("plate").GetString(), lines[0].GetProperty("state").GetString(), lines.Length, lines[2].GetProperty("well").GetString(), lines[2].GetProperty("state").GetString()));

        (exit, output, error) = await RunAsync(null, ["plate", "fetch", id, "-o", folder.File("result"), .. server]);
        Assert.True(exit == 0, $"{exit}: {error}");
        Assert.StartsWith($"{id}: complete, ", output, StringComparison.Ordinal);
        using (var client = served.Client())
        {
            string[] files = await client.ListFilesAsync(id, cancellationToken: Stop).ToArrayAsync(Stop);
            Assert.Equal(files, await new FolderBlobStore(folder.File("result")).ListAsync("", Stop).ToArrayAsync(Stop));
            Assert.Equal(files.Where(file => file.StartsWith("A/2/", StringComparison.Ordinal)), await client.ListFilesAsync(id, "A/2/", Stop).ToArrayAsync(Stop));
            string label = (await client.ListModelsAsync(Stop))[0].Labels[0];
            var reader = await OmeZarrReader.OpenAsync(new FolderBlobStore(folder.File("result", "A", "2", "0")), Stop);
            Assert.Equal((await client.ReadAsync(id, "A/2/0", label, cancellationToken: Stop)).Pixels.ToArray(), await reader.ReadAsync(0, 0, new Tiling.Region(0, 0, 128, 128), Stop));
        }

        (exit, output, _) = await RunAsync(null, ["plate", "list", .. server]);
        Assert.Contains(output.Split('\n'), line => line.StartsWith(id + " complete ", StringComparison.Ordinal) && line.EndsWith(" My plate", StringComparison.Ordinal));
        Assert.Equal(0, exit);

        (exit, output, _) = await RunAsync(null, ["plate", "delete", id, .. server]);
        Assert.Equal((0, $"{id}: deleted\n"), (exit, output));
        (exit, output, _) = await RunAsync(null, ["plate", "list", .. server]);
        Assert.DoesNotContain(id, output, StringComparison.Ordinal);
        (exit, _, error) = await RunAsync(null, ["plate", "delete", id, .. server]);
        Assert.Equal((1, "There is no such plate."), (exit, error.Trim().Split(": ")[^1]));
    }

    [Fact]
    public async Task A_plate_of_a_share_is_submitted_cancelled_retried_and_watched_by_the_environments_server()
    {
        await served.StartAsync(Stop);
        string[] submit = ["plate", "submit", "share:plates/twelve", "--pattern", ServedFixture.Pattern, "--stride", "32", "--id", $"mine-{Guid.NewGuid()}", "--json"];
        var (exit, output, error) = await RunAsync(served, submit);
        Assert.True(exit == 0, $"{exit}: {error}");
        string id = JsonDocument.Parse(output).RootElement.GetProperty("plate").GetString()!;
        (exit, output, _) = await RunAsync(served, ["plate", "cancel", id]);
        Assert.Equal(0, exit);
        Assert.StartsWith($"{id}: cancelled, ", output, StringComparison.Ordinal);
        Assert.Equal(id, JsonDocument.Parse((await RunAsync(served, submit)).Output).RootElement.GetProperty("plate").GetString());
        (exit, output, _) = await RunAsync(served, [.. submit, "--weight", "7"]);
        Assert.Equal((1, $"The plate {id} was submitted with other settings. Give this one another id."),
            (exit, JsonDocument.Parse(output).RootElement.GetProperty("error").GetString()));
        (exit, output, _) = await RunAsync(served, ["plate", "watch", id]);
        Assert.Equal(1, exit);
        (exit, output, error) = await RunAsync(served, ["plate", "retry", id]);
        Assert.True(exit == 0 && output.Contains(" fields are stained again.", StringComparison.Ordinal), output + error);
        (exit, output, _) = await RunAsync(served, ["plate", "watch", id]);
        Assert.Equal((0, $"{id}: complete, 12 of 12 fields complete\n"), (exit, output));
    }

    [Theory]
    [InlineData(1, "There is no such plate.", "status", "0123456789abcdef0123456789abcdef")]
    [InlineData(1, "There is no source 'share:none'", "submit", "share:none")]
    [InlineData(1, "There is no folder", "submit", "/nowhere/at/all")]
    [InlineData(2, "A service reads uploads and its shares.", "submit", "azure://container/plate")]
    [InlineData(2, "--output is not for --server", "submit", "share:plates/three", "-o", "out")]
    [InlineData(2, "--id is for upload:ID", "submit", "here", "--id", "x")]
    [InlineData(2, "Give --server or --redis, not both.", "list", "--server", "http://127.0.0.1:1", "--redis", "127.0.0.1:1")]
    [InlineData(2, "--server 'nowhere' is no address.", "list", "--server", "nowhere")]
    [InlineData(2, "cannot be read", "list", "--key-file", "/nowhere/key")]
    [InlineData(1, "There is no such plate.", "fetch", "0123456789abcdef0123456789abcdef", "-o", "/nowhere/at/all")]
    public async Task What_is_wrong_is_told_in_one_line(int exit, string said, params string[] arguments)
    {
        await served.StartAsync(Stop);
        var ended = await RunAsync(served, ["plate", .. arguments]);
        Assert.Equal(exit, ended.Exit);
        Assert.Contains(said, Assert.Single(ended.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrong_key_is_told_and_not_shown()
    {
        await served.StartAsync(Stop);
        await File.WriteAllTextAsync(folder.File("key"), "sgk_wrong", Stop);
        var (exit, output, error) = await RunAsync(served, ["plate", "list", "--key-file", folder.File("key")]);
        Assert.Equal((1, ""), (exit, output));
        Assert.Contains("Sign in", error, StringComparison.Ordinal);
        Assert.DoesNotContain("sgk_wrong", error, StringComparison.Ordinal);
    }

    private static async Task<(int Exit, string Output, string Error)> RunAsync(ServedFixture? environment, string[] arguments)
    {
        var info = ServedFixture.Command(arguments);
        (info.RedirectStandardOutput, info.RedirectStandardError) = (true, true);
        (info.Environment["STAINGRID_SERVER"], info.Environment["STAINGRID_API_KEY"]) = (environment?.Address.AbsoluteUri, environment?.Key);
        using var process = Process.Start(info)!;
        var output = process.StandardOutput.ReadToEndAsync(Stop);
        var error = process.StandardError.ReadToEndAsync(Stop);
        await process.WaitForExitAsync(Stop);
        return (process.ExitCode, await output, await error);
    }
}

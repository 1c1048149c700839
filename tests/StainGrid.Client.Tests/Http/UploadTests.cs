using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using StainGrid.Contracts;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

public sealed class UploadTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_folder_arrives_whole_though_connections_drop_and_answers_are_lost()
    {
        var random = new Random(2);
        var contents = new Dictionary<string, byte[]>();
        foreach (var (name, length) in new[] { ("A1 ü.png", 1), ("A2.tif", 20_000_000), ("A3.TIFF", 8 << 20), ("plate.csv", 5000) })
        {
            random.NextBytes(contents[name] = new byte[length]);
            await File.WriteAllBytesAsync(folder.File(name), contents[name], Stop);
        }

        await File.WriteAllTextAsync(folder.File("notes.txt"), "not an image", Stop);
        var tus = new TusServer { Faulty = true };
        await using var server = await TestServer.StartAsync(tus.AnswerAsync);
        using var client = server.Client(new HttpStainGridOptions { ApiKey = "sgk_k", Patience = TimeSpan.FromSeconds(30) });
        var told = new Told();
        string id = await client.UploadAsync(folder.Path, told, Stop);
        Assert.Equal(tus.Id, id);
        Assert.Equal(contents.Keys.Order(), tus.Files.Keys.Order());
        Assert.All(contents, file => Assert.Equal(file.Value, tus.Files[file.Key].Data.ToArray()));
        Assert.True(tus.Cut >= 2 && tus.Lost >= 2, $"Only {tus.Cut} pieces were cut and {tus.Lost} answers lost.");
        long total = contents.Values.Sum(content => content.Length);
        Assert.Equal(new UploadProgress(total, total, 4, 4), told.Seen[^1]);
        Assert.Equal(told.Seen.Select(one => one.Bytes).Order(), told.Seen.Select(one => one.Bytes));
        Assert.All(server.Requests.Skip(1), request => Assert.Equal("1.0.0", request.Headers["Tus-Resumable"]));
        Assert.All(server.Requests, request => Assert.Equal("Bearer sgk_k", request.Headers["Authorization"]));
    }

    [Fact]
    public async Task A_cancelled_upload_is_dropped()
    {
        await File.WriteAllBytesAsync(folder.File("a.png"), new byte[20_000_000], Stop);
        var tus = new TusServer();
        await using var server = await TestServer.StartAsync(tus.AnswerAsync);
        using var client = server.Client();
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.UploadAsync(folder.Path, new Told { Then = cancel.Cancel }, cancel.Token));
        Assert.True(tus.Dropped);
    }

    [Fact]
    public async Task What_cannot_be_uploaded_is_told_before_anything_is()
    {
        await using var server = await TestServer.StartAsync((context, _) => TestServer.ProblemAsync(context, 500, "unavailable"));
        using var client = server.Client(new HttpStainGridOptions { Patience = TimeSpan.Zero });
        await RefusedAsync(folder.File("nowhere"), "There is no folder");
        await RefusedAsync(folder.Path, "has no files of the kinds .png, .tif");
        Directory.CreateDirectory(folder.File("sub"));
        await File.WriteAllTextAsync(folder.File("sub", "b.png"), "x", Stop);
        await RefusedAsync(folder.Path, "in folders below, as sub/b.png");
        await File.WriteAllTextAsync(folder.File("sub", "c.png"), "", Stop);
        await RefusedAsync(folder.File("sub"), "c.png is empty");
        File.Delete(folder.File("sub", "c.png"));
        Assert.Empty(server.Requests);
        UploadFile[] twice = [new("b.png", folder.File("sub", "b.png")), new("b.png", folder.File("sub", "b.png"))];
        Assert.Contains("twice", (await Assert.ThrowsAsync<StainGridException>(() => client.UploadAsync(twice, null, Stop))).Message, StringComparison.Ordinal);

        async Task RefusedAsync(string path, string said)
        {
            var refused = await Assert.ThrowsAsync<StainGridException>(() => client.UploadAsync(path, null, Stop));
            Assert.Equal(StainGridError.Refused, refused.Error);
            Assert.Contains(said, refused.Message, StringComparison.Ordinal);
        }
    }

    private sealed class Told : IProgress<UploadProgress>
    {
        public List<UploadProgress> Seen { get; } = [];

        public Action? Then { get; init; }

        public void Report(UploadProgress value)
        {
            Seen.Add(value);
            Then?.Invoke();
        }
    }

    /// <summary>The protocol's rules over files in memory, with connections that break.</summary>
    private sealed class TusServer
    {
        private int pieces;

        public string Id { get; } = ServiceId.New();

        public bool Faulty { get; init; }

        public ConcurrentDictionary<string, (long Length, MemoryStream Data)> Files { get; } = new();

        public int Cut { get; private set; }

        public int Lost { get; private set; }

        public bool Dropped { get; private set; }

        public async Task AnswerAsync(HttpContext context, int number)
        {
            string[] path = [.. context.Request.Path.Value!.Trim('/').Split('/')];
            switch (context.Request.Method, path.Length)
            {
                case ("POST", 2):
                    await TestServer.JsonAsync(context, new { id = Id });
                    break;
                case ("DELETE", 3):
                    Dropped = true;
                    break;
                case ("POST", 4):
                    string[] metadata = context.Request.Headers["Upload-Metadata"].ToString().Split(' ');
                    Assert.Equal("filename", metadata[0]);
                    long length = long.Parse(context.Request.Headers["Upload-Length"].ToString(), CultureInfo.InvariantCulture);
                    Files.TryAdd(Encoding.UTF8.GetString(Convert.FromBase64String(metadata[1])), (length, new MemoryStream()));
                    context.Response.StatusCode = 201;
                    if (Faulty && number % 3 == 1)
                        context.Abort();
                    break;
                case ("HEAD", 5):
                    context.Response.Headers["Upload-Offset"] = Files[path[4]].Data.Length.ToString(CultureInfo.InvariantCulture);
                    break;
                case ("PATCH", 5):
                    await PatchAsync(context, Files[path[4]]);
                    break;
                default:
                    await TestServer.ProblemAsync(context, 404, "not_found");
                    break;
            }
        }

        private async Task PatchAsync(HttpContext context, (long Length, MemoryStream Data) file)
        {
            Assert.Equal("application/offset+octet-stream", context.Request.ContentType);
            int piece = Interlocked.Increment(ref pieces) % 3;
            if (context.Request.Headers["Upload-Offset"] != file.Data.Length.ToString(CultureInfo.InvariantCulture))
            {
                await TestServer.ProblemAsync(context, 409, "conflict");
                return;
            }

            if (Faulty && piece == 0)
            {
                byte[] some = new byte[100_000];
                file.Data.Write(some, 0, await context.Request.Body.ReadAtLeastAsync(some, some.Length, throwOnEndOfStream: false, context.RequestAborted));
                Cut++;
                context.Abort();
                return;
            }

            await context.Request.Body.CopyToAsync(file.Data, context.RequestAborted);
            if (Faulty && piece == 1)
            {
                Lost++;
                context.Abort();
                return;
            }

            context.Response.StatusCode = 204;
            context.Response.Headers["Upload-Offset"] = file.Data.Length.ToString(CultureInfo.InvariantCulture);
        }
    }
}

using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Client.Tests;

public sealed class ResultTests : IDisposable
{
    private const string Id = "0123456789abcdef0123456789abcdef";

    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_file_comes_as_it_is_read()
    {
        var read = new TaskCompletionSource();
        await using var server = await TestServer.StartAsync(async (context, _) =>
        {
            await TestServer.SendAsync(context, "first");
            await read.Task.WaitAsync(context.RequestAborted);   // a client that waits for all would wait for ever
            await TestServer.SendAsync(context, "second");
        });
        using var client = server.Client();
        await using var stream = await client.OpenAsync(Id, "B/7/0/.zattrs", Stop);
        byte[] bytes = new byte[5];
        await stream.ReadExactlyAsync(bytes, Stop);
        Assert.Equal("first"u8.ToArray(), bytes);
        read.SetResult();
        using var rest = new StreamReader(stream);
        Assert.Equal("second", await rest.ReadToEndAsync(Stop));
        Assert.Equal($"/v1/plates/{Id}/zarr/B/7/0/.zattrs", server.Requests.Single().Target);
    }

    [Fact]
    public async Task A_file_whose_connection_is_cut_goes_on_behind_the_last_byte()
    {
        byte[] content = new byte[300_000];
        int read = 0;
        new Random(1).NextBytes(content);
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            int from = 0;
            context.Response.Headers.ETag = "\"v1\"";
            if (context.Request.Headers.Range.FirstOrDefault() is { } range)
            {
                Assert.Equal("\"v1\"", context.Request.Headers.IfRange);
                from = int.Parse(range["bytes=".Length..^1], System.Globalization.CultureInfo.InvariantCulture);
                context.Response.StatusCode = 206;
                context.Response.Headers.ContentRange = $"bytes {from}-{content.Length - 1}/{content.Length}";
            }

            context.Response.ContentLength = content.Length - from;
            int count = number < 2 ? 100_000 : content.Length - from;
            await context.Response.Body.WriteAsync(content.AsMemory(from, count), context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
            if (number < 2)
            {
                while (Volatile.Read(ref read) < from + count)
                    await Task.Delay(10, context.RequestAborted);
                context.Abort();
            }
        });
        using var client = server.Client();
        await using var stream = await client.OpenAsync(Id, "big", Stop);
        byte[] all = new byte[content.Length + 1];
        for (int count; (count = await stream.ReadAsync(all.AsMemory(read), Stop)) > 0;)
            Volatile.Write(ref read, read + count);
        Assert.Equal(content, all[..read]);
        Assert.Equal(3, server.Requests.Count);
        Assert.Equal(["bytes=100000-", "bytes=200000-"], server.Requests.Skip(1).Select(request => request.Headers["Range"]));
    }

    [Fact]
    public async Task A_file_that_was_written_again_meanwhile_is_not_mixed()
    {
        var read = new TaskCompletionSource();
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            context.Response.Headers.ETag = $"\"v{number}\"";
            context.Response.ContentLength = 10;
            await TestServer.SendAsync(context, number == 0 ? "aaaaa" : "bbbbbbbbbb");
            if (number > 0)
                return;
            await read.Task.WaitAsync(context.RequestAborted);
            context.Abort();
        });
        using var client = server.Client();
        await using var stream = await client.OpenAsync(Id, "file", Stop);
        byte[] bytes = new byte[10];
        await stream.ReadExactlyAsync(bytes.AsMemory(0, 5), Stop);
        read.SetResult();
        var thrown = await Assert.ThrowsAsync<IOException>(() => stream.ReadExactlyAsync(bytes, Stop).AsTask());
        Assert.Equal(StainGridError.Refused, Assert.IsType<StainGridException>(thrown.InnerException).Error);
    }

    [Fact]
    public async Task A_label_is_read_as_an_array_though_connections_drop()
    {
        ushort[] pixels = [.. Enumerable.Range(0, 300 * 200).Select(i => (ushort)(i * 31))];
        var store = new FolderBlobStore(folder.Path);
        var image = new OmeZarrImage("field", 300, 200, [new("FIRST", "FF0000", 0, 65_535, 0, 65_535, true)]) { ChunkSize = 128 };
        await WriteAsync(store.Within("B/7/0"), image, pixels);
        await using var server = await TestServer.StartAsync(async (context, number) =>
        {
            if (context.Request.Path == $"/v1/plates/{Id}")
            {
                await TestServer.JsonAsync(context, new PlateStatus { PlateId = Id, State = PlateState.Complete });
                return;
            }

            string file = folder.File(context.Request.Path.Value![$"/v1/plates/{Id}/zarr/".Length..]);
            if (!File.Exists(file))
            {
                await TestServer.ProblemAsync(context, 404, "not_found");
                return;
            }

            byte[] data = await File.ReadAllBytesAsync(file, context.RequestAborted);
            context.Response.ContentLength = data.Length;
            await context.Response.Body.WriteAsync(data.AsMemory(0, number % 3 == 1 ? data.Length / 2 : data.Length), context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
            if (number % 3 == 1)
                context.Abort();
        });
        using var client = server.Client();
        var read = await client.ReadAsync(Id, "B/7/0", "FIRST", cancellationToken: Stop);
        Assert.Equal((300, 200), (read.Width, read.Height));
        Assert.Equal(pixels, read.Pixels.ToArray());
        foreach (var (path, channel, level) in new[] { ("B/7/0", "SECOND", 0), ("B/7/1", "FIRST", 0), ("B/7/0", "FIRST", 9), ("../x", "FIRST", 0) })
            Assert.Equal(StainGridError.NotFound, (await Assert.ThrowsAsync<StainGridException>(() => client.ReadAsync(Id, path, channel, level, Stop))).Error);
    }

    [Fact]
    public async Task The_store_over_HTTP_reads_and_does_nothing_else()
    {
        await using var server = await TestServer.StartAsync((context, _) => context.Request.Path.Value!.EndsWith("/there", StringComparison.Ordinal)
            ? context.Request.Method == "HEAD" ? Task.CompletedTask : TestServer.RawAsync(context, 200, "application/octet-stream", "four")
            : TestServer.ProblemAsync(context, 404, "not_found"));
        using var http = new HttpClient { BaseAddress = server.Address };
        var store = new HttpResultStore(new HttpExchange(http, new HttpStainGridOptions()), Id);
        Assert.Equal((true, false), (await store.ExistsAsync("there", Stop), await store.ExistsAsync("gone", Stop)));
        Assert.Equal("four"u8.ToArray(), (await store.ReadBlobAsync("there", 4, Stop))!.Data.ToArray());
        Assert.Null(await store.ReadBlobAsync("gone", 4, Stop));
        Assert.Equal(StainGridError.Refused, (await Assert.ThrowsAsync<StainGridException>(() => store.ReadBlobAsync("there", 3, Stop))).Error);
        await Assert.ThrowsAsync<NotSupportedException>(() => store.WriteAsync("there", default, Stop));
        await Assert.ThrowsAsync<NotSupportedException>(() => store.WriteIfAsync("there", default, null, Stop));
        await Assert.ThrowsAsync<NotSupportedException>(() => store.DeleteAsync("there", null, Stop));
    }

    private static async Task WriteAsync(IBlobStore store, OmeZarrImage image, ushort[] pixels)
    {
        var writer = new OmeZarrWriter(store, image);
        await writer.WriteArrayMetadataAsync(Stop);
        int side = image.ChunkSize;
        var (rows, columns) = image.ChunkGrid(0);
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                ushort[] chunk = new ushort[side * side];
                for (int y = row * side; y < Math.Min(image.Height, (row + 1) * side); y++)
                {
                    int x = column * side, width = Math.Min(side, image.Width - x);
                    pixels.AsSpan((y * image.Width) + x, width).CopyTo(chunk.AsSpan((y - (row * side)) * side));
                }

                await writer.WriteChunkAsync(0, 0, row, column, chunk, Stop);
            }
        }

        await writer.BuildPyramidAsync(cancellationToken: Stop);
        await writer.CompleteAsync(Stop);
    }
}

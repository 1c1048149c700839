using System.Buffers;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;

namespace StainGrid.Client;

/// <summary>Uploads files by tus 1.0 (https://tus.io/protocols/resumable-upload): after a lost connection each goes on where the service says that it is.</summary>
internal sealed class Uploader
{
    private const int Piece = 8 << 20, AtOnce = 3;
    private const string Tus = "Tus-Resumable", TusVersion = "1.0.0", OffsetHeader = "Upload-Offset";

    private static readonly TimeSpan PieceTime = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan DropTime = TimeSpan.FromSeconds(10);
    private static readonly string[] s_kinds = [".png", ".tif", ".tiff", ".csv", ".json"];

    private readonly HttpExchange exchange;
    private readonly IReadOnlyList<(UploadFile File, long Length)> files;
    private readonly IProgress<UploadProgress>? progress;
    private readonly Lock reporting = new();
    private UploadProgress done;

    private Uploader(HttpExchange exchange, IReadOnlyList<UploadFile> files, IProgress<UploadProgress>? progress)
    {
        (this.exchange, this.progress) = (exchange, progress);
        this.files = [.. files.Select(file => (file, LengthOf(file)))];
        done = new UploadProgress(0, this.files.Sum(file => file.Length), 0, this.files.Count);
    }

    /// <summary>The files of a folder that the service takes.</summary>
    /// <exception cref="StainGridException">There are none, or some are in folders below.</exception>
    public static IReadOnlyList<UploadFile> In(string folder)
    {
        if (!Directory.Exists(folder))
            throw new StainGridException(StainGridError.Refused, $"There is no folder {folder}. Check the path.");
        string? below = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).FirstOrDefault(path => IsKind(path) && Path.GetDirectoryName(path) != Path.TrimEndingDirectorySeparator(folder));
        if (below is not null)
            throw new StainGridException(StainGridError.Refused, $"{folder} has images in folders below, as {Path.GetRelativePath(folder, below)}, which are not uploaded. Give the folder that has the images.");
        UploadFile[] files = [.. Directory.EnumerateFiles(folder).Where(path => IsKind(path) && Path.GetFileName(path)[0] != '.')
            .Select(path => new UploadFile(Path.GetFileName(path), path)).OrderBy(file => file.Name, StringComparer.Ordinal)];
        return files.Length > 0 ? files : throw new StainGridException(StainGridError.Refused, $"{folder} has no files of the kinds {string.Join(", ", s_kinds)}. Check the path.");
    }

    /// <summary>Uploads files.</summary>
    /// <returns>The upload's id.</returns>
    public static async Task<string> RunAsync(HttpExchange exchange, IReadOnlyList<UploadFile> files, IProgress<UploadProgress>? progress, CancellationToken cancellationToken)
    {
        if (files.Count == 0)
            throw new StainGridException(StainGridError.Refused, "There are no files to upload.");
        if (files.GroupBy(file => file.Name, StringComparer.Ordinal).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new StainGridException(StainGridError.Refused, $"{twice.Key} is there twice. Give each file a name of its own.");
        var uploader = new Uploader(exchange, files, progress);
        var upload = await exchange.PostAsync<Upload>("v1/uploads", null, null, null, cancellationToken);
        if (!Contracts.ServiceId.IsValid(upload.Id))
            throw new StainGridException(StainGridError.Refused, $"{exchange.Server} does not answer as StainGrid does: an upload has no id.");
        try
        {
            await Parallel.ForEachAsync(uploader.files, new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
                async (file, stop) => await uploader.FileAsync(upload.Id, file.File, file.Length, stop));
            return upload.Id;
        }
        catch
        {
            await uploader.DropAsync(upload.Id);
            throw;
        }
    }

    private async Task FileAsync(string upload, UploadFile file, long length, CancellationToken cancellationToken)
    {
        string address = $"v1/uploads/{upload}/files/{Uri.EscapeDataString(file.Name)}";

        // A file that was begun although the answer was lost is begun again with the same name and length, which changes nothing.
        await exchange.AskAsync(() => Request(HttpMethod.Post, $"v1/uploads/{upload}/files", request =>
        {
            request.Headers.Add("Upload-Length", length.ToString(CultureInfo.InvariantCulture));
            request.Headers.Add("Upload-Metadata", "filename " + Convert.ToBase64String(Encoding.UTF8.GetBytes(file.Name)));
        }), (_, _) => Task.FromResult(true), null, cancellationToken);
        await using var content = Open(file);
        byte[] piece = ArrayPool<byte>.Shared.Rent((int)Math.Min(Piece, length));
        try
        {
            long offset = 0;
            for (var retry = new Retry(exchange.Options.Patience); offset < length;)
            {
                int count = await FillAsync(content, file, piece, offset, (int)Math.Min(Piece, length - offset), cancellationToken);
                long next;
                try
                {
                    next = await exchange.OnceAsync(() => Request(HttpMethod.Patch, address, request =>
                    {
                        request.Headers.Add(OffsetHeader, offset.ToString(CultureInfo.InvariantCulture));
                        request.Content = new ByteArrayContent(piece, 0, count);
                        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/offset+octet-stream");
                    }), (response, _) => Task.FromResult(OffsetOf(response, length)), PieceTime, cancellationToken);
                    retry.Succeeded();
                }
                catch (StainGridException e) when ((HttpExchange.IsTransient(e) || e.Error == StainGridError.Conflict) && retry.Next(e.RetryAfter) is { } delay)
                {
                    // A conflict is a piece that came although its answer was lost, or that is still being written.
                    await Task.Delay(delay, cancellationToken);
                    next = await exchange.AskAsync(() => Request(HttpMethod.Head, address), (response, _) => Task.FromResult(OffsetOf(response, length)), null, cancellationToken);
                }

                Report(next - offset, 0);
                offset = next;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }

        Report(0, 1);
    }

    // Nobody would use what is half there.
    private async Task DropAsync(string upload)
    {
        using var limit = new CancellationTokenSource(DropTime);
        try
        {
            await exchange.OnceAsync(() => Request(HttpMethod.Delete, $"v1/uploads/{upload}"), (_, _) => Task.FromResult(true), DropTime, limit.Token);
        }
        catch (Exception e) when (e is StainGridException or OperationCanceledException)
        {
            // The service drops what nobody adds to, in time.
        }
    }

    private void Report(long bytes, int wholeFiles)
    {
        lock (reporting)
        {
            done = done with { Bytes = done.Bytes + bytes, Files = done.Files + wholeFiles };
            progress?.Report(done);
        }
    }

    private static HttpRequestMessage Request(HttpMethod method, string address, Action<HttpRequestMessage>? more = null)
    {
        var request = new HttpRequestMessage(method, address) { Headers = { { Tus, TusVersion } } };
        more?.Invoke(request);
        return request;
    }

    private static long OffsetOf(HttpResponseMessage response, long length) =>
        response.Headers.TryGetValues(OffsetHeader, out var values) && long.TryParse(values.First(), NumberStyles.None, CultureInfo.InvariantCulture, out long offset) && offset <= length
            ? offset
            : throw new InvalidDataException($"an upload's {OffsetHeader} is missing or wrong.");

    private static long LengthOf(UploadFile file)
    {
        using var content = Open(file);
        return content.Length > 0 ? content.Length : throw new StainGridException(StainGridError.Refused, $"{file.Path} is empty. Copy it again.");
    }

    private static FileStream Open(UploadFile file)
    {
        try
        {
            return new FileStream(file.Path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, useAsync: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StainGridException(StainGridError.Refused, $"{file.Path} cannot be read: {e.Message}", e);
        }
    }

    private static async Task<int> FillAsync(FileStream content, UploadFile file, byte[] piece, long offset, int count, CancellationToken cancellationToken)
    {
        try
        {
            content.Position = offset;
            await content.ReadExactlyAsync(piece.AsMemory(0, count), cancellationToken);
            return count;
        }
        catch (IOException e)
        {
            throw new StainGridException(StainGridError.Refused, $"{file.Path} cannot be read, or became shorter while it was uploaded: {e.Message} Upload it again.", e);
        }
    }

    private static bool IsKind(string path) => s_kinds.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase);

    private sealed record Upload(string Id);
}

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>The names of a result's files.</summary>
internal sealed record ResultFiles(IReadOnlyList<string> Files);

/// <summary>What a plate's result and its input are, as OME-Zarr.</summary>
internal static class ResultEndpoints
{
    private const long LargestFile = 64L << 20;
    private const int MostFiles = 1000;

    public static void Map(IEndpointRouteBuilder app)
    {
        var read = app.MapGroup("/v1/plates/{id}").RequireAuthorization(nameof(ServiceRole.Read)).WithTags("results");
        read.MapGet("/files", async (string id, string? prefix, string? after, TenantClients clients, HttpContext context) =>
            {
                var store = await clients.Of(context).ResultAsync(id, context.RequestAborted);
                var files = new List<string>();
                await foreach (string key in store.ListAsync(CheckedPrefix(prefix), context.RequestAborted))
                {
                    if (IsShown(key) && (after is null || string.CompareOrdinal(key, after) > 0))
                        files.Add(key);
                    if (files.Count == MostFiles)
                        break;
                }

                return TypedResults.Ok(new ResultFiles(files));
            })
            .WithName("list-files").WithSummary("The names of the result's files, a thousand at a time, in ordinal order; after is the last one of the page before.");
        read.MapMethods("/zarr/{**path}", [HttpMethods.Get, HttpMethods.Head], async (string id, string path, TenantClients clients, HttpContext context) =>
            {
                var store = await clients.Of(context).ResultAsync(id, context.RequestAborted);
                return IsShown(path) && await ReadAsync(store, path, context.RequestAborted) is { } blob
                    ? TypedResults.Bytes(blob.Data, TypeOf(path), enableRangeProcessing: true, entityTag: TagOf(blob.ETag))
                    : Problems.Of(StatusCodes.Status404NotFound, "There is no such file in the result.");
            })
            .WithName("get-result").WithSummary("A file of the result, an OME-Zarr 0.4 HCS plate.").Produces(StatusCodes.Status200OK, contentType: "application/octet-stream");
        read.MapMethods("/input/{row}/{column:int}/{field:int}/{**path}", [HttpMethods.Get, HttpMethods.Head],
            async (string id, string row, int column, int field, string path, TenantClients clients, InputImages inputs, HttpContext context) =>
            {
                string fieldPath = FormattableString.Invariant($"{row}/{column}/{field}");
                var input = await clients.Of(context).GetInputAsync(id, fieldPath, context.RequestAborted);
                return input is not null && await inputs.ReadAsync($"{Caller.Of(context.User).Tenant}/{id}/{fieldPath}", input, path, context.RequestAborted) is { } bytes
                    ? TypedResults.Bytes(bytes, TypeOf(path), enableRangeProcessing: true)
                    : Problems.Of(StatusCodes.Status404NotFound, "There is no such field, or no such file in its image.");
            })
            .WithName("get-input").WithSummary("A file of a field's input as an OME-Zarr 0.4 image.").Produces(StatusCodes.Status200OK, contentType: "application/octet-stream");
    }

    // The grains' state may stand in the store of a plate that ran on an embedded silo.
    private static bool IsShown(string key) => !key.Split('/').Any(part => part.StartsWith(".staingrid", StringComparison.Ordinal));

    private static string CheckedPrefix(string? prefix) =>
        prefix is null ? "" : prefix.Length <= 200 && !prefix.Contains("..", StringComparison.Ordinal) && !prefix.StartsWith('/') && prefix.All(c => !char.IsControl(c) && c is not ('\\' or ':'))
            ? prefix : throw new StainGridException(StainGridError.Refused, "prefix is the start of a file's name.");

    private static async Task<Blob?> ReadAsync(IBlobStore store, string key, CancellationToken cancellationToken)
    {
        try
        {
            return await store.ReadBlobAsync(key, LargestFile, cancellationToken);
        }
        catch (ArgumentException)
        {
            return null;   // no key of a store's
        }
        catch (BlobStoreException e)
        {
            throw new StainGridException(StainGridError.Unavailable, "The result's store does not answer. Ask again.", e);
        }
    }

    private static EntityTagHeaderValue? TagOf(string etag) =>
        EntityTagHeaderValue.TryParse(etag.StartsWith('"') ? etag : $"\"{etag}\"", out var tag) ? tag : null;

    private static string TypeOf(string path) => Path.GetExtension(path) switch
    {
        ".json" or ".zattrs" or ".zarray" or ".zgroup" => "application/json",
        ".csv" => "text/csv",
        _ => "application/octet-stream",
    };
}

/// <summary>The fields' inputs that callers look at: a few stay open.</summary>
internal sealed class InputImages(BlobFiles blobs) : IDisposable
{
    private const int MostOpen = 8;
    private const long MostPixels = 400_000_000;

    private readonly SemaphoreSlim opening = new(2);
    private readonly Lock gate = new();
    private readonly LinkedList<(string Name, Task<Opened> Image)> open = [];

    /// <summary>A file of a field's input, or null where there is none of this name.</summary>
    /// <exception cref="StainGridException">The input cannot be shown; the message says why.</exception>
    public async Task<byte[]?> ReadAsync(string name, FieldInput input, string path, CancellationToken cancellationToken)
    {
        try
        {
            Task<Opened> image;
            lock (gate)
            {
                var node = open.First;
                while (node is not null && (node.Value.Name != name || node.Value.Image.IsFaulted))
                    node = node.Next;
                image = node?.Value.Image ?? Task.Run(() => OpenAsync(input), CancellationToken.None);
                if (node is not null)
                    open.Remove(node);
                open.AddFirst((name, image));
                if (open.Count > MostOpen)
                {
                    Close(open.Last!.Value.Image);
                    open.RemoveLast();
                }
            }

            var opened = await image.WaitAsync(cancellationToken);
            return await opened.UseAsync(() => Task.Run(() => opened.Zarr.Read(path), cancellationToken));
        }
        catch (Exception e) when (e is ImageException or BlobStoreException)
        {
            throw new StainGridException(StainGridError.NotFound, $"The input cannot be shown: {e.Message}", e);
        }
    }

    public void Dispose()
    {
        foreach (var (_, image) in open)
            Close(image);
        opening.Dispose();
    }

    private static void Close(Task<Opened> image) => image.ContinueWith(
        done => done.Result.Release(), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);

    private async Task<Opened> OpenAsync(FieldInput input)
    {
        await opening.WaitAsync();
        try
        {
            var image = await ImageReader.OpenStackAsync(input.Files, blobs, limits: new ImageLimits { MaxPixels = MostPixels });
            try
            {
                return new Opened(image, new PlaneZarr(image, input.Plane ?? image.Info.Planes / 2, "input"));
            }
            catch
            {
                image.Dispose();
                throw;
            }
        }
        finally
        {
            opening.Release();
        }
    }

    // Closed when it is neither kept nor read.
    private sealed class Opened(SourceImage image, PlaneZarr zarr)
    {
        private int users = 1;

        public PlaneZarr Zarr => zarr;

        public async Task<byte[]?> UseAsync(Func<Task<byte[]?>> read)
        {
            if (Interlocked.Increment(ref users) == 1)
                throw new StainGridException(StainGridError.Unavailable, "The input was closed. Ask again.");
            try
            {
                return await read();
            }
            finally
            {
                Release();
            }
        }

        public void Release()
        {
            if (Interlocked.Decrement(ref users) == 0)
                image.Dispose();
        }
    }
}

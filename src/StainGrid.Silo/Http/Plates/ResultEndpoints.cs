using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;
using StainGrid.Client;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>The names of a result's files.</summary>
internal sealed record ResultFiles(IReadOnlyList<string> Files);

/// <summary>What a plate's result and its input are, as OME-Zarr.</summary>
internal static class ResultEndpoints
{
    private const long LargestFile = 64L << 20;
    private const int MostFiles = 1000;

    private static readonly SemaphoreSlim s_listings = new(2);

    public static void Map(IEndpointRouteBuilder app)
    {
        var read = app.MapGroup("/v1/plates/{id}").RequireAuthorization(nameof(ServiceRole.Read)).WithTags("results");
        read.MapGet("/files", async (string id, string? prefix, string? after, TenantClients clients, HttpContext context) =>
            {
                var store = await clients.Of(context).ResultAsync(id, context.RequestAborted);
                return TypedResults.Ok(new ResultFiles(await ListAsync(store, prefix ?? "", after, context.RequestAborted)));
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
                return input is not null && await inputs.ReadAsync($"{Caller.Of(context.User).Tenant}/{id}/{fieldPath}/{string.Join('|', input.Files)}", input, path, context.RequestAborted) is { } bytes
                    ? TypedResults.Bytes(bytes, TypeOf(path), enableRangeProcessing: true)
                    : Problems.Of(StatusCodes.Status404NotFound, "There is no such field, or no such file in its image.");
            })
            .WithName("get-input").WithSummary("A file of a field's input as an OME-Zarr 0.4 image.").Produces(StatusCodes.Status200OK, contentType: "application/octet-stream");
    }

    // The grains' state may stand in the store of a plate that ran on an embedded silo.
    private static bool IsShown(string key) => !key.Split('/').Any(part => part.StartsWith(".staingrid", StringComparison.Ordinal));

    // A store may look at every name for a page: a few at a time.
    private static async Task<List<string>> ListAsync(IBlobStore store, string prefix, string? after, CancellationToken cancellationToken)
    {
        if (!await s_listings.WaitAsync(TimeSpan.FromSeconds(5), cancellationToken))
            throw new StainGridException(StainGridError.Busy, "Many list files now. Ask again.") { RetryAfter = TimeSpan.FromSeconds(5) };
        try
        {
            var files = new List<string>();
            await foreach (string key in store.ListAsync(prefix, cancellationToken))
            {
                if (IsShown(key) && (after is null || string.CompareOrdinal(key, after) > 0))
                    files.Add(key);
                if (files.Count == MostFiles)
                    break;
            }

            return files;
        }
        catch (ArgumentException e)
        {
            throw new StainGridException(StainGridError.Refused, "prefix is the start of a file's name.", e);
        }
        finally
        {
            s_listings.Release();
        }
    }

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

using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;

namespace StainGrid.Silo.Http;

/// <summary>An upload that was begun.</summary>
/// <param name="Id">Its id: a plate's source is "upload:ID".</param>
internal sealed record UploadCreated(string Id);

/// <summary>An upload's files.</summary>
internal sealed record UploadFiles(IReadOnlyList<UploadedFile> Files);

/// <summary>Uploads, each file by tus 1.0 (tus.io: core protocol, creation, termination).</summary>
internal static class UploadEndpoints
{
    private const string Version = "1.0.0", Offset = "Upload-Offset", Length = "Upload-Length", Resumable = "Tus-Resumable";
    private const long LargestPiece = 1L << 30;

    public static void Map(IEndpointRouteBuilder app)
    {
        var uploads = app.MapGroup("/v1/uploads").RequireAuthorization(nameof(ServiceRole.Submit)).WithTags("uploads");
        uploads.MapPost("", (HttpContext context, UploadStore store) =>
        {
            string id = store.Create(Caller.Of(context.User).Tenant);
            return TypedResults.Created($"/v1/uploads/{id}", new UploadCreated(id));
        }).WithName("begin-upload").WithSummary("Begins an upload.");
        uploads.MapGet("/{id}", (string id, HttpContext context, UploadStore store) => TypedResults.Ok(new UploadFiles(store.List(Caller.Of(context.User).Tenant, id))))
            .WithName("get-upload").WithSummary("An upload's files and how far they are.");
        uploads.MapDelete("/{id}", (string id, HttpContext context, UploadStore store) =>
        {
            store.Delete(Caller.Of(context.User).Tenant, id);
            return TypedResults.NoContent();
        }).WithName("delete-upload").WithSummary("Drops an upload and its files.");
        uploads.MapPost("/{id}/files", (string id, HttpContext context, UploadStore store) =>
        {
            var request = context.Request;
            if (!long.TryParse(request.Headers[Length], NumberStyles.None, CultureInfo.InvariantCulture, out long length))
                throw new BadHttpRequestException($"{Length} is missing or not a number.");
            var file = store.Begin(Caller.Of(context.User).Tenant, id, NameOf(request.Headers["Upload-Metadata"].ToString()), length);
            Answer(context, file);
            return TypedResults.Created($"/v1/uploads/{id}/files/{Uri.EscapeDataString(file.Name)}");
        }).WithName("begin-file").WithSummary("Begins a file (tus 1.0 creation).");
        uploads.MapMethods("/{id}/files/{name}", [HttpMethods.Head], IResult (string id, string name, HttpContext context, UploadStore store) =>
        {
            if (store.Find(Caller.Of(context.User).Tenant, id, name) is not { } file)
                return TypedResults.NotFound();
            Answer(context, file);
            context.Response.Headers.CacheControl = "no-store";
            return TypedResults.Ok();
        }).WithName("get-file").WithSummary("How far a file is (tus 1.0).");
        uploads.MapPatch("/{id}/files/{name}", async (string id, string name, HttpContext context, UploadStore store, IHostApplicationLifetime host) =>
        {
            var request = context.Request;
            if (request.ContentType != "application/offset+octet-stream")
                return Problems.Of(StatusCodes.Status415UnsupportedMediaType, "The pieces of a file are of type application/offset+octet-stream.");
            if (!long.TryParse(request.Headers[Offset], NumberStyles.None, CultureInfo.InvariantCulture, out long offset))
                throw new BadHttpRequestException($"{Offset} is missing or not a number.");
            if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
                limit.MaxRequestBodySize = LargestPiece;
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, host.ApplicationStopping);   // it goes on at another silo
            long now = await store.AppendAsync(Caller.Of(context.User).Tenant, id, name, offset, request.Body, stop.Token);
            context.Response.Headers[Resumable] = Version;
            context.Response.Headers[Offset] = now.ToString(CultureInfo.InvariantCulture);
            return TypedResults.NoContent();
        }).WithName("add-to-file").WithSummary("Adds the next bytes to a file (tus 1.0).");
        uploads.MapDelete("/{id}/files/{name}", (string id, string name, HttpContext context, UploadStore store) =>
        {
            store.Delete(Caller.Of(context.User).Tenant, id, name);
            context.Response.Headers[Resumable] = Version;
            return TypedResults.NoContent();
        }).WithName("delete-file").WithSummary("Drops a file (tus 1.0 termination).");
    }

    private static void Answer(HttpContext context, UploadedFile file)
    {
        context.Response.Headers[Resumable] = Version;
        context.Response.Headers[Offset] = file.Offset.ToString(CultureInfo.InvariantCulture);
        context.Response.Headers[Length] = file.Length.ToString(CultureInfo.InvariantCulture);
    }

    // "filename BASE64,other BASE64"
    private static string NameOf(string metadata)
    {
        foreach (string[] pair in metadata.Split(',').Select(part => part.Trim().Split(' ')))
        {
            byte[] bytes = new byte[1024];
            if (pair is ["filename", var encoded] && Convert.TryFromBase64String(encoded, bytes, out int count))
                return Encoding.UTF8.GetString(bytes, 0, count);
        }

        throw new BadHttpRequestException("Upload-Metadata must have 'filename BASE64'.");
    }
}

using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;
using StainGrid.Client;
using StainGrid.Contracts;

namespace StainGrid.Silo.Http;

/// <summary>A failure as an answer: problem+json (RFC 9457) whose title is one line that says what to do.</summary>
internal sealed partial class Problems(ILogger<Problems> logger) : IExceptionHandler
{
    public static IResult Of(int status, string title) => TypedResults.Problem(
        title: title, statusCode: status, extensions: new Dictionary<string, object?> { ["code"] = CodeOf(status) });

    /// <inheritdoc/>
    public async ValueTask<bool> TryHandleAsync(HttpContext context, Exception exception, CancellationToken cancellationToken)
    {
        if (context.Response.HasStarted)
            return false;
        var (status, title) = exception switch
        {
            StainGridException e => (StatusOf(e.Error), e.Message),
            BadHttpRequestException e => (e.StatusCode, e.StatusCode == StatusCodes.Status413PayloadTooLarge ? "The body is larger than this service takes." : $"The request is not understood: {Reason(e)}"),
            OperationCanceledException when context.RequestAborted.IsCancellationRequested => (499, "The caller went away."),
            OperationCanceledException => (StatusCodes.Status503ServiceUnavailable, "This silo stops. Ask again."),
            Imaging.BlobStoreException or IOException or UnauthorizedAccessException => (StatusCodes.Status503ServiceUnavailable, "The service's store does not answer. Ask again."),
            Exception e when e.IsTransient(cancellationToken) => (StatusCodes.Status503ServiceUnavailable, "The cluster does not answer. Ask again."),
            _ => (StatusCodes.Status500InternalServerError, "The service failed; its log says why."),
        };
        if (status == StatusCodes.Status500InternalServerError || exception is Imaging.BlobStoreException or IOException or UnauthorizedAccessException)
            LogFailure(logger, exception, context.Request.Method, context.Request.Path);
        if (exception is StainGridException { RetryAfter: { } delay })
            context.Response.Headers.RetryAfter = Math.Ceiling(delay.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        else if (status == StatusCodes.Status503ServiceUnavailable)
            context.Response.Headers.RetryAfter = "1";
        await Of(status, title).ExecuteAsync(context);
        return true;
    }

    /// <summary>Gives answers that routing and access make, which have no body, one.</summary>
    public static void FillEmpty(IApplicationBuilder app) => app.UseStatusCodePages(context =>
    {
        int status = context.HttpContext.Response.StatusCode;
        string title = status switch
        {
            StatusCodes.Status401Unauthorized => "Sign in: send an API key or a token (Authorization: Bearer ..) that is valid.",
            StatusCodes.Status403Forbidden => "Your role does not allow this.",
            StatusCodes.Status404NotFound => "There is nothing here.",
            _ => ReasonPhrases.GetReasonPhrase(status),
        };
        return Of(status, title).ExecuteAsync(context.HttpContext);
    });

    private static string Reason(BadHttpRequestException exception) =>
        (exception.InnerException is System.Text.Json.JsonException json ? json.Message : exception.Message).Split('\n')[0];

    private static int StatusOf(StainGridError error) => error switch
    {
        StainGridError.Refused => StatusCodes.Status422UnprocessableEntity,
        StainGridError.NotFound => StatusCodes.Status404NotFound,
        StainGridError.Conflict => StatusCodes.Status409Conflict,
        StainGridError.Unauthenticated => StatusCodes.Status401Unauthorized,
        StainGridError.Forbidden => StatusCodes.Status403Forbidden,
        StainGridError.Busy => StatusCodes.Status429TooManyRequests,
        _ => StatusCodes.Status503ServiceUnavailable,
    };

    private static string CodeOf(int status) => status switch
    {
        StatusCodes.Status401Unauthorized => "unauthenticated",
        StatusCodes.Status403Forbidden => "forbidden",
        StatusCodes.Status404NotFound => "not_found",
        StatusCodes.Status409Conflict => "conflict",
        StatusCodes.Status413PayloadTooLarge => "too_large",
        StatusCodes.Status429TooManyRequests => "busy",
        >= 500 => "unavailable",
        _ => "refused",
    };

    [LoggerMessage(LogLevel.Error, "{Method} {Path} failed.")]
    private static partial void LogFailure(ILogger logger, Exception exception, string method, string path);
}

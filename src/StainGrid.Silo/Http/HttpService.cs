using System.Globalization;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Logging;
using Microsoft.OpenApi;
using Orleans.Dashboard;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;

namespace StainGrid.Silo.Http;

/// <summary>The HTTP API and the web page of a silo.</summary>
internal static class HttpService
{
    private const long LargestBody = 1 << 20;

    /// <summary>Adds what the service needs to its host.</summary>
    public static void Add(WebApplicationBuilder builder, HttpOptions options, IBlobStore state, string silo)
    {
        var services = builder.Services;
        builder.Logging
            .AddFilter("Microsoft.AspNetCore.Diagnostics.ExceptionHandlerMiddleware", LogLevel.None)   // Problems logs what matters
            .AddFilter("Microsoft.AspNetCore.DataProtection", LogLevel.Error);
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = LargestBody;
            kestrel.Limits.MaxConcurrentConnections = 10_000;
            kestrel.Listen(options.EndPoint, listen =>
            {
                if (options.Certificate is not null)
                    listen.UseHttps(https => Certify(https, options));
            });
        });
        services.AddSingleton(options);
        services.AddSingleton<TenantClients>();
        services.AddSingleton<InputImages>();
        services.AddSingleton(new UploadStore(options.Service.Uploads, options.LargestFile));
        services.AddSingleton(provider => new AuditLog(state.Within(RetentionOptions.AuditFolder), silo, provider.GetRequiredService<ILogger<AuditLog>>()));
        services.AddHostedService(provider => provider.GetRequiredService<AuditLog>());
        services.AddRouting();
        services.ConfigureHttpJsonOptions(json => StainGridJson.Configure(json.SerializerOptions));
        services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        services.AddExceptionHandler<Problems>();
        services.AddProblemDetails();
        services.AddAccess(options, state);
        services.AddRateLimiter(limiter => Limit(limiter, options));
        services.AddOpenApi("v1", openApi => openApi.AddDocumentTransformer(Describe).AddOperationTransformer((operation, context, _) =>
        {
            if (HttpMethods.IsHead(context.Description.HttpMethod ?? ""))
                operation.OperationId += "-head";   // an id is one operation's
            return Task.CompletedTask;
        }));
    }

    /// <summary>Maps the service's routes.</summary>
    public static void Map(WebApplication app, HttpOptions options)
    {
        if (options.TrustedProxies.Count > 0)
        {
            var forwarded = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto | ForwardedHeaders.XForwardedHost };
            forwarded.KnownProxies.Clear();
            forwarded.KnownIPNetworks.Clear();
            foreach (var proxies in options.TrustedProxies)
                forwarded.KnownIPNetworks.Add(proxies);
            app.UseForwardedHeaders(forwarded);
        }

        app.Use((context, next) =>
        {
            context.RequestServices.GetRequiredService<AuditLog>().Note(context);
            return next(context);
        });
        app.UseExceptionHandler();
        Problems.FillEmpty(app);
        app.Use((context, next) => GuardAsync(context, next, options));
        string page = Path.Combine(AppContext.BaseDirectory, "wwwroot");
        if (Directory.Exists(page))
        {
            var files = new PhysicalFileProvider(page);
            app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = files });
            app.UseStaticFiles(new StaticFileOptions
            {
                FileProvider = files,
                OnPrepareResponse = file => file.Context.Response.Headers.CacheControl = "no-cache",   // asked for by ETag: an upgrade is seen at once
            });
        }

        app.UseRouting();
        app.UseAuthentication();
        app.UseRateLimiter();
        app.UseAuthorization();
        SystemEndpoints.Map(app, options);
        PlateEndpoints.Map(app);
        ResultEndpoints.Map(app);
        UploadEndpoints.Map(app);
        app.MapOpenApi("/openapi/{documentName}.json").AllowAnonymous();
        app.MapOrleansDashboard("/dashboard").RequireAuthorization(AccessSetup.AllTenants).ExcludeFromDescription();
    }

    // What browsers could be led to do: pages of others may not ask in a user's name, and names of others do not stand for this machine.
    private static Task GuardAsync(HttpContext context, RequestDelegate next, HttpOptions options)
    {
        var (request, headers) = (context.Request, context.Response.Headers);
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers.XFrameOptions = "DENY";
        headers.ContentSecurityPolicy = request.Path.StartsWithSegments("/dashboard")
            ? "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
            : "default-src 'self'; img-src 'self' blob: data:; worker-src 'self' blob:; frame-ancestors 'none'";
        if (!options.RequireAuthentication && (request.Headers.ContainsKey("X-Forwarded-For") || request.Headers.ContainsKey("Forwarded")))
            return Problems.Of(StatusCodes.Status421MisdirectedRequest, "A proxy asks for others, but this service asks nobody who they are. Require authentication (--auth true).").ExecuteAsync(context);
        if (!options.RequireAuthentication && !(request.Host.Host == "localhost" || (IPAddress.TryParse(request.Host.Host.Trim('[', ']'), out var host) && IPAddress.IsLoopback(host))))
            return Problems.Of(StatusCodes.Status421MisdirectedRequest, "This service is for this machine alone: ask it as 127.0.0.1 or localhost.").ExecuteAsync(context);
        bool changes = !HttpMethods.IsGet(request.Method) && !HttpMethods.IsHead(request.Method) && !HttpMethods.IsOptions(request.Method);
        if (changes && request.Headers.Origin is [{ } origin] && !(Uri.TryCreate(origin, UriKind.Absolute, out var uri) && uri.Authority.Equals(request.Host.Value, StringComparison.OrdinalIgnoreCase)))
            return Problems.Of(StatusCodes.Status403Forbidden, "A page of another site asks for this.").ExecuteAsync(context);
        return next(context);
    }

    private static void Limit(RateLimiterOptions limiter, HttpOptions options)
    {
        limiter.RejectionStatusCode = StatusCodes.Status429TooManyRequests;
        limiter.GlobalLimiter = PartitionedRateLimiter.CreateChained(
            PartitionedRateLimiter.Create<HttpContext, string>(context => context.Request.Path == "/health/live" ? RateLimitPartition.GetNoLimiter("live") : RateLimitPartition.GetTokenBucketLimiter(Who(context), _ => new TokenBucketRateLimiterOptions
            {
                TokenLimit = 4 * options.RequestsPerSecond,
                TokensPerPeriod = options.RequestsPerSecond,
                ReplenishmentPeriod = TimeSpan.FromSeconds(1),
                QueueLimit = 0,
            })),
            PartitionedRateLimiter.Create<HttpContext, string>(context => RateLimitPartition.GetConcurrencyLimiter(Who(context), _ => new ConcurrencyLimiterOptions
            {
                PermitLimit = options.ConcurrentRequests,
                QueueLimit = 0,
            })));
        limiter.OnRejected = async (rejected, _) =>
        {
            int seconds = rejected.Lease.TryGetMetadata(MetadataName.RetryAfter, out var after) ? Math.Max(1, (int)Math.Ceiling(after.TotalSeconds)) : 1;
            rejected.HttpContext.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
            await Problems.Of(StatusCodes.Status429TooManyRequests, "You ask too often, or too much at once. Ask again later.").ExecuteAsync(rejected.HttpContext);
        };

        static string Who(HttpContext context) => Caller.Find(context.User)?.Id ?? $"address:{context.Connection.RemoteIpAddress}";
    }

    // With what stands behind the certificate in its file, so that callers need not know its issuers.
    private static void Certify(HttpsConnectionAdapterOptions https, HttpOptions options)
    {
        using var own = X509Certificate2.CreateFromPemFile(options.Certificate!, options.CertificateKey);
        https.ServerCertificate = X509CertificateLoader.LoadPkcs12(own.Export(X509ContentType.Pkcs12), null);
        https.ServerCertificateChain = [];
        https.ServerCertificateChain.ImportFromPemFile(options.Certificate!);
        https.ServerCertificateChain.RemoveAt(0);
    }

    private static Task Describe(OpenApiDocument document, OpenApiDocumentTransformerContext context, CancellationToken cancellationToken)
    {
        document.Info = new OpenApiInfo { Title = "StainGrid", Version = "v1", Description = "Virtual staining of plates. Failures are application/problem+json, with a code." };
        document.Servers = [];
        document.Components ??= new OpenApiComponents();
        document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
        {
            ["bearer"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", Description = "An API key, or a token of the OIDC provider." },
        };
        document.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("bearer", document)] = [] }];
        return Task.CompletedTask;
    }
}

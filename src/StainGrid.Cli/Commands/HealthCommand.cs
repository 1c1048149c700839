using System.CommandLine;
using System.Globalization;
using System.Net;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>`staingrid health`.</summary>
internal static class HealthCommand
{
    private const string Monitoring = "STAINGRID_MONITORING", Http = "STAINGRID_HTTP", Certificate = "STAINGRID_TLS_CERTIFICATE";

    public static Command Create()
    {
        var url = new Argument<string?>("URL")
        {
            Description = $"The service or silo, as http://127.0.0.1:9464. Default: where {Monitoring} or else {Http} says that this machine's listens, or else http://{ServeCommand.DefaultAddress}.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var ready = new Option<bool>("--ready") { Description = "Ask whether it takes work (/health/ready), not only whether it lives (/health/live)." };
        var timeout = new Option<int>("--timeout") { Description = "How long to wait for the answer.", HelpName = "SECONDS", DefaultValueFactory = _ => 5 };
        var command = new Command("health",
            """
            Ask a running service or silo how it is, for health checks where there is no curl. Prints one line.

              staingrid health                                  what runs on this machine, as a container's health check
              staingrid health --ready http://10.0.0.7:9464     a silo's --monitoring

            Exit codes: 0 it is well; 1 it is not, or does not answer; 2 the command line is wrong.
            """)
        {
            url, ready, timeout,
        };
        command.Runs(async (parsed, cancellationToken) =>
        {
            string path = parsed.GetValue(ready) ? "/health/ready" : "/health/live";
            int seconds = parsed.GetValue(timeout);
            if (seconds is < 1 or > 600)
                throw new ArgumentException($"--timeout {seconds} is not 1 to 600 seconds.");
            var address = Address(parsed.GetValue(url), Environment.GetEnvironmentVariable);
            Console.Out.WriteLine(await AskAsync(new Uri(address.AbsoluteUri.TrimEnd('/') + path), TimeSpan.FromSeconds(seconds), cancellationToken));
            return ExitCodes.Done;
        });
        return command;
    }

    /// <summary>What is asked: the URL that was given, or where this machine's service listens by its own settings.</summary>
    /// <exception cref="ArgumentException">It is not understood.</exception>
    internal static Uri Address(string? given, Func<string, string?> environment)
    {
        if (given is not null)
        {
            return Uri.TryCreate(given, UriKind.Absolute, out var url) && url.Scheme is "http" or "https" && url is { Query: "", Fragment: "", UserInfo: "" } ? url
                : throw new ArgumentException($"'{BlobAddress.Show(given)}' is no address to ask. Give it as in http://127.0.0.1:9464.");
        }

        string name = environment(Monitoring) is { Length: > 0 } ? Monitoring : Http;
        string listens = environment(name) is { Length: > 0 } set ? set : ServeCommand.DefaultAddress;
        if (!IPEndPoint.TryParse(listens, out var endPoint) || endPoint.Port == 0)
            throw new ArgumentException($"{name} '{listens}' is not IP:PORT. Set it as in 127.0.0.1:9464, or give a URL.");
        if (endPoint.Address.Equals(IPAddress.Any))
            endPoint.Address = IPAddress.Loopback;
        else if (endPoint.Address.Equals(IPAddress.IPv6Any))
            endPoint.Address = IPAddress.IPv6Loopback;
        return new Uri($"{(name == Http && environment(Certificate) is { Length: > 0 } ? "https" : "http")}://{endPoint}");
    }

    private static async Task<string> AskAsync(Uri address, TimeSpan patience, CancellationToken cancellationToken)
    {
        // Asked directly: no proxy stands between a container and itself. A certificate names the service, not this machine's loopback
        // address, where nobody else can answer.
        using var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false };
        if (address.IsLoopback)
            handler.SslOptions.RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is not null;
        using var client = new HttpClient(handler) { Timeout = patience };
        try
        {
            using var answer = await client.GetAsync(address, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return answer.IsSuccessStatusCode ? $"{address} answers {(int)answer.StatusCode}."
                : throw new HttpRequestException($"{address} answers {(int)answer.StatusCode}. Its log says why.");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HttpRequestException(string.Create(CultureInfo.InvariantCulture, $"{address} does not answer within {patience.TotalSeconds:0} s."));
        }
        catch (HttpRequestException e) when (e.StatusCode is null && e.InnerException is not null)
        {
            throw new HttpRequestException($"{address} does not answer: {e.GetBaseException().Message.Split('\n')[0].TrimEnd('.')}. See that it runs, and that the address is right.", e);
        }
    }
}

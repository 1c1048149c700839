using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using StainGrid.TestSupport;

namespace StainGrid.Deploy.Tests;

public sealed class HealthTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_service_that_runs_is_well_by_its_address_and_by_its_settings_and_one_that_stopped_is_not()
    {
        string address = $"127.0.0.1:{FreePort.Next()}";
        await using var served = await ServeAsync("--http", address);
        Assert.Equal((0, $"http://{address}/health/live answers 200.\n", ""), await HealthAsync([], ("STAINGRID_HTTP", address)));
        Assert.Equal((0, $"http://{address}/health/ready answers 200.\n", ""), await HealthAsync([$"http://{address}/", "--ready"]));
        string port = address.Split(':')[1];
        Assert.Equal((0, $"http://{address}/health/live answers 200.\n", ""), await HealthAsync([], ("STAINGRID_MONITORING", $"0.0.0.0:{port}"), ("STAINGRID_HTTP", "127.0.0.1:1")));

        // No proxy is asked in between.
        Assert.Equal(0, (await HealthAsync([], ("STAINGRID_HTTP", address), ("http_proxy", "http://127.0.0.1:1"))).Exit);
        Assert.Equal((1, "", $"staingrid: http://{address}/nothing/health/live answers 404. Its log says why.\n"), await HealthAsync([$"http://{address}/nothing"]));
        Assert.Equal(0, await served.StopAsync(TimeSpan.FromSeconds(60)));
        var (exit, output, error) = await HealthAsync([], ("STAINGRID_HTTP", address));
        Assert.Equal((1, ""), (exit, output));
        Assert.StartsWith($"staingrid: http://{address}/health/live does not answer: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd('\n').Split('\n'));
    }

    [Fact]
    public async Task A_service_with_a_certificate_of_its_own_is_asked_by_https_on_this_machine()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=staingrid.example", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        await File.WriteAllTextAsync(_folder.File("cert.pem"), certificate.ExportCertificatePem(), Stop);
        await File.WriteAllTextAsync(_folder.File("key.pem"), key.ExportPkcs8PrivateKeyPem(), Stop);
        string address = $"127.0.0.1:{FreePort.Next()}";
        await using var served = await ServeAsync("--http", address, "--auth", "true", "--tls-certificate", _folder.File("cert.pem"), "--tls-key", _folder.File("key.pem"));
        Assert.Equal((0, $"https://{address}/health/live answers 200.\n", ""), await HealthAsync([], ("STAINGRID_HTTP", address), ("STAINGRID_TLS_CERTIFICATE", "cert.pem")));
    }

    [Fact]
    public async Task What_accepts_and_never_answers_is_not_well()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var clock = Stopwatch.StartNew();
        var (exit, _, error) = await HealthAsync([$"http://{silent.LocalEndpoint}", "--timeout", "1"]);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(60), $"It took {clock.Elapsed.TotalSeconds:0} s.");
        Assert.Equal((1, $"staingrid: http://{silent.LocalEndpoint}/health/live does not answer within 1 s.\n"), (exit, error));
    }

    [Theory]
    [InlineData("'ftp://x' is no address", "ftp://x")]
    [InlineData("'http://x/' is no address", "http://x/?sig=secret")]
    [InlineData("--timeout 0 is not", "--timeout", "0")]
    public async Task A_wrong_command_line_ends_with_2(string said, params string[] arguments)
    {
        var (exit, output, error) = await HealthAsync(arguments);
        Assert.Equal((2, ""), (exit, output));
        Assert.Contains(said, error, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", error, StringComparison.Ordinal);
        Assert.Equal(2, (await HealthAsync([], ("STAINGRID_MONITORING", "9464"))).Exit);
    }

    private Task<SiloProcess> ServeAsync(params string[] arguments) => SiloProcess.StartAsync(
        "served", () => new ProcessStartInfo(SiloProcess.CommandPath, ["serve", "--data", _folder.File("data"), .. arguments]), "staingrid: serving", _folder.File("served.log"), Stop);

    private static async Task<(int Exit, string Output, string Error)> HealthAsync(string[] arguments, params (string Name, string Value)[] environment)
    {
        string[] patience = arguments.Contains("--timeout") ? [] : ["--timeout", "60"];   // the answer is what is asked for here, not how soon it comes
        var info = new ProcessStartInfo(SiloProcess.CommandPath, ["health", .. arguments, .. patience]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment)
            info.Environment[name] = value;
        using var process = Process.Start(info)!;
        var output = process.StandardOutput.ReadToEndAsync(Stop);
        var error = process.StandardError.ReadToEndAsync(Stop);
        await process.WaitForExitAsync(Stop);
        return (process.ExitCode, await output, await error);
    }
}

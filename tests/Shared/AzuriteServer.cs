using System.Diagnostics;

namespace StainGrid.TestSupport;

/// <summary>A real blob service (Azurite, from tests/conformance) on a free loopback port, ended with the test.</summary>
internal sealed class AzuriteServer : IAsyncDisposable
{
    private readonly Process _process;
    private readonly TemporaryFolder _folder;

    private AzuriteServer(Process process, TemporaryFolder folder, int port)
    {
        _process = process;
        _folder = folder;

        // The account that every Azurite has; its key is published and opens nothing else.
        ConnectionString = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey="
            + "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
            + $"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;";
    }

    /// <summary>For BlobContainerClient and azure://.</summary>
    public string ConnectionString { get; }

    /// <summary>Starts the service and waits until it answers.</summary>
    public static async Task<AzuriteServer> StartAsync(CancellationToken cancellationToken)
    {
        string conformance = await Conformance.FolderAsync(cancellationToken);
        for (int attempt = 0; ; attempt++)
        {
            var folder = new TemporaryFolder();
            int port = FreePort.Next();
            var process = new Process
            {
                StartInfo = new ProcessStartInfo("node",
                [
                    Path.Combine(conformance, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
                    "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", folder.Path,
                    "--blobHost", "127.0.0.1", "--blobPort", port.ToString(System.Globalization.CultureInfo.InvariantCulture),
                ])
                {
                    WorkingDirectory = folder.Path,
                    RedirectStandardOutput = true,
                    RedirectStandardError = true,
                },
            };
            process.Start();
            _ = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
            var errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
            var server = new AzuriteServer(process, folder, port);
            try
            {
                using var client = new HttpClient();
                for (var deadline = DateTime.UtcNow.AddMinutes(3); ; await Task.Delay(100, cancellationToken))
                {
                    if (process.HasExited)
                        throw new InvalidOperationException($"Azurite ended with {process.ExitCode}: {await errors}");
                    if (DateTime.UtcNow > deadline)
                        throw new TimeoutException($"Azurite does not answer at port {port}.");
                    try
                    {
                        using var answer = await client.GetAsync(new Uri($"http://127.0.0.1:{port}/devstoreaccount1"), cancellationToken);
                        if (answer.Headers.Server.ToString().StartsWith("Azurite", StringComparison.Ordinal) && !process.HasExited)   // or another program has the port
                            return server;
                    }
                    catch (HttpRequestException)
                    {
                        // Not yet.
                    }
                }
            }
            catch (InvalidOperationException) when (attempt < 3)
            {
                // Another program took the port in between.
                await server.DisposeAsync();
            }
            catch
            {
                await server.DisposeAsync();
                throw;
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
        _folder.Dispose();
    }
}

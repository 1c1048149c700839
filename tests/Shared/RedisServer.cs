using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace StainGrid.TestSupport;

/// <summary>A real redis-server with an append-only file, on a free loopback port, ended with the test.</summary>
internal sealed class RedisServer : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly int _port = FreePort.Next();
    private Process? _process;

    private RedisServer()
    {
    }

    /// <summary>"127.0.0.1:port", the same after a restart.</summary>
    public string Address => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{_port}");

    /// <summary>Starts a server and waits until it answers; skips the test where there is none.</summary>
    public static async Task<RedisServer> StartAsync(CancellationToken cancellationToken)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/redis-server"), "redis-server is not installed (apt-get install redis-server).");
        for (int tries = 1; ; tries++)
        {
            var server = new RedisServer();
            try
            {
                await server.ResumeAsync(cancellationToken);
                return server;
            }
            catch (Exception exception)
            {
                await server.DisposeAsync();
                if (exception is not InvalidOperationException || tries == 3)   // another may have taken the port meanwhile
                    throw;
            }
        }
    }

    /// <summary>Starts it again with the data that it had.</summary>
    public async Task ResumeAsync(CancellationToken cancellationToken)
    {
        _process = Process.Start(new ProcessStartInfo("/usr/bin/redis-server",
        [
            "--port", _port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--dir", _folder.Path,
            "--appendonly", "yes", "--save", "", "--logfile", _folder.File("redis.log"),
        ]))!;
        for (var deadline = DateTime.UtcNow.AddSeconds(30); ; await Task.Delay(50, cancellationToken))
        {
            if (_process.HasExited || DateTime.UtcNow > deadline)
                throw new InvalidOperationException($"redis-server does not start: {await File.ReadAllTextAsync(_folder.File("redis.log"), cancellationToken)}");
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, _port, cancellationToken);
                await client.GetStream().WriteAsync("PING\r\n"u8.ToArray(), cancellationToken);
                byte[] answer = new byte[5];
                await client.GetStream().ReadExactlyAsync(answer, cancellationToken);
                if (answer.AsSpan().SequenceEqual("+PONG"u8))
                    return;
            }
            catch (Exception exception) when (exception is SocketException or IOException)
            {
                // Not yet.
            }
        }
    }

    /// <summary>Stops it as its operator would (SIGTERM): the data is on disk.</summary>
    public async Task StopAsync()
    {
        if (_process is { HasExited: false } process)
        {
            using var kill = Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]);
            await process.WaitForExitAsync();
        }
    }

    /// <summary>Kills it (SIGKILL).</summary>
    public async Task KillAsync()
    {
        if (_process is { HasExited: false } process)
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
    }

    /// <summary>Stops it and starts it again after a while.</summary>
    public async Task RestartAsync(TimeSpan away, CancellationToken cancellationToken)
    {
        await StopAsync();
        await Task.Delay(away, cancellationToken);
        await ResumeAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process?.Dispose();
        _folder.Dispose();
    }
}

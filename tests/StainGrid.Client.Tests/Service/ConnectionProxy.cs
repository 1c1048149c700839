using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace StainGrid.Client.Tests;

/// <summary>Forwards connections to a server that can be changed, and drops them when asked.</summary>
internal sealed class ConnectionProxy : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<TcpClient, byte> open = new();
    private readonly CancellationTokenSource stop = new();
    private readonly Task accepting;
    private int accepted;

    public ConnectionProxy(Uri target)
    {
        Target = target;
        listener.Start();
        accepting = AcceptAsync();
    }

    public Uri Target { get; set; }

    public Uri Address => new($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");

    public int Accepted => Volatile.Read(ref accepted);

    /// <summary>Drops all connections, without a farewell.</summary>
    public void Drop()
    {
        foreach (var client in open.Keys)
            client.Client.Close(0);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Stop();
        Drop();
        await accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            var client = await listener.AcceptTcpClientAsync(stop.Token);
            Interlocked.Increment(ref accepted);
            _ = ForwardAsync(client);
        }
    }

    private async Task ForwardAsync(TcpClient client)
    {
        using (client)
        using (var server = new TcpClient())
        {
            open[client] = 0;
            try
            {
                await server.ConnectAsync(Target.Host, Target.Port, stop.Token);
                await Task.WhenAny(client.GetStream().CopyToAsync(server.GetStream(), stop.Token), server.GetStream().CopyToAsync(client.GetStream(), stop.Token));
            }
            catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException or InvalidOperationException or OperationCanceledException)
            {
                // One of them is gone, and so is the other.
            }
            finally
            {
                open.TryRemove(client, out _);
            }
        }
    }
}

using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace StainGrid.TestSupport;

/// <summary>Loopback ports for servers that cannot be asked which they took.</summary>
internal static class FreePort
{
    private static readonly ConcurrentDictionary<int, bool> s_taken = [];

    /// <summary>A port that nothing listens at now, each time another. Below those that the system gives to who asks for any and to connections (32768 on), so that none of
    /// these takes it before it is listened at.</summary>
    public static int Next()
    {
        while (true)
        {
            int port = Random.Shared.Next(16_000, 32_000);
            using var listener = new TcpListener(IPAddress.Loopback, port);
            try
            {
                listener.Start();
                if (s_taken.TryAdd(port, true))
                    return port;
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
            {
                // Another's.
            }
        }
    }
}

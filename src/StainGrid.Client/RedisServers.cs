using StackExchange.Redis;

namespace StainGrid.Client;

/// <summary>The Redis server of a cluster.</summary>
public static class RedisServers
{
    /// <summary>How to connect to a server that answers now and may be away for a while later.</summary>
    /// <param name="redis">"host:port".</param>
    /// <param name="timeout">How long to try.</param>
    /// <param name="cancellationToken">Stops the trying.</param>
    /// <exception cref="ClusterException">It does not answer.</exception>
    public static async Task<ConfigurationOptions> ReachAsync(string redis, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        try
        {
            var options = ConfigurationOptions.Parse(redis);
            options.ConnectTimeout = (int)Math.Min(timeout.TotalMilliseconds, 5000);
            using var token = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            token.CancelAfter(timeout);
            await using (var connection = await ConnectionMultiplexer.ConnectAsync(options).WaitAsync(token.Token))
                await connection.GetDatabase().PingAsync().WaitAsync(token.Token);
            options.AbortOnConnectFail = false;
            return options;
        }
        catch (Exception e) when ((e is RedisException or ArgumentException or TimeoutException or OperationCanceledException)
            && !cancellationToken.IsCancellationRequested)
        {
            throw new ClusterException($"Redis at {redis} does not answer. Start redis-server there (with appendonly yes), or say where it is.", e);
        }
    }
}

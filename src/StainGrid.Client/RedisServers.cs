using StackExchange.Redis;

namespace StainGrid.Client;

/// <summary>The Redis server of a cluster.</summary>
public static class RedisServers
{
    /// <summary>The environment variable with the server's password, where it asks for one: a secret does not belong on a command line.</summary>
    public const string PasswordVariable = "STAINGRID_REDIS_PASSWORD";

    /// <summary>How to connect to a server that answers now and may be away for a while later; with the password of
    /// <see cref="PasswordVariable"/> where that is set.</summary>
    /// <param name="redis">"host:port".</param>
    /// <param name="timeout">How long to try.</param>
    /// <param name="cancellationToken">Stops the trying.</param>
    /// <exception cref="ClusterException">It does not answer, or refuses the password.</exception>
    public static async Task<ConfigurationOptions> ReachAsync(string redis, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        try
        {
            var options = ConfigurationOptions.Parse(redis);
            if (Environment.GetEnvironmentVariable(PasswordVariable) is { Length: > 0 } password)
                options.Password = password;

            // It tries three times, and tells of a refused password only then: all of that must fit in.
            options.ConnectTimeout = (int)Math.Clamp(timeout.TotalMilliseconds / 4, 1000, 5000);
            using var token = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            token.CancelAfter(timeout);
            await using (var connection = await ConnectionMultiplexer.ConnectAsync(options).WaitAsync(token.Token))
                await connection.GetDatabase().PingAsync().WaitAsync(token.Token);
            options.ConnectTimeout = 5000;
            options.AbortOnConnectFail = false;
            return options;
        }
        catch (RedisConnectionException e) when (e.FailureType == ConnectionFailureType.AuthenticationFailure)
        {
            throw new ClusterException($"Redis at {redis} asks for a password, and {PasswordVariable} is not it. Set it to the server's requirepass.", e);
        }
        catch (Exception e) when ((e is RedisException or ArgumentException or TimeoutException or OperationCanceledException)
            && !cancellationToken.IsCancellationRequested)
        {
            throw new ClusterException($"Redis at {redis} does not answer. Start redis-server there (with appendonly yes), or say where it is.", e);
        }
    }
}

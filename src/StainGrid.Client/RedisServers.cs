using StackExchange.Redis;

namespace StainGrid.Client;

/// <summary>The Redis server of a cluster.</summary>
public static class RedisServers
{
    /// <summary>The environment variable with the server's password, where it asks for one: a secret does not belong on a command line.</summary>
    public const string PasswordVariable = "STAINGRID_REDIS_PASSWORD";

    private const int Tries = 3;

    /// <summary>How to connect to a server that answers now and may be away for a while later; with the password of
    /// <see cref="PasswordVariable"/> where that is set.</summary>
    /// <param name="redis">"host:port".</param>
    /// <param name="timeout">How long to try, at most; a server that refuses is asked three times.</param>
    /// <param name="cancellationToken">Stops the trying.</param>
    /// <exception cref="ClusterException">It does not answer, or refuses the password.</exception>
    public static async Task<ConfigurationOptions> ReachAsync(string redis, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        try
        {
            var options = ConfigurationOptions.Parse(redis);
            if (Environment.GetEnvironmentVariable(PasswordVariable) is { Length: > 0 } password)
                options.Password = password;

            using var token = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            token.CancelAfter(timeout);
            await PingAsync(options, timeout, token.Token);
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

    // Each try is one of its own: the library tells of a refused password only after the last.
    private static async Task PingAsync(ConfigurationOptions options, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var once = options.Clone();
        (once.ConnectRetry, once.ConnectTimeout) = (1, (int)Math.Clamp(timeout.TotalMilliseconds / Tries, 1000, 10_000));
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                await using var connection = await ConnectionMultiplexer.ConnectAsync(once).WaitAsync(cancellationToken);
                await connection.GetDatabase().PingAsync().WaitAsync(cancellationToken);
                return;
            }
            catch (Exception e) when (e is RedisTimeoutException or RedisConnectionException { FailureType: not ConnectionFailureType.AuthenticationFailure } && attempt < Tries)
            {
                await Task.Delay(500, cancellationToken);
            }
        }
    }
}

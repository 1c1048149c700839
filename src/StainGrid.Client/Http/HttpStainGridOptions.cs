namespace StainGrid.Client;

/// <summary>How an <see cref="HttpStainGridClient"/> asks.</summary>
public sealed record HttpStainGridOptions
{
    /// <summary>An API key of `staingrid key create`; null for a service on loopback that asks for none, or where <see cref="Token"/> is set.</summary>
    public string? ApiKey { get; init; }

    /// <summary>Gives the bearer token of each request, as of an OIDC provider; it is asked often, so it should keep a token until it expires. Null for none.</summary>
    public Func<CancellationToken, ValueTask<string>>? Token { get; init; }

    /// <summary>How long a request that a lost connection or a busy service fails is tried again, from its first failure; zero for not at all,
    /// <see cref="Timeout.InfiniteTimeSpan"/> for as long as it takes. 2 min by default.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>How long a connection may say nothing before it counts as lost; the service says something each 15 s. 40 s by default.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(40);

    /// <exception cref="ArgumentException">An option is wrong; the message says which.</exception>
    internal HttpStainGridOptions Checked()
    {
        if (ApiKey is not null && Token is not null)
            throw new ArgumentException($"Set {nameof(ApiKey)} or {nameof(Token)}, not both.");
        if (ApiKey is not null && !IsKey(ApiKey))
            throw new ArgumentException($"{nameof(ApiKey)} must have 1 to 4,096 plain characters without spaces. Copy the key again.");
        if (Patience < TimeSpan.Zero && Patience != Timeout.InfiniteTimeSpan)
            throw new ArgumentException($"{nameof(Patience)} must be zero or more, or infinite.");
        if (Silence <= TimeSpan.Zero)
            throw new ArgumentException($"{nameof(Silence)} must be more than zero.");
        return this;
    }

    /// <summary>Whether this can stand in a header.</summary>
    internal static bool IsKey(string key) => key.Length is > 0 and <= 4096 && key.All(c => c is > ' ' and < '\x7f');
}

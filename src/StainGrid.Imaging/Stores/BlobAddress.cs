using System.Buffers;

namespace StainGrid.Imaging;

/// <summary>Addresses of inputs and outputs: a local path, <c>azure://CONTAINER/KEY</c>, or the https URL of a blob or of a prefix, with a shared
/// access signature in its query where the container is not public. "#channel=.." may stand behind the address of an OME-Zarr image.</summary>
public static class BlobAddress
{
    private static readonly SearchValues<char> s_letters = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    /// <summary>Whether an address is of a blob or a prefix (or of a store that is not known here), and not a local path.</summary>
    /// <param name="address">The address.</param>
    public static bool IsBlob(string address)
    {
        ArgumentNullException.ThrowIfNull(address);
        int scheme = address.IndexOf("://", StringComparison.Ordinal);
        return scheme > 0 && address.AsSpan(0, scheme).IndexOfAnyExcept(s_letters) < 0;
    }

    /// <summary>An address as others can take it: a local path in full, of a blob as it is.</summary>
    /// <param name="address">The address.</param>
    public static string Full(string address) =>
        !IsBlob(address) ? Path.GetFullPath(address)
        : Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.IsFile ? uri.LocalPath
        : address;

    /// <summary>An address for people: without the query, which may hold a signature, and with plain letters for escapes. All that is
    /// shown, logged or written into results has gone through here.</summary>
    /// <param name="address">The address.</param>
    public static string Show(string address)
    {
        if (!IsBlob(address))
            return address;
        var (place, channel) = ImagePath.Split(address);
        return ImagePath.Join(Uri.UnescapeDataString(place.Split('?', 2)[0]), channel?.Split('?', 2)[0]);   // a signature may have been put last
    }

    /// <summary>The last part of an address for people, as of a path.</summary>
    /// <param name="address">The address.</param>
    public static string FileName(string address) => Path.GetFileName(Show(address).TrimEnd('/'));

    /// <summary>The address of a blob or file below a prefix or folder; a query stays behind the path.</summary>
    /// <param name="prefix">The prefix's address, or the folder's path.</param>
    /// <param name="key">What is below it, with '/' between its parts.</param>
    public static string Append(string prefix, string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (!IsBlob(prefix))
            return $"{prefix.TrimEnd('/')}/{key}";
        string[] parts = prefix.Split('?', 2);
        string path = string.Join('/', key.Split('/').Select(Uri.EscapeDataString));
        return $"{parts[0].TrimEnd('/')}/{path}{(parts.Length > 1 ? "?" + parts[1] : "")}";
    }

    /// <summary>The prefix or folder that a blob or file is in.</summary>
    internal static string Parent(string address)
    {
        if (!IsBlob(address))
            return Path.GetDirectoryName(address)!;
        string[] parts = address.Split('?', 2);
        return parts[0][..parts[0].TrimEnd('/').LastIndexOf('/')] + (parts.Length > 1 ? "?" + parts[1] : "");
    }

    /// <summary>The address of a blob's container and the blob's key in it, empty for all of the container.</summary>
    /// <exception cref="BlobStoreException">The address is not understood.</exception>
    internal static (string Container, string Key) Split(string address)
    {
        bool azure = address.StartsWith("azure://", StringComparison.OrdinalIgnoreCase);
        if (!Uri.TryCreate(address, UriKind.Absolute, out var uri) || !(azure || uri.Scheme == "https") || uri.Host.Length == 0
            || uri.Fragment.Length > 0 || (azure && uri.Query.Length > 0))
            throw new BlobStoreException($"{Show(address)} is no address of a blob. Give azure://CONTAINER/KEY or https://..; write # in a name as %23 and ? as %3F.");
        string path = uri.AbsolutePath.Trim('/');
        string[] parts = azure ? ["", path] : path.Split('/', 2);
        if (!azure && parts[0].Length == 0)
            throw new BlobStoreException($"{Show(address)} names no container. Give https://ACCOUNT/CONTAINER/KEY.");
        return (azure ? $"azure://{uri.Host}" : $"https://{uri.Authority}/{parts[0]}{uri.Query}", Uri.UnescapeDataString(parts.ElementAtOrDefault(1) ?? ""));
    }
}

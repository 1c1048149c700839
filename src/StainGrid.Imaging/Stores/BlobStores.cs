using System.Runtime.CompilerServices;
using Azure.Core;
using Azure.Identity;
using Azure.Storage.Blobs;

namespace StainGrid.Imaging;

/// <summary>Opens stores and reads them plainly.</summary>
public static class BlobStores
{
    /// <summary>The environment variable with the connection string for <c>azure://</c>, as the Azure CLI has it.</summary>
    public const string ConnectionStringVariable = "AZURE_STORAGE_CONNECTION_STRING";

    /// <summary>The environment variable with the account's address, as in https://ACCOUNT.blob.core.windows.net, for <c>azure://</c> by the process's
    /// own identity where there is no connection string.</summary>
    public const string ServiceUriVariable = "AZURE_STORAGE_SERVICE_URI";

    /// <summary>What the workload identity of Kubernetes sets in a pod: the file with the token that it is exchanged for.</summary>
    private const string FederatedTokenVariable = "AZURE_FEDERATED_TOKEN_FILE";

    // One for the process: it keeps its token until it must be renewed.
    private static readonly Lazy<TokenCredential> s_identity = new(() => Identity(Environment.GetEnvironmentVariable));

    private const int DeletesAtOnce = 16;

    /// <summary>Opens a store.</summary>
    /// <param name="uri">
    /// A folder's path or <c>file://</c> URI; <c>azure://CONTAINER/PREFIX</c>, with the connection string in
    /// AZURE_STORAGE_CONNECTION_STRING (never on a command line, where others see it), or else by the process's identity with the account
    /// that AZURE_STORAGE_SERVICE_URI names; or the https URL of a container or
    /// of a prefix in it, with a shared access signature where the container is not public.
    /// </param>
    /// <exception cref="BlobStoreException">The address is not understood, or no account is named.</exception>
    public static IBlobStore Open(string uri)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(uri);
        if (!BlobAddress.IsBlob(uri))
            return new FolderBlobStore(uri);
        if (!Uri.TryCreate(uri, UriKind.Absolute, out var address))
            throw new BlobStoreException($"The {uri.Split("://")[0]} address of the store is not a URI. Give a folder, azure://CONTAINER/PREFIX or https://..");
        switch (address.Scheme)
        {
            case "file" when address.IsLoopback || address.Host.Length == 0:
                return new FolderBlobStore(address.LocalPath);
            case "azure":
                return new AzureBlobStore(AzureContainer(uri, address.Host, Environment.GetEnvironmentVariable, s_identity), Uri.UnescapeDataString(address.AbsolutePath));
            case "https":
                string[] parts = address.AbsolutePath.Trim('/').Split('/', 2);
                if (parts[0].Length == 0)
                    throw new BlobStoreException($"{address.GetLeftPart(UriPartial.Path)} names no container. Give https://ACCOUNT/CONTAINER/PREFIX.");
                var container = new UriBuilder(address) { Path = parts[0] }.Uri;
                return new AzureBlobStore(new BlobContainerClient(container, AzureBlobStore.ClientOptions()), parts.Length > 1 ? Uri.UnescapeDataString(parts[1]) : "");
            default:
                throw new BlobStoreException($"Stores of kind {address.Scheme}:// are not known. Give a folder, azure://CONTAINER/PREFIX or https://..");
        }
    }

    /// <summary>The container of an <c>azure://</c> address in the account that the environment names.</summary>
    /// <exception cref="BlobStoreException">It names none, or not rightly.</exception>
    internal static BlobContainerClient AzureContainer(string uri, string container, Func<string, string?> environment, Lazy<TokenCredential> identity)
    {
        try
        {
            if (environment(ConnectionStringVariable) is { } connection && !string.IsNullOrWhiteSpace(connection))
                return new BlobContainerClient(connection, container, AzureBlobStore.ClientOptions());
        }
        catch (Exception exception) when (exception is FormatException or ArgumentException)
        {
            throw new BlobStoreException($"{BlobAddress.Show(uri)}: {ConnectionStringVariable} or the name is not valid. Copy the connection string again.", exception);
        }

        if (environment(ServiceUriVariable) is not { } service || string.IsNullOrWhiteSpace(service))
            throw new BlobStoreException($"{BlobAddress.Show(uri)} needs a connection string. Set {ConnectionStringVariable}, or {ServiceUriVariable} where the process has an identity of its own.");

        // Only https: the token is sent with each request. No query: that would be a signature, which an identity stands in for.
        if (!Uri.TryCreate(service, UriKind.Absolute, out var account) || account.Scheme != "https" || account.Query.Length > 0 || account.Fragment.Length > 0 || account.UserInfo.Length > 0)
            throw new BlobStoreException($"{BlobAddress.Show(uri)}: {ServiceUriVariable} is not the https address of an account. Set it as in https://ACCOUNT.blob.core.windows.net.");
        return new BlobContainerClient(new Uri($"{account.GetLeftPart(UriPartial.Path).TrimEnd('/')}/{container}"), identity.Value, AzureBlobStore.ClientOptions());
    }

    /// <summary>Who the process is to Azure: in a pod with a workload identity that one alone, so that what is wrong with it is told; elsewhere what
    /// DefaultAzureCredential finds (a service principal in the environment, a managed identity, the Azure CLI's user ..).</summary>
    internal static TokenCredential Identity(Func<string, string?> environment) =>
        string.IsNullOrEmpty(environment(FederatedTokenVariable)) ? new DefaultAzureCredential() : new WorkloadIdentityCredential();

    /// <summary>The bytes of a blob, or null where there is none.</summary>
    /// <param name="store">The store.</param>
    /// <param name="key">The blob's key.</param>
    /// <param name="cancellationToken">Stops the reading.</param>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public static async Task<ReadOnlyMemory<byte>?> ReadAsync(this IBlobStore store, string key, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        return (await store.ReadBlobAsync(key, Array.MaxLength, cancellationToken))?.Data;
    }

    /// <summary>The part of a store whose keys start with a prefix and '/', as a store.</summary>
    /// <param name="store">The store.</param>
    /// <param name="prefix">A key's first parts; empty for the store itself.</param>
    public static IBlobStore Within(this IBlobStore store, string prefix)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(prefix);
        prefix = prefix.Trim('/');
        if (prefix.Length == 0)
            return store;
        BlobKey.Check(prefix);
        return new Part(store, prefix + "/");
    }

    /// <summary>Deletes all blobs of a store, and of a folder also the folders.</summary>
    /// <param name="store">The store.</param>
    /// <param name="except">The key of a blob that stays, without '/'; null for none.</param>
    /// <param name="cancellationToken">Stops between blobs.</param>
    /// <exception cref="BlobStoreException">The store fails; what is left is deleted by the next try.</exception>
    public static async Task DeleteAllAsync(this IBlobStore store, string? except = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        if (store is FolderBlobStore or Part { Folder: not null })
        {
            var folder = store as FolderBlobStore ?? ((Part)store).Folder!;
            await Task.Run(() => folder.DeleteAll(except, cancellationToken), cancellationToken);
            return;
        }

        await Parallel.ForEachAsync(
            store.ListAsync("", cancellationToken),
            new ParallelOptions { MaxDegreeOfParallelism = DeletesAtOnce, CancellationToken = cancellationToken },
            async (key, stop) =>
            {
                if (key != except)
                    await store.DeleteAsync(key, cancellationToken: stop);
            });
    }

    /// <summary>When a blob was written last, by the store's clock; null where there is none, or the store does not say.</summary>
    /// <param name="store">The store.</param>
    /// <param name="key">The blob's key.</param>
    /// <param name="cancellationToken">Stops the asking.</param>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public static async Task<DateTimeOffset?> ModifiedAsync(this IBlobStore store, string key, CancellationToken cancellationToken = default) => store switch
    {
        FolderBlobStore folder => folder.Modified(key),
        AzureBlobStore azure => (await azure.FindAsync(key, cancellationToken))?.Modified,
        Part part => await part.ModifiedAsync(key, cancellationToken),
        _ => null,
    };

    private sealed class Part(IBlobStore store, string prefix) : IBlobStore
    {
        /// <summary>The part as a store of its own, where it is a folder.</summary>
        public FolderBlobStore? Folder => store is FolderBlobStore whole ? new FolderBlobStore(Path.Combine(whole.Root, prefix)) : null;

        public Task<DateTimeOffset?> ModifiedAsync(string key, CancellationToken cancellationToken) => store.ModifiedAsync(Full(key), cancellationToken);


        public string Name => $"{store.Name.TrimEnd('/')}/{prefix.TrimEnd('/')}";

        public Task<Blob?> ReadBlobAsync(string key, long maxBytes, CancellationToken cancellationToken) =>
            store.ReadBlobAsync(Full(key), maxBytes, cancellationToken);

        public Task WriteAsync(string key, ReadOnlyMemory<byte> data, CancellationToken cancellationToken) =>
            store.WriteAsync(Full(key), data, cancellationToken);

        public Task<string> WriteIfAsync(string key, ReadOnlyMemory<byte> data, string? etag, CancellationToken cancellationToken) =>
            store.WriteIfAsync(Full(key), data, etag, cancellationToken);

        public Task<bool> CreateAsync(string key, IAsyncEnumerable<ReadOnlyMemory<byte>> parts, CancellationToken cancellationToken) =>
            store.CreateAsync(Full(key), parts, cancellationToken);

        public Task<bool> ExistsAsync(string key, CancellationToken cancellationToken) =>
            store.ExistsAsync(Full(key), cancellationToken);

        public Task DeleteAsync(string key, string? etag, CancellationToken cancellationToken) =>
            store.DeleteAsync(Full(key), etag, cancellationToken);

        public async IAsyncEnumerable<string> ListAsync(string start, [EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await foreach (string key in store.ListAsync(prefix + start, cancellationToken))
                yield return key[prefix.Length..];
        }

        /// <summary>Checked before the prefix is put in front, which would make an absolute key a relative one.</summary>
        private string Full(string key)
        {
            BlobKey.Check(key);
            return prefix + key;
        }
    }
}

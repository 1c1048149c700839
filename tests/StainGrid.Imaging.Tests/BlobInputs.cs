using System.Collections.Concurrent;
using Azure.Core;
using Azure.Core.Pipeline;
using Azure.Storage.Blobs;
using Azure.Storage.Sas;
using StainGrid.TestSupport;

namespace StainGrid.Imaging.Tests;

/// <summary>A real blob service with a container "plates", and BlobFiles that open it by azure:// addresses and by signed URLs.</summary>
public sealed class BlobInputs : IAsyncLifetime
{
    private AzuriteServer? _azurite;

    internal string ConnectionString => _azurite!.ConnectionString;

    internal BlobContainerClient Container { get; private set; } = null!;

    /// <summary>"METHOD KEY" of each request, for those that read.</summary>
    internal ConcurrentQueue<string> Requests { get; } = [];

    /// <summary>Told of each request before it is sent.</summary>
    internal Action<string>? Before { get; set; }

    public async ValueTask InitializeAsync()
    {
        _azurite = await AzuriteServer.StartAsync(TestContext.Current.CancellationToken);
        Container = new BlobContainerClient(ConnectionString, "plates");
        await Container.CreateAsync();
    }

    public ValueTask DisposeAsync() => _azurite!.DisposeAsync();

    internal BlobFiles Files(BlobFilesOptions? options = null) => new(options, Open);

    /// <summary>A real signature for the service, on a host that is none: Azurite speaks http on this machine only.</summary>
    internal string Signed(string key) =>
        $"https://account.example/plates/{key}{Container.GenerateSasUri(BlobContainerSasPermissions.Read | BlobContainerSasPermissions.List, DateTimeOffset.UtcNow.AddHours(1)).Query}";

    internal async Task UploadAsync(string path, string key)
    {
        foreach (string file in Directory.Exists(path) ? Directory.GetFiles(path, "*", SearchOption.AllDirectories) : [path])
        {
            string name = file == path ? key : $"{key}/{Path.GetRelativePath(path, file).Replace('\\', '/')}";
            await Container.GetBlobClient(name).UploadAsync(file, overwrite: true, TestContext.Current.CancellationToken);
        }
    }

    private AzureBlobStore Open(string address)
    {
        var uri = new Uri(address);
        var options = AzureBlobStore.ClientOptions();
        options.AddPolicy(new Log(this), HttpPipelinePosition.PerCall);
        return new AzureBlobStore(uri.Scheme == "azure"
            ? new BlobContainerClient(ConnectionString, uri.Host, options)
            : new BlobContainerClient(new Uri(Container.Uri + uri.Query), options));
    }

    private sealed class Log(BlobInputs inputs) : HttpPipelineSynchronousPolicy
    {
        public override void OnSendingRequest(HttpMessage message)
        {
            string request = $"{message.Request.Method} {Uri.UnescapeDataString(message.Request.Uri.Path).Split("/plates").Last().TrimStart('/')}";
            inputs.Requests.Enqueue(request);
            inputs.Before?.Invoke(request);
        }
    }
}

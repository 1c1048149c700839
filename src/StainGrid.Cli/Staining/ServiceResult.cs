using System.Globalization;
using StainGrid.Client;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>Downloads a plate's result from a service.</summary>
internal static class ServiceResult
{
    private const int AtOnce = 4;

    /// <summary>Downloads all files of a plate.</summary>
    /// <param name="client">The service.</param>
    /// <param name="plate">The plate's id.</param>
    /// <param name="folder">Where to; each file is there as a whole or not at all, and none outside.</param>
    /// <param name="quiet">Whether to show no progress.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="BlobStoreException">The folder cannot be written.</exception>
    public static async Task<(int Files, long Bytes)> FetchAsync(HttpStainGridClient client, string plate, string folder, bool quiet, CancellationToken cancellationToken)
    {
        var store = new FolderBlobStore(folder);
        using var line = quiet ? null : new ProgressLine();
        var gate = new Lock();
        var (files, bytes, shown) = (0, 0L, Environment.TickCount64);
        await Parallel.ForEachAsync(
            client.ListFilesAsync(plate, cancellationToken: cancellationToken),
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
            async (key, stop) =>
            {
                using var data = new MemoryStream();
                try
                {
                    await using var stream = await client.OpenAsync(plate, key, stop);
                    await stream.CopyToAsync(data, stop);
                }
                catch (IOException e) when (e.InnerException is StainGridException inner)
                {
                    throw new StainGridException(inner.Error, inner.Message, e);
                }

                await store.WriteAsync(key, data.GetBuffer().AsMemory(0, (int)data.Length), stop);
                lock (gate)
                {
                    (files, bytes) = (files + 1, bytes + data.Length);
                    if (line is null || (!line.IsTerminal && Environment.TickCount64 - shown < ProgressLine.PlainInterval.TotalMilliseconds))
                        return;
                    shown = Environment.TickCount64;
                    line.Show(string.Create(CultureInfo.InvariantCulture, $"{plate}: {files} files, {bytes / 1e6:F1} MB"));
                }
            });
        return (files, bytes);
    }
}

using System.Globalization;
using StainGrid.Client;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>Submits a plate to a service: what is on this machine is uploaded first.</summary>
internal static class ServiceSubmission
{
    /// <summary>Submits.</summary>
    /// <param name="client">The service.</param>
    /// <param name="submission">What to stain; its source as it was given.</param>
    /// <param name="id">The idempotency key; null for none.</param>
    /// <param name="quiet">Whether to show no progress of an upload.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="ArgumentException">The source cannot be a service's.</exception>
    public static async Task<PlateStatus> SubmitAsync(HttpStainGridClient client, PlateSubmission submission, string? id, bool quiet, CancellationToken cancellationToken)
    {
        string source = submission.Source;
        if (!IsNamed(source))
        {
            if (BlobAddress.IsBlob(source))
                throw new ArgumentException("A service reads uploads and its shares. Give a local path, upload:ID or share:NAME/PATH.");
            if (id is not null)
                throw new ArgumentException("--id is for upload:ID and share:NAME/PATH: every upload of a local path is a plate of its own.");

            // A manifest goes with its images.
            string path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(source));
            bool isFile = File.Exists(path);
            using var progress = quiet ? null : new UploadLine();
            string upload = await client.UploadAsync(isFile ? Path.GetDirectoryName(path)! : path, progress, cancellationToken);
            submission = submission with
            {
                Source = isFile ? $"upload:{upload}/{Path.GetFileName(path)}" : $"upload:{upload}",
                Name = submission.Name ?? Path.GetFileName(path),
            };
        }

        return await client.SubmitAsync(submission, id, cancellationToken);
    }

    private static bool IsNamed(string source) => source.StartsWith("upload:", StringComparison.Ordinal) || source.StartsWith("share:", StringComparison.Ordinal);

    private sealed class UploadLine : IProgress<UploadProgress>, IDisposable
    {
        private readonly ProgressLine line = new();
        private long? shown;

        public void Report(UploadProgress value)
        {
            bool whole = value.Files == value.TotalFiles;
            if (!line.IsTerminal && !whole && shown is { } last && Environment.TickCount64 - last < ProgressLine.PlainInterval.TotalMilliseconds)
                return;
            shown = Environment.TickCount64;
            line.Show(string.Create(CultureInfo.InvariantCulture,
                $"uploading: {value.Files} of {value.TotalFiles} files, {value.Bytes / 1e6:F1} of {value.TotalBytes / 1e6:F1} MB"));
        }

        public void Dispose() => line.Dispose();
    }
}

using System.Globalization;
using System.Text.Json;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>The durable record of which chunks of a band are complete, with their checksums. It is written only as the version that
/// was read, so that of two stitchers of one band (a rare thing that happens) only one can commit a chunk, and none of an older
/// start of the slide than another has claimed the band for.</summary>
public sealed class BandCommits
{
    /// <summary>What the keys of all bands start with.</summary>
    public const string Prefix = ".staingrid/commits/";

    private const int MaxBytes = 16 << 20;
    private const int Tries = 8;

    private readonly IBlobStore store;
    private readonly SlideJob job;
    private readonly int band;
    private BandRecord record;
    private string? etag;

    private BandCommits(IBlobStore store, SlideJob job, int band)
    {
        this.store = store;
        this.job = job;
        this.band = band;
        record = Fresh();
    }

    /// <summary>The chunks that are durable.</summary>
    public IReadOnlyList<CommittedChunk> Committed => Chunks(band, record);

    /// <summary>Whether a chunk is durable.</summary>
    public bool Contains(int column) => record.Chunks.ContainsKey(column);

    /// <summary>Reads a band and claims it for the job's epoch.</summary>
    /// <exception cref="StaleSlideException">It is claimed for a higher one.</exception>
    /// <exception cref="BlobStoreException">The store fails, the record is damaged, or the output was removed.</exception>
    public static async Task<BandCommits> ClaimAsync(IBlobStore store, SlideJob job, int band)
    {
        ArgumentNullException.ThrowIfNull(job);
        var commits = new BandCommits(store, job, band);
        await commits.CheckStartAsync();   // a start of another plan clears the bands' records too, and a deletion the marker: what comes late must not write there again
        await commits.UpdateAsync(record => record.Epoch < job.Epoch ? record with { Epoch = job.Epoch } : null, read: true);
        return commits;
    }

    /// <summary>What of a plan is durable.</summary>
    /// <exception cref="BlobStoreException">The store fails, or a record is damaged.</exception>
    public static async Task<IReadOnlyList<CommittedChunk>> ReadAllAsync(IBlobStore store, string planHash, int bands, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        var chunks = new List<CommittedChunk>();
        for (int band = 0; band < bands; band++)
        {
            if (await store.ReadBlobAsync(Key(band), MaxBytes, cancellationToken) is { } blob && Parse(store, band, blob) is { } record && record.Plan == planHash)
                chunks.AddRange(Chunks(band, record));
        }

        return chunks;
    }

    /// <summary>Makes a chunk durable whose pixels are written.</summary>
    /// <param name="column">Its column.</param>
    /// <param name="sha256">SHA-256 of its blobs, channel by channel.</param>
    /// <param name="check">What was checked while merging.</param>
    /// <exception cref="StaleSlideException">The band is claimed for a higher epoch.</exception>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public Task CommitAsync(int column, IReadOnlyList<string> sha256, StitchCheck check) => UpdateAsync(
        record => record.Epoch != job.Epoch ? throw Stale() : record.Chunks.ContainsKey(column) ? null : record with
        {
            Chunks = new SortedDictionary<int, ChunkRecord>(record.Chunks) { [column] = new(job.Epoch, sha256, check) },
        },
        read: false);

    /// <summary>Looks whether the band is still this job's: a silo that was paused may have missed another's claim.</summary>
    /// <exception cref="StaleSlideException">It is not.</exception>
    /// <exception cref="BlobStoreException">The store fails, or the output was removed.</exception>
    public async Task CheckAsync()
    {
        await UpdateAsync(_ => null, read: true);
        if (record.Epoch == job.Epoch)
            return;
        if (etag is not null)
            throw Stale();
        await CheckStartAsync();
        throw new BlobStoreException($"{store.Name}: {Key(band)} was removed while the output was written. Stain it again.");
    }

    private async Task CheckStartAsync()
    {
        if (await SlideOutput.EpochAsync(store) != job.Epoch)
            throw Stale();
    }

    private StaleSlideException Stale() => new($"{job.Name}, band {band}: the slide was started again since; this start's work is not needed.");

    private async Task UpdateAsync(Func<BandRecord, BandRecord?> change, bool read)
    {
        for (int attempt = 1; ; attempt++)
        {
            if (read)
            {
                var blob = await store.ReadBlobAsync(Key(band), MaxBytes);
                etag = blob?.ETag;
                record = blob is null ? Fresh() : Parse(store, band, blob);
                if (record.Epoch > job.Epoch)
                    throw Stale();
                if (record.Plan != job.PlanHash)
                    record = Fresh() with { Epoch = record.Epoch };
            }

            if (change(record) is not { } next)
                return;
            try
            {
                etag = await store.WriteIfAsync(Key(band), JsonSerializer.SerializeToUtf8Bytes(next, JsonSerializerOptions.Web), etag);
                record = next;
                return;
            }
            catch (BlobConflictException) when (attempt < Tries)
            {
                read = true;
            }
            catch (BlobStoreException)
            {
                // Whether it was written is not known: the next commit looks first.
                etag = null;
                throw;
            }
        }
    }

    private BandRecord Fresh() => new(job.PlanHash, 0, []);

    private static string Key(int band) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{band}.json");

    private static CommittedChunk[] Chunks(int band, BandRecord record) =>
        [.. record.Chunks.Select(chunk => new CommittedChunk(band, chunk.Key, chunk.Value.Check))];

    private static BandRecord Parse(IBlobStore store, int band, Blob blob)
    {
        try
        {
            var record = JsonSerializer.Deserialize<BandRecord>(blob.Data.Span, JsonSerializerOptions.Web);
            return record is { Plan: not null, Chunks: not null } ? record : throw new JsonException("a member is absent");
        }
        catch (JsonException e)
        {
            throw new BlobStoreException($"{store.Name}: {Key(band)} is damaged ({e.Message}). Delete the output and stain the slide again.", e);
        }
    }

    private sealed record BandRecord(string Plan, long Epoch, SortedDictionary<int, ChunkRecord> Chunks);

    private sealed record ChunkRecord(long Epoch, IReadOnlyList<string> Sha256, StitchCheck Check);
}

using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>A slide's image in its blob store. While it grows, and for ever if it is not finished, <see cref="MarkerKey"/> says
/// so and the OME-Zarr group has no attributes, without which no reader opens it.</summary>
public sealed class SlideOutput
{
    /// <summary>The blob that tells an output of ours and whether it is complete.</summary>
    public const string MarkerKey = "staingrid.json";

    private static readonly JsonSerializerOptions Indented = new(JsonSerializerOptions.Web) { WriteIndented = true };

    private readonly SlideJob job;
    private readonly IBlobStore store;
    private readonly OmeZarrWriter writer;
    private string? etag;
    private long epoch;

    /// <summary>The output of a job.</summary>
    public SlideOutput(SlideJob job)
    {
        ArgumentNullException.ThrowIfNull(job);
        this.job = job;
        store = BlobStores.Open(job.Output);
        var channels = job.Channels.Select(channel => new OmeZarrChannel(
            channel.Name, channel.Colour, 0, ushort.MaxValue, channel.Low, channel.High, channel.Shown));
        writer = new OmeZarrWriter(store, new OmeZarrImage(job.Name, job.Width, job.Height, [.. channels])
        {
            ChunkSize = SlideJob.ChunkSize,
            PhysicalSizeX = job.PhysicalSizeX,
            PhysicalSizeY = job.PhysicalSizeY,
        });
    }

    /// <summary>Takes the output: goes on with an incomplete one of the same plan, or makes room. A complete one is replaced only
    /// with <paramref name="overwrite"/>; what is not ours never.</summary>
    /// <param name="overwrite">Whether a complete image may be replaced.</param>
    /// <param name="keepComplete">Whether a complete image of the same plan is taken for the result.</param>
    /// <param name="cancellationToken">Stops between blobs.</param>
    /// <exception cref="SlideException">Something is there that must not be replaced.</exception>
    /// <exception cref="BlobStoreException">The store fails; a conflict where another start of the slide is at it.</exception>
    public async Task<OutputStart> BeginAsync(bool overwrite, bool keepComplete, CancellationToken cancellationToken)
    {
        var (marker, version) = await ReadMarkerAsync(store, cancellationToken);
        if (marker is null)
        {
            await foreach (string _ in store.ListAsync("", cancellationToken))
                throw new SlideException($"{store.Name} holds files that are not StainGrid's. Give another output.");
        }

        if (marker?.State == OutputMarker.Complete)
        {
            if (keepComplete && marker.Plan == job.PlanHash)
                return new OutputStart(job with { Epoch = marker.Epoch }, [], IsComplete: true);
            if (!overwrite)
                throw new SlideException($"{store.Name} holds a complete image. Say --overwrite to replace it, or give another output.");
        }

        // Every start has a higher epoch than those before: what they still write is refused.
        var taken = job with { Epoch = (marker?.Epoch ?? 0) + 1 };
        if (marker?.State != OutputMarker.Incomplete || marker.Plan != job.PlanHash)
        {
            etag = await MarkAsync(OutputMarker.Clearing, taken.Epoch, version, cancellationToken);
            await foreach (string key in store.ListAsync("", cancellationToken))
            {
                if (key != MarkerKey)
                    await store.DeleteAsync(key, cancellationToken: cancellationToken);
            }

            version = etag;
        }

        etag = await MarkAsync(OutputMarker.Incomplete, taken.Epoch, version, cancellationToken);
        await writer.WriteArrayMetadataAsync(cancellationToken);
        return new OutputStart(taken, await BandCommits.ReadAllAsync(store, job.PlanHash, job.Bands, cancellationToken), IsComplete: false);
    }

    /// <summary>Writes a chunk of level 0, all channels.</summary>
    /// <returns>SHA-256 of the blobs, channel by channel.</returns>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task<IReadOnlyList<string>> WriteAsync(StitchedChunk chunk, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        var sha256 = new string[job.Channels.Count];
        var pixels = new ushort[SlideJob.ChunkSize * SlideJob.ChunkSize];   // what lies beyond the image stays 0
        for (int channel = 0; channel < job.Channels.Count; channel++)
        {
            int low = job.Channels[channel].Low, range = job.Channels[channel].High - low;
            for (int y = 0; y < chunk.Region.Height; y++)
            {
                var row = chunk.Values[channel].AsSpan(y * chunk.Region.Width, chunk.Region.Width);
                PixelScale.Apply(row, low, range, pixels.AsSpan(y * SlideJob.ChunkSize, row.Length));
            }

            sha256[channel] = await writer.WriteChunkAsync(0, channel, chunk.Row, chunk.Column, pixels, cancellationToken);
        }

        return sha256;
    }

    /// <summary>Makes the pyramid, then the attributes that let readers open the image.</summary>
    /// <exception cref="BlobStoreException">The store fails; a conflict where the slide was started again since.</exception>
    public async Task CompleteAsync(JsonObject provenance, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(provenance);
        var described = new OmeZarrWriter(store, writer.Image with { Attributes = provenance });
        await described.BuildPyramidAsync(cancellationToken: cancellationToken);
        await described.CompleteAsync(cancellationToken);
        etag = await MarkAsync(OutputMarker.Complete, epoch, etag, cancellationToken);
    }

    /// <summary>The epoch of the output's last start.</summary>
    /// <exception cref="BlobStoreException">The store fails, or the output was removed since.</exception>
    public static async Task<long> EpochAsync(IBlobStore store, CancellationToken cancellationToken = default) =>
        (await ReadMarkerAsync(store, cancellationToken)).Marker?.Epoch ?? throw new BlobStoreException($"{store.Name}: the output was removed while it was written. Stain it again.");

    /// <summary>"complete" or "incomplete" for an output of ours; null where it is not one.</summary>
    public static async Task<string?> StateAsync(IBlobStore store, CancellationToken cancellationToken = default) =>
        (await ReadMarkerAsync(store, cancellationToken)).Marker?.State switch
        {
            null => null,
            OutputMarker.Complete => OutputMarker.Complete,
            _ => OutputMarker.Incomplete,
        };

    /// <summary>What made the image, as it stands in its attributes under "staingrid".</summary>
    public static JsonObject Provenance(PreparedSlide slide, SlideReport report)
    {
        ArgumentNullException.ThrowIfNull(slide);
        ArgumentNullException.ThrowIfNull(report);
        var (job, rule) = (slide.Job, slide.Model.Normalisation);
        return new JsonObject
        {
            ["version"] = Version,
            ["source"] = new JsonObject
            {
                ["files"] = new JsonArray([.. job.Files.Select(file => JsonValue.Create(BlobAddress.FileName(file)))]),
                ["sha256"] = slide.SourceSha256,
                ["pixel_type"] = slide.Image.PixelType.ToString(),
                ["planes"] = slide.Image.Planes,
            },
            ["model"] = new JsonObject
            {
                ["file"] = BlobAddress.FileName(job.Model),
                ["sha256"] = job.ModelSha256,
                ["variant"] = slide.Model.Network.Variant.ToString().ToLowerInvariant(),
                ["licence"] = slide.Model.Licence,
            },
            ["normalisation"] = new JsonObject
            {
                ["low_percentile"] = rule.LowPercentile,
                ["high_percentile"] = rule.HighPercentile,
                ["clamp"] = rule.Clamp,
                ["planes"] = new JsonArray([.. job.Planes.Select(plane =>
                    new JsonObject { ["plane"] = plane.Index, ["low"] = plane.Low, ["high"] = plane.High })]),
            },
            ["tiling"] = new JsonObject
            {
                ["tile"] = Tile.Size,
                ["stride"] = job.Stride,
                ["blend"] = job.Blend.ToString().ToLowerInvariant(),
                ["block_side"] = job.BlockSide,
                ["batch"] = job.BatchSize,
            },
            ["precision"] = job.Precision.ToString().ToLowerInvariant(),
            ["channels"] = new JsonArray([.. job.Channels.Select(channel =>
                new JsonObject { ["name"] = channel.Name, ["low"] = channel.Low, ["high"] = channel.High })]),
            ["check"] = new JsonObject
            {
                ["pixels"] = report.Check.Pixels,
                ["pixels_missing"] = (long)job.Width * job.Height - report.Check.Pixels,
                ["pixels_misweighted"] = report.Check.MisweightedPixels,
                ["seam_score"] = report.Check.SeamScore is { } score ? Math.Round(score, 3) : null,
                ["blocks_retried"] = report.BlocksRetried,
                ["seconds_wasted"] = Math.Round(report.SecondsWasted, 3),
            },
        };
    }

    internal static string Version { get; } =
        typeof(SlideOutput).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
        ?? typeof(SlideOutput).Assembly.GetName().Version!.ToString();

    private Task<string> MarkAsync(string state, long epoch, string? version, CancellationToken cancellationToken)
    {
        this.epoch = epoch;
        var marker = new OutputMarker(state, job.Name, job.PlanHash, epoch, Guid.NewGuid());
        return store.WriteIfAsync(MarkerKey, JsonSerializer.SerializeToUtf8Bytes(marker, Indented), version, cancellationToken);
    }

    private static async Task<(OutputMarker? Marker, string? Version)> ReadMarkerAsync(IBlobStore store, CancellationToken cancellationToken)
    {
        if (await store.ReadBlobAsync(MarkerKey, 1 << 20, cancellationToken) is not { } blob)
            return (null, null);
        try
        {
            return (JsonSerializer.Deserialize<OutputMarker>(blob.Data.Span, Indented), blob.ETag);
        }
        catch (JsonException)
        {
            return (null, blob.ETag);
        }
    }

    /// <summary>What stands in the marker.</summary>
    /// <param name="State">How far the output is.</param>
    /// <param name="Slide">The image's name.</param>
    /// <param name="Plan">The plan's hash.</param>
    /// <param name="Epoch">The number of the last start.</param>
    /// <param name="Owner">Tells two writers of the same words apart.</param>
    private sealed record OutputMarker(string State, string Slide, string Plan, long Epoch, Guid Owner)
    {
        public const string Clearing = "clearing", Incomplete = "incomplete", Complete = "complete";
    }
}

/// <summary>An output that was taken for a job.</summary>
/// <param name="Job">The job with its epoch.</param>
/// <param name="Committed">The chunks that an earlier start made durable.</param>
/// <param name="IsComplete">Whether there is nothing left to do.</param>
public sealed record OutputStart(SlideJob Job, IReadOnlyList<CommittedChunk> Committed, bool IsComplete);

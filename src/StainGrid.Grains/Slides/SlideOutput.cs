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

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private readonly SlideJob job;
    private readonly IBlobStore store;
    private readonly OmeZarrWriter writer;

    /// <summary>The output of a job.</summary>
    public SlideOutput(SlideJob job, JsonObject? provenance = null)
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
            Attributes = provenance,
        });
    }

    /// <summary>Makes room and marks the output as incomplete. An incomplete output of ours is replaced; a complete one only
    /// with <paramref name="overwrite"/>; what is not ours never.</summary>
    /// <exception cref="SlideException">Something is there that must not be replaced.</exception>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task BeginAsync(bool overwrite, CancellationToken cancellationToken)
    {
        var keys = new List<string>();
        await foreach (string key in store.ListAsync("", cancellationToken))
            keys.Add(key);
        if (keys.Count > 0)
        {
            string? state = await StateAsync(store, cancellationToken)
                ?? throw new SlideException($"{store.Name} holds files that are not StainGrid's. Give another output.");
            if (state == "complete" && !overwrite)
                throw new SlideException($"{store.Name} holds a complete image. Say --overwrite to replace it, or give another output.");
        }

        await MarkAsync("incomplete", cancellationToken);
        foreach (string key in keys.Where(key => key != MarkerKey))
            await store.DeleteAsync(key, cancellationToken: cancellationToken);
        await writer.WriteArrayMetadataAsync(cancellationToken);
    }

    /// <summary>Writes a chunk of level 0, all channels.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task WriteAsync(StitchedChunk chunk, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        for (int channel = 0; channel < job.Channels.Count; channel++)
        {
            var pixels = new ushort[SlideJob.ChunkSize * SlideJob.ChunkSize];
            int low = job.Channels[channel].Low, range = job.Channels[channel].High - low;
            for (int y = 0; y < chunk.Region.Height; y++)
            {
                var row = chunk.Values[channel].AsSpan(y * chunk.Region.Width, chunk.Region.Width);
                for (int x = 0; x < row.Length; x++)
                    pixels[y * SlideJob.ChunkSize + x] = (ushort)Math.Clamp(MathF.Round(low + row[x] * range), 0, ushort.MaxValue);
            }

            await writer.WriteChunkAsync(0, channel, chunk.Row, chunk.Column, pixels, cancellationToken);
        }
    }

    /// <summary>Makes the pyramid, then the attributes that let readers open the image.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task CompleteAsync(CancellationToken cancellationToken)
    {
        await writer.BuildPyramidAsync(cancellationToken: cancellationToken);
        await writer.CompleteAsync(cancellationToken);
        await MarkAsync("complete", cancellationToken);
    }

    /// <summary>"complete" or "incomplete" for an output of ours; null where it is not one.</summary>
    public static async Task<string?> StateAsync(IBlobStore store, CancellationToken cancellationToken = default)
    {
        if (await store.ReadAsync(MarkerKey, cancellationToken) is not { } marker)
            return null;
        try
        {
            return JsonNode.Parse(marker.Span)?["state"]?.GetValue<string>();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

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
                ["files"] = new JsonArray([.. job.Files.Select(file => JsonValue.Create(Path.GetFileName(file)))]),
                ["sha256"] = slide.SourceSha256,
                ["pixel_type"] = slide.Image.PixelType.ToString(),
                ["planes"] = slide.Image.Planes,
            },
            ["model"] = new JsonObject
            {
                ["file"] = Path.GetFileName(job.Model),
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
            },
            ["channels"] = new JsonArray([.. job.Channels.Select(channel =>
                new JsonObject { ["name"] = channel.Name, ["low"] = channel.Low, ["high"] = channel.High })]),
            ["check"] = new JsonObject
            {
                ["pixels"] = report.Check.Pixels,
                ["pixels_missing"] = (long)job.Width * job.Height - report.Check.Pixels,
                ["pixels_misweighted"] = report.Check.MisweightedPixels,
                ["seam_score"] = report.Check.SeamScore is { } score ? Math.Round(score, 3) : null,
                ["blocks_retried"] = report.BlocksRetried,
            },
        };
    }

    private static string Version { get; } =
        typeof(SlideOutput).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
        ?? typeof(SlideOutput).Assembly.GetName().Version!.ToString();

    private Task MarkAsync(string state, CancellationToken cancellationToken) => store.WriteAsync(
        MarkerKey,
        JsonSerializer.SerializeToUtf8Bytes(new JsonObject { ["state"] = state, ["slide"] = job.Name }, Indented),
        cancellationToken);
}

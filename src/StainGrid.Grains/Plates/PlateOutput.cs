using System.Text.Json;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>A plate's OME-Zarr HCS plate in its blob store: readable while it grows, since it lists only fields that are complete.</summary>
public sealed class PlateOutput : IDisposable
{
    /// <summary>The blob that tells whose plate an output is.</summary>
    public const string MarkerKey = "staingrid-plate.json";

    /// <summary>The table of the fields' quality.</summary>
    public const string TableName = "staingrid-fields";

    private const int ReadersAtOnce = 8;

    private readonly string plateId;
    private readonly PlateRequest request;
    private readonly PlateLayout layout;
    private readonly IBlobStore store;
    private readonly HcsPlateWriter writer;

    /// <summary>The output of a plate.</summary>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="request">What was asked for.</param>
    /// <param name="layout">Its fields.</param>
    /// <param name="contentHash">Which images it had when it was submitted (<see cref="PlateLayout.ContentHash"/>).</param>
    public PlateOutput(string plateId, PlateRequest request, PlateLayout layout, string contentHash)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(layout);
        this.plateId = plateId;
        this.request = request;
        this.layout = layout;
        store = BlobStores.Open(request.Output);
        writer = new HcsPlateWriter(store, layout, Provenance(plateId, request, contentHash));
    }

    /// <summary>Makes the output this plate's.</summary>
    /// <exception cref="PlateException">It is another plate's, or holds what is not ours.</exception>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task ClaimAsync(CancellationToken cancellationToken)
    {
        if (await OwnerAsync(store, cancellationToken) is { } owner)
        {
            if (owner != plateId)
                throw new PlateException($"{store.Name} holds the plate {(owner.Length > 0 ? owner : "of another program")}. Give {plateId} another output.");
            return;
        }

        await foreach (string key in store.ListAsync("", cancellationToken))
        {
            if (!key.StartsWith(".staingrid", StringComparison.Ordinal))
                throw new PlateException($"{store.Name} holds files that are not of a plate of StainGrid's ({key}). Give another output.");
        }

        await store.WriteIfAsync(MarkerKey, JsonSerializer.SerializeToUtf8Bytes(new JsonObject { ["plate"] = plateId }), null, cancellationToken);
    }

    /// <summary>Deletes a plate's output: first what lets readers open it, last the marker, by which a try after this one knows that the rest is the plate's.</summary>
    /// <param name="store">The output.</param>
    /// <param name="plateId">The plate's id.</param>
    /// <param name="layout">Its fields; null where they are not known any more.</param>
    /// <param name="cancellationToken">Stops between blobs; the next try goes on.</param>
    /// <returns>False where the output is another's, and stays.</returns>
    /// <exception cref="BlobStoreException">The store fails; the next try goes on.</exception>
    public static async Task<bool> DeleteAsync(IBlobStore store, string plateId, PlateLayout? layout, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        string? owner = await OwnerAsync(store, cancellationToken);
        if (owner != plateId && !(owner is null && !await store.ListAsync("", cancellationToken).AnyAsync(cancellationToken)))
            return false;
        foreach (string path in (string[])["", .. layout?.Fields.Select(field => field.Path + "/") ?? []])
            await store.DeleteAsync(path + ".zattrs", cancellationToken: cancellationToken);

        // Again where a slide that was cancelled a moment ago has written meanwhile.
        do
            await store.DeleteAllAsync(MarkerKey, cancellationToken);
        while (await store.ListAsync("", cancellationToken).AnyAsync(key => key != MarkerKey, cancellationToken));
        await store.DeleteAllAsync(cancellationToken: cancellationToken);
        return true;
    }

    /// <summary>Lists fields that are complete, beside those that were listed before.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public Task AddAsync(IReadOnlyCollection<PlateField> fields, CancellationToken cancellationToken) => writer.WriteAsync(fields, cancellationToken);

    /// <summary>Writes the table of the fields' quality.</summary>
    /// <exception cref="BlobStoreException">The store fails.</exception>
    public async Task CompleteAsync(PlateRecord record, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(record);
        var rows = new IReadOnlyList<QualityRow>[layout.Fields.Count];
        await Parallel.ForEachAsync(
            Enumerable.Range(0, rows.Length),
            new ParallelOptions { MaxDegreeOfParallelism = ReadersAtOnce, CancellationToken = cancellationToken },
            async (i, stop) => rows[i] = await QualityAsync(layout.Fields[i], record.Fields[i], record.Reasons.GetValueOrDefault(i), stop));
        var table = rows.SelectMany(field => field).ToArray();
        await store.WriteAsync($"{TableName}.csv", QualityTable.ToCsv(table), cancellationToken);
        await store.WriteAsync($"{TableName}.parquet", await QualityTable.ToParquetAsync(table, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose() => writer.Dispose();

    // The plate whose output it is; empty for another program's, null where there is no marker.
    private static async Task<string?> OwnerAsync(IBlobStore store, CancellationToken cancellationToken)
    {
        if (await store.ReadBlobAsync(MarkerKey, 1 << 20, cancellationToken) is not { } marker)
            return null;
        try
        {
            return JsonNode.Parse(marker.Data.Span)?["plate"]?.GetValue<string>() ?? "";
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return "";
        }
    }

    private async Task<IReadOnlyList<QualityRow>> QualityAsync(PlateField field, FieldState state, string? reason, CancellationToken cancellationToken)
    {
        var row = new QualityRow { Well = field.Well, Field = field.Field, State = state.ToString().ToLowerInvariant(), Reason = reason };
        if (state != FieldState.Complete)
            return [row];
        try
        {
            return await MeasureAsync(field, row, cancellationToken);
        }
        catch (Exception e) when (e is ImageException or InvalidOperationException or FormatException)
        {
            return [row with { Reason = $"its image cannot be read: {e.Message}" }];
        }
    }

    private async Task<IReadOnlyList<QualityRow>> MeasureAsync(PlateField field, QualityRow row, CancellationToken cancellationToken)
    {
        var reader = await OmeZarrReader.OpenAsync(store.Within(field.Path), cancellationToken);
        var image = reader.Image;
        var check = image.Attributes?["check"];
        row = row with
        {
            Width = image.Width,
            Height = image.Height,
            Planes = (int?)image.Attributes?["source"]?["planes"] ?? 0,
            Tiles = new TilingPlan(image.Width, image.Height, new TilingOptions(request.Settings.Stride)).TileCount * (image.Attributes?["normalisation"]?["planes"]?.AsArray().Count ?? 0),
            SeamScore = (double?)check?["seam_score"],
            MisweightedPixels = (long?)check?["pixels_misweighted"] ?? 0,
            BlocksRetried = (long?)check?["blocks_retried"] ?? 0,
        };

        // Of the pyramid's last level, which is small and keeps means and large structures.
        var rows = new List<QualityRow>();
        var (width, height) = image.LevelSize(image.Levels - 1);
        for (int channel = 0; channel < image.Channels.Count; channel++)
        {
            ushort[] pixels = await reader.ReadAsync(image.Levels - 1, channel, new Region(0, 0, width, height), cancellationToken);
            Array.Sort(pixels);
            rows.Add(row with
            {
                Channel = image.Channels[channel].Label,
                Mean = pixels.Average(pixel => (double)pixel),
                P1 = pixels[pixels.Length / 100],
                P99 = pixels[pixels.Length - 1 - pixels.Length / 100],
            });
        }

        return rows;
    }

    private static JsonObject Provenance(string plateId, PlateRequest request, string contentHash) => new()
    {
        ["plate"] = plateId,
        ["version"] = SlideOutput.Version,
        ["model"] = request.ModelName is { } name && ModelRegistry.HashOf(request.Settings.Model) is { } hash ? $"{name.Split('@')[0]}@{hash}" : BlobAddress.FileName(request.Settings.Model),
        ["labels"] = new JsonArray([.. request.Settings.Labels.Select(label => JsonValue.Create(label))]),
        ["stride"] = request.Settings.Stride,
        ["blend"] = request.Settings.Blend.ToString().ToLowerInvariant(),
        ["source"] = BlobAddress.FileName(request.Source),
        ["content_sha256"] = contentHash,
    };
}

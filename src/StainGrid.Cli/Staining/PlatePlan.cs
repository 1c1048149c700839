using System.Diagnostics;
using System.Text.Json.Nodes;
using StainGrid.Contracts;
using StainGrid.Grains;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Cli;

/// <summary>What a submission of a plate would do.</summary>
internal static class PlatePlan
{
    private const int MaxListed = 20;

    /// <exception cref="ImageException">The source is refused.</exception>
    /// <exception cref="ModelFileException">The model is refused.</exception>
    /// <exception cref="BlobStoreException">A blob cannot be had.</exception>
    /// <exception cref="ArgumentException">The device is not here.</exception>
    public static async Task<JsonObject> MakeAsync(
        string source, string? pattern, StainSettings settings, string device, CancellationToken cancellationToken)
    {
        using var blobs = new BlobFiles();
        var layout = await PlateDiscovery.DiscoverAsync(source, pattern, blobs, cancellationToken);
        var preflight = await PlatePreflight.RunAsync(layout, blobs, null, cancellationToken);
        using var file = await blobs.OpenAsync([settings.Model], cancellationToken: cancellationToken);
        using var model = StainModel.Load(file.Paths[0], DeviceExecutor.Parse(device), BlobAddress.Show(settings.Model));
        int labels = settings.Labels.Count > 0 ? settings.Labels.Count : model.Metadata.Labels.Count;
        long tiles = 0, pixels = 0;
        foreach (var field in preflight.Fields.Where(field => field.Problem is null && field.Width > 0))
        {
            var plan = new TilingPlan(field.Width, field.Height, new TilingOptions(settings.Stride, settings.Blend, settings.BlockSide));
            tiles += plan.TileCount * (settings.AllPlanes ? field.Planes : 1);
            pixels += (long)field.Width * field.Height;
        }

        double seconds = tiles * await SecondsPerTileAsync(model, device, settings, labels);
        return new JsonObject
        {
            ["plate"] = layout.Name,
            ["wells"] = layout.Fields.Select(field => field.Well).Distinct().Count(),
            ["fields"] = layout.Fields.Count,
            ["tiles"] = tiles,
            ["output_bytes_at_most"] = pixels * labels * settings.Statistics.Count * sizeof(ushort) * 4 / 3,
            ["seconds_on_this_device"] = Math.Round(seconds),
            ["shapes"] = List(preflight.Shapes.Select(shape => $"{shape.Shape}: {shape.Fields} fields")),
            ["missing_wells"] = List(preflight.MissingWells),
            ["problems"] = List(preflight.Fields.Where(field => field.Problem is not null).Select(field => $"{field.Field.Well}/field {field.Field.Field}: {field.Problem}")),
            ["empty_planes"] = List(preflight.Fields.Where(field => field.EmptyPlanes.Count > 0).Select(field => $"{field.Field.Well}/field {field.Field.Field}: {string.Join(' ', field.EmptyPlanes)}")),
            ["out_of_focus"] = List(preflight.Fields.Where(field => field.OutOfFocus).Select(field => $"{field.Field.Well}/field {field.Field.Field}")),
            ["unmatched_images"] = layout.Unmatched.Count,
            ["notes"] = List(layout.Notes),
        };
    }

    // One batch a thread to warm up, one to measure.
    private static async Task<double> SecondsPerTileAsync(StainModel model, string device, StainSettings settings, int labels)
    {
        using var threads = new ComputeThreads(model.Device);
        var precision = settings.Precision != Precision.Auto ? settings.Precision : ProductRate.PrefersBFloat16(device) ? Precision.BFloat16 : Precision.Float32;
        var plan = new TilingPlan(
            Tile.Size + settings.Stride * (settings.BatchSize - 1), Tile.Size + settings.Stride * (threads.Count - 1),
            new TilingOptions(settings.Stride, settings.Blend, TilingOptions.MaxBlockSide));
        var options = new PredictionOptions([.. Enumerable.Range(0, labels)], Tiling.Statistics.Layers(settings.Statistics), plan.FixedPointBits(1)) { BatchSize = settings.BatchSize };
        using var predictor = new TilePredictor(model, threads, precision);
        var block = plan.Block(0);
        var window = new PlaneWindow(block.Input, new float[block.Input.Area]);
        await predictor.PredictAsync(plan, block, [window], options);
        var clock = Stopwatch.StartNew();
        await predictor.PredictAsync(plan, block, [window], options);
        return clock.Elapsed.TotalSeconds / block.TileCount;
    }

    private static JsonArray List(IEnumerable<string> items)
    {
        string[] all = [.. items.Distinct()];
        return new JsonArray([.. all.Take(MaxListed).Select(item => JsonValue.Create(item)), .. all.Length > MaxListed ? [JsonValue.Create($"and {all.Length - MaxListed} more")] : (JsonNode[])[]]);
    }
}

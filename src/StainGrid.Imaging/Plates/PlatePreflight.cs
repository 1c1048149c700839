using StainGrid.Tiling;

namespace StainGrid.Imaging;

/// <summary>What a look at a plate's headers and at small regions says before it is stained.</summary>
/// <param name="Fields">The fields, in the layout's order.</param>
/// <param name="MissingWells">Wells without fields inside the rectangle of those with fields, as "B07".</param>
/// <param name="Shapes">The sizes and types that occur, with how many fields have them, the most common first.</param>
public sealed record PlatePreflight(
    IReadOnlyList<FieldPreflight> Fields, IReadOnlyList<string> MissingWells, IReadOnlyList<(string Shape, int Fields)> Shapes)
{
    private const int Side = 256, MaxPlanes = 32;
    private const double OutOfFocus = 0.25;

    /// <summary>Opens every field and reads the middle 256 x 256 pixels of up to 32 of its planes, on every processor; at most
    /// one plane a processor is held. PNG and TIFF in blobs are downloaded for it.</summary>
    /// <param name="layout">The plate.</param>
    /// <param name="blobs">Opens the stores.</param>
    /// <param name="progress">Told the share that is done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops between planes.</param>
    public static async Task<PlatePreflight> RunAsync(
        PlateLayout layout, BlobFiles blobs, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(layout);
        var fields = new FieldPreflight[layout.Fields.Count];
        int done = 0;
        var options = new ParallelOptions { CancellationToken = cancellationToken, MaxDegreeOfParallelism = Environment.ProcessorCount };
        await Parallel.ForAsync(0, fields.Length, options, async (i, stop) =>
        {
            fields[i] = await LookAsync(layout.Fields[i], blobs, stop);
            progress?.Report((double)Interlocked.Increment(ref done) / fields.Length);
        });
        double[] sharpness = [.. fields.Where(field => field.Sharpness > 0).Select(field => field.Sharpness).Order()];
        double median = sharpness.Length == 0 ? 0 : sharpness[sharpness.Length / 2];
        for (int i = 0; i < fields.Length; i++)
            fields[i] = fields[i] with { OutOfFocus = fields[i].Problem is null && fields[i].Sharpness < OutOfFocus * median };
        return new PlatePreflight(fields, Missing(layout), [.. fields.Where(field => field.PixelType is not null)
            .GroupBy(field => $"{field.Width}x{field.Height}, {field.Planes} planes, {field.PixelType}")
            .Select(group => (group.Key, group.Count())).OrderByDescending(shape => shape.Item2).ThenBy(shape => shape.Key, StringComparer.Ordinal)]);
    }

    private static async Task<FieldPreflight> LookAsync(PlateField field, BlobFiles blobs, CancellationToken cancellationToken)
    {
        var found = new FieldPreflight(field) { Problem = field.Problem };
        if (field.Problem is not null || field.Files.Count == 0)
            return found;
        try
        {
            using var image = await ImageReader.OpenStackAsync(field.Files, blobs, limits: ImageLimits.Default with { CacheBytes = 1 }, cancellationToken: cancellationToken);
            var info = image.Info;
            var region = new Region(Math.Max(0, (info.Width - Side) / 2), Math.Max(0, (info.Height - Side) / 2), Math.Min(Side, info.Width), Math.Min(Side, info.Height));
            float[] pixels = new float[region.Area];
            var empty = new List<int>();
            double sharpness = 0;
            int count = Math.Min(info.Planes, MaxPlanes);
            for (int i = 0; i < count; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                int plane = (int)((long)i * info.Planes / count);
                image.Read(plane, region, pixels);
                if (!pixels.AsSpan().ContainsAnyExcept(pixels[0]))
                    empty.Add(plane);
                else
                    sharpness = Math.Max(sharpness, Sharpness(pixels, region.Width, region.Height));
            }

            return found with { Width = info.Width, Height = info.Height, Planes = info.Planes, PixelType = info.PixelType, EmptyPlanes = empty, Sharpness = sharpness };
        }
        catch (Exception exception) when (exception is ImageException or BlobStoreException)
        {
            return found with { Problem = exception.Message };
        }
    }

    /// <summary>The variance of the Laplacian over the squared mean, so that exposure does not matter.</summary>
    private static double Sharpness(float[] pixels, int width, int height)
    {
        double sum = 0, squares = 0, mean = pixels.Average();
        long count = 0;
        for (int y = 1; y < height - 1; y++)
        {
            for (int x = 1; x < width - 1; x++, count++)
            {
                int at = y * width + x;
                double laplacian = pixels[at - 1] + pixels[at + 1] + pixels[at - width] + pixels[at + width] - 4.0 * pixels[at];
                sum += laplacian;
                squares += laplacian * laplacian;
            }
        }

        return count == 0 || mean == 0 ? 0 : (squares / count - sum / count * (sum / count)) / (mean * mean);
    }

    private static string[] Missing(PlateLayout layout)
    {
        if (layout.Fields.Count == 0)
            return [];
        var wells = layout.Fields.Select(field => (Row: WellName.RowNumber(field.Row), field.Column)).ToHashSet();
        return [.. from row in Enumerable.Range(wells.Min(well => well.Row), wells.Max(well => well.Row) - wells.Min(well => well.Row) + 1)
                   from column in Enumerable.Range(wells.Min(well => well.Column), wells.Max(well => well.Column) - wells.Min(well => well.Column) + 1)
                   where !wells.Contains((row, column))
                   select new PlateField(WellName.Row(row), column, 0, []).Well];
    }
}

/// <summary>What a look at a field says.</summary>
/// <param name="Field">The field.</param>
public sealed record FieldPreflight(PlateField Field)
{
    /// <summary>Width, pixels; 0 where the field could not be opened.</summary>
    public int Width { get; init; }

    /// <summary>Height, pixels.</summary>
    public int Height { get; init; }

    /// <summary>Planes of the stack.</summary>
    public int Planes { get; init; }

    /// <summary>The samples' type; null where the field could not be opened.</summary>
    public PixelType? PixelType { get; init; }

    /// <summary>Planes whose middle is all one value.</summary>
    public IReadOnlyList<int> EmptyPlanes { get; init; } = [];

    /// <summary>The largest variance of a plane's Laplacian over its squared mean.</summary>
    public double Sharpness { get; init; }

    /// <summary>Whether <see cref="Sharpness"/> is under a quarter of the plate's median: a hint.</summary>
    public bool OutOfFocus { get; init; }

    /// <summary>Why the field cannot be stained, or null.</summary>
    public string? Problem { get; init; }
}

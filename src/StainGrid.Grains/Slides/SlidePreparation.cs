using System.Security.Cryptography;
using System.Text.Json;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Turns a request into a job: opens the image and the model, chooses planes and labels, and measures each plane's
/// intensities once for all tiles.</summary>
public sealed class SlidePreparation(BlobFiles blobs, ModelFiles models)
{
    // Orleans takes 100 MiB.
    private const long MaxMessageBytes = 80L << 20;

    /// <summary>Prepares a slide. Reads every pixel of the planes once.</summary>
    /// <param name="slideId">The slide's id.</param>
    /// <param name="request">What was asked for.</param>
    /// <param name="cancellationToken">Stops between strips of the image.</param>
    /// <exception cref="SlideException">The request does not fit the image or the model.</exception>
    /// <exception cref="ImageException">The image is refused.</exception>
    /// <exception cref="ModelFileException">The model is refused.</exception>
    /// <exception cref="BlobStoreException">A blob of them cannot be had.</exception>
    public async Task<PreparedSlide> PrepareAsync(string slideId, SlideRequest request, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        var settings = request.Settings;
        if (request.Files.Count == 0)
            throw new SlideException("The request names no image file. Give at least one.");
        var model = await models.DescribeAsync(settings.Model, cancellationToken);
        if (request.ModelSha256 is { } expected && expected != model.Sha256)
            throw new SlideException($"{BlobAddress.Show(settings.Model)} is another model than when the plate was submitted. Restore it, or submit the plate under another id and output.");
        using var image = await ImageReader.OpenStackAsync(request.Files, blobs, cancellationToken: cancellationToken);
        var info = image.Info;
        if (info.Width > TilingPlan.MaxSide || info.Height > TilingPlan.MaxSide)
            throw new SlideException($"{info.Name} is {info.Width}x{info.Height} pixels; {TilingPlan.MaxSide:N0} a side is the most. Cut it into smaller images.");
        var (labels, channels) = Channels(settings, model.Metadata);
        CheckBlock(settings, labels.Length);
        var planes = Planes(settings, info)
            .Select(index =>
            {
                var range = PlaneRange.Measure(image, index, model.Metadata.Normalisation, cancellationToken);
                return new SlidePlane(index, range.Low, range.High);
            })
            .ToArray();
        var job = new SlideJob
        {
            SlideId = slideId,
            Files = request.Files,
            FileVersions = image.Versions,
            Model = settings.Model,
            ModelSha256 = model.Sha256,
            Output = request.Output,
            Name = Path.GetFileNameWithoutExtension(info.Name),
            Width = info.Width,
            Height = info.Height,
            Planes = planes,
            Labels = labels,
            Statistics = settings.Statistics,
            Channels = channels,
            Stride = settings.Stride,
            Blend = settings.Blend,
            BlockSide = settings.BlockSide,
            Clamp = model.Metadata.Normalisation.Clamp,
            BatchSize = CheckBatch(settings),
            PlateId = request.PlateId ?? slideId,
            Weight = Math.Clamp(request.Weight, 1, 100),
            PlanHash = "",
            PhysicalSizeX = info.PhysicalSizeX,
            PhysicalSizeY = info.PhysicalSizeY,
        };
        try
        {
            job.Plan().FixedPointBits(planes.Length);
        }
        catch (ArgumentOutOfRangeException e)
        {
            throw new SlideException(e.Message.Split('\n')[0], e);
        }

        string sourceHash = await image.HashAsync(cancellationToken);
        return new PreparedSlide(job with { PlanHash = PlanHash(job, sourceHash) }, info, sourceHash, model.Metadata);
    }

    // All that the pixels depend on; not the block size, which does not change them.
    private static string PlanHash(SlideJob job, string sourceHash) => Convert.ToHexStringLower(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(new
    {
        Format = 1,
        sourceHash,
        job.ModelSha256,
        job.Width,
        job.Height,
        job.Planes,
        job.Clamp,
        job.Labels,
        job.Statistics,
        job.Channels,
        job.Stride,
        job.Blend,
        job.BatchSize,
        SlideJob.ChunkSize,
    })));

    /// <summary>Checks all of the settings that needs no image.</summary>
    /// <returns>SHA-256 of the model.</returns>
    /// <exception cref="SlideException">The settings do not fit the model, or a setting is out of its range.</exception>
    /// <exception cref="ModelFileException">The model is refused.</exception>
    /// <exception cref="BlobStoreException">Its blob cannot be had.</exception>
    public async Task<string> CheckModelAsync(StainSettings settings, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(settings);
        var model = await models.DescribeAsync(settings.Model, cancellationToken);
        CheckBlock(settings, Channels(settings, model.Metadata).Labels.Length);
        CheckBatch(settings);
        try
        {
            new TilingOptions(settings.Stride, settings.Blend, settings.BlockSide).Validated();
        }
        catch (ArgumentOutOfRangeException e)
        {
            throw new SlideException(e.Message.Split('\n')[0], e);
        }

        return model.Sha256;
    }

    // A block's part in a band is one message, of about five bytes a number.
    private static void CheckBlock(StainSettings settings, int labels)
    {
        long numbers = ((settings.BlockSide - 1L) * settings.Stride + Tile.Size) * SlideJob.ChunkSize * (labels * Statistics.Layers(settings.Statistics).Count + 1);
        if (numbers * 5 > MaxMessageBytes)
            throw new SlideException($"Blocks of {settings.BlockSide}x{settings.BlockSide} tiles are too large to send ({numbers * 5 >> 20} MiB). Give a smaller --block.");
    }

    private static int CheckBatch(StainSettings settings) =>
        settings.BatchSize is >= 1 and <= 256 ? settings.BatchSize : throw new SlideException($"A batch must have 1 to 256 tiles, not {settings.BatchSize}.");

    private static IEnumerable<int> Planes(StainSettings settings, ImageInfo info)
    {
        if (settings.AllPlanes)
            return Enumerable.Range(0, info.Planes);
        int plane = settings.Plane ?? info.Planes / 2;
        return plane >= 0 && plane < info.Planes
            ? [plane]
            : throw new SlideException($"{info.Name} has planes 0 to {info.Planes - 1}, not {plane}. Give one of these, or all.");
    }

    private static (int[] Labels, OutputChannel[] Channels) Channels(StainSettings settings, ModelMetadata metadata)
    {
        var known = metadata.Labels.Select(label => label.Name).ToList();
        var names = settings.Labels.Count > 0 ? settings.Labels.Distinct(StringComparer.OrdinalIgnoreCase).ToList() : known;
        if (settings.Statistics.Count == 0 || settings.Statistics.Distinct().Count() != settings.Statistics.Count)
            throw new SlideException("Give at least one statistic, each once.");
        var labels = names.Select(name => known.FindIndex(label => label.Equals(name, StringComparison.OrdinalIgnoreCase))).ToArray();
        if (Array.IndexOf(labels, -1) is >= 0 and var unknown)
            throw new SlideException($"The model does not predict the label {names[unknown]}. It has {string.Join(", ", known)}.");
        var channels = from label in labels.Select(label => metadata.Labels[label])
                       from statistic in settings.Statistics
                       select Channel(label, statistic);
        return (labels, [.. channels]);
    }

    private static OutputChannel Channel(LabelInfo label, Statistic statistic) => statistic switch
    {
        Statistic.Mean => new(label.Name, label.Colour, label.Low, label.High, Shown: true),
        Statistic.StandardDeviation => new($"{label.Name} standard deviation", label.Colour, 0, label.High - label.Low, Shown: false),
        Statistic.Entropy => new($"{label.Name} entropy", label.Colour, 0, ushort.MaxValue, Shown: false),
        _ => new($"{label.Name} {statistic.ToString().ToLowerInvariant()}", label.Colour, label.Low, label.High, Shown: false),
    };
}

/// <summary>A slide that is ready to run.</summary>
/// <param name="Job">What tile grains and stitchers need.</param>
/// <param name="Image">What the image says of itself.</param>
/// <param name="SourceSha256">SHA-256 of the image's files.</param>
/// <param name="Model">What the model says of itself.</param>
public sealed record PreparedSlide(SlideJob Job, ImageInfo Image, string SourceSha256, ModelMetadata Model);

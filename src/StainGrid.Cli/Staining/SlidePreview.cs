using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Cli;

/// <summary>A picture of a result for people: the input, all labels in colour, then each label.</summary>
internal static class SlidePreview
{
    private const int MaxSide = 1024;

    public static async Task WriteAsync(SlideRequest request, BlobFiles inputs, string path, CancellationToken cancellationToken)
    {
        var reader = await OmeZarrReader.OpenAsync(BlobStores.Open(request.Output), cancellationToken);
        var image = reader.Image;
        int level = Enumerable.Range(0, image.Levels).First(l => l == image.Levels - 1 || Math.Max(image.LevelSize(l).Width, image.LevelSize(l).Height) <= MaxSide);
        var (width, height) = image.LevelSize(level);
        var labels = new List<(string Name, PreviewChannel Channel)>();
        for (int c = 0; c < image.Channels.Count; c++)
        {
            if (!image.Channels[c].Active)
                continue;
            ushort[] pixels = await reader.ReadAsync(level, c, new Region(0, 0, width, height), cancellationToken);
            var (low, high) = PreviewChannel.Window<ushort>(pixels);
            labels.Add((image.Channels[c].Label, PreviewChannel.FromUInt16(pixels, low, high, image.Channels[c].Color)));
        }

        var panels = new List<PreviewPanel> { await InputAsync(request, inputs, width, height, 1 << level, cancellationToken) };
        panels.Add(new PreviewPanel("PREDICTED", width, height, [.. labels.Select(label => label.Channel)]));
        if (labels.Count > 1)
            panels.AddRange(labels.Select(label => new PreviewPanel(label.Name.Replace('_', ' '), width, height, [label.Channel with { Color = "FFFFFF" }])));
        PreviewPng.Write(path, panels, columns: panels.Count <= 5 ? panels.Count : (panels.Count + 1) / 2, MaxSide);
    }

    // The input, shrunk by means of factor x factor pixels, strip by strip.
    private static async Task<PreviewPanel> InputAsync(
        SlideRequest request, BlobFiles inputs, int width, int height, int factor, CancellationToken cancellationToken)
    {
        using var image = await ImageReader.OpenStackAsync(request.Files, inputs, cancellationToken: cancellationToken);
        int plane = request.Settings.Plane ?? image.Info.Planes / 2;
        var shrunk = new float[width * height];
        for (int y = 0; y < height; y++)
        {
            var strip = new Region(0, y * factor, image.Info.Width, Math.Min(factor, image.Info.Height - y * factor));
            var pixels = new float[strip.Area];
            image.Read(plane, strip, pixels);
            var counts = new int[width];
            for (int i = 0; i < pixels.Length; i++)
            {
                int x = i % strip.Width / factor;
                shrunk[y * width + x] += pixels[i];
                counts[x]++;
            }

            for (int x = 0; x < width; x++)
                shrunk[y * width + x] /= counts[x];
        }

        var sorted = shrunk.ToArray();
        Array.Sort(sorted);
        double low = sorted[sorted.Length / 200], high = sorted[^(sorted.Length / 200 + 1)];
        return new PreviewPanel("INPUT", width, height, [new PreviewChannel(shrunk, low, Math.Max(low + 1, high))]);
    }
}

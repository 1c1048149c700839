using StainGrid.Imaging;
using StainGrid.Model;
using StainGrid.TestSupport;
using StainGrid.Tiling;

namespace StainGrid.Faults.Tests;

/// <summary>A small plate of real microscopy and a model that stains a tile in milliseconds.</summary>
internal static class TestPlate
{
    /// <summary>Rows A to D, columns 1 to 6.</summary>
    public static IReadOnlyList<(string Row, int Column)> Wells { get; } =
        [.. from row in "ABCD" from column in Enumerable.Range(1, 6) select ($"{row}", column)];

    /// <summary>The model that comes with the command.</summary>
    public static string ShippedModel => Path.Combine(Path.GetDirectoryName(SiloProcess.CommandPath)!, "models", "staingrid-neuron.safetensors");

    /// <summary>Writes different regions of the real plane, one field a well and one plane a field, with the data set's
    /// names. Skips the running test where the data is absent.</summary>
    public static void Write(string folder, int width = 256, int height = 192, int wells = 24)
    {
        string data = SharedData.File("isl-condition-b", "train");
        string source = Directory.GetFiles(data, "*z_depth-5,channel-PHASE_CONTRAST*").Single();
        using var image = ImageReader.Open(source);
        Directory.CreateDirectory(folder);
        var pixels = new float[width * height];
        for (int i = 0; i < wells; i++)
        {
            int x = (image.Info.Width - width) * (i % 6) / 5, y = (image.Info.Height - height) * (i / 6) / 3;
            image.Read(0, new Region(x, y, width, height), pixels);
            string name = Path.GetFileName(source).Replace("well-A4", $"well-{Wells[i].Row}{Wells[i].Column}", StringComparison.Ordinal)
                .Replace("z_depth-5", "z_depth-0", StringComparison.Ordinal);

            // As 16 bits whatever the source has; an 8-bit source fills the range.
            float scale = pixels.Max() > 255 ? 1 : 257;
            PngWriter.WriteGrey16(Path.Combine(folder, name), Array.ConvertAll(pixels, value => (ushort)(value * scale)), width, height);
        }
    }

    /// <summary>Writes the model.</summary>
    public static void WriteModel(string path)
    {
        using var model = StainModel.Create(
            new NetworkOptions
            {
                StemChannels = 4,
                Growth = 2,
                Resampling = Resampling.Convolution,
                EncoderLayers = [1, 1, 1],
                BottomLayers = 1,
                DecoderLayers = [1, 1, 1],
            },
            [new("FIRST", 13_000, 65_535, "FF0000"), new("SECOND", 0, 40_000, "00FF00")],
            seed: 3);
        model.Save(path);
    }
}

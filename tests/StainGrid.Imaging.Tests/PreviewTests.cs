using NetVips;
using StainGrid.TestSupport;

namespace StainGrid.Imaging.Tests;

public sealed class PreviewTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Sixteen_bit_grey_comes_back_as_it_was_written()
    {
        ushort[] pixels = [.. TestImages.Plane(50, 20, 16).Select(value => (ushort)value)];
        PngWriter.WriteGrey16(_folder.File("a.png"), pixels, 50, 20);
        Assert.Equal(pixels.Select(value => (float)value), TestImages.Vips(_folder.File("a.png")));
        using var image = ImageReader.Open(_folder.File("a.png"));
        Assert.Equal(PixelType.UInt16, image.Info.PixelType);
    }

    [Fact]
    public void A_preview_shows_windows_colours_and_panels_beside_each_other()
    {
        float[] ramp = [.. Enumerable.Range(0, 32 * 16).Select(i => (float)(i % 32))];
        float[] flat = [.. Enumerable.Repeat(100f, 32 * 16)];
        PreviewPanel[] panels =
        [
            new("Input", 32, 16, [new PreviewChannel(ramp, 0, 31)]),
            new("DAPI", 32, 16, [new PreviewChannel(ramp, 8, 16, "0000FF"), new PreviewChannel(flat, 0, 200, "FF0000")]),
        ];
        PreviewPng.Write(_folder.File("a.png"), panels);
        PreviewPng.Write(_folder.File("b.png"), panels);
        Assert.Equal(File.ReadAllBytes(_folder.File("a.png")), File.ReadAllBytes(_folder.File("b.png")));

        using var image = Image.Pngload(_folder.File("a.png"));
        Assert.Equal((2 * 40 + 8, 16 + 14 + 16 + 8, 3), (image.Width, image.Height, image.Bands));
        int top = 14 + 16;
        Assert.Equal([0, 0, 0], image[8, top]);
        Assert.Equal([255, 255, 255], image[8 + 31, top]);
        Assert.Equal([128, 0, 0], image[48 + 8, top]);
        Assert.Equal([128, 0, 128], image[48 + 12, top]);
        Assert.Equal([128, 0, 255], image[48 + 20, top + 15]);
        Assert.Contains(Enumerable.Range(8, 24), x => image[x, 10][0] == 230);
    }

    [Fact]
    public void A_large_panel_is_shrunk_by_area_means()
    {
        float[] checks = [.. Enumerable.Range(0, 300 * 300).Select(i => (i % 300 + i / 300) % 2 == 0 ? 0f : 100f)];
        PreviewPng.Write(_folder.File("a.png"), [new PreviewPanel("", 300, 300, [new PreviewChannel(checks, 0, 100)])], maxPanelSide: 150);
        using var image = Image.Pngload(_folder.File("a.png"));
        Assert.Equal((166, 166), (image.Width, image.Height));
        Assert.Equal([128, 128, 128], image[80, 80]);
    }

    [Fact]
    public void A_heat_map_has_a_brighter_cell_for_a_larger_share_and_none_where_there_is_no_number()
    {
        double?[][] shares = [[0, 0.25, 1], [null, 0.5, 0.75]];
        HeatMapPng.Write(_folder.File("a.png"), "A TITLE THAT IS WIDER THAN THE CELLS", ["0-25", "26"], ["A", "BB", "C"], (row, column) => shares[row][column]);
        HeatMapPng.Write(_folder.File("b.png"), "A TITLE THAT IS WIDER THAN THE CELLS", ["0-25", "26"], ["A", "BB", "C"], (row, column) => shares[row][column]);
        Assert.Equal(File.ReadAllBytes(_folder.File("a.png")), File.ReadAllBytes(_folder.File("b.png")));
        using var image = Image.Pngload(_folder.File("a.png"));

        // Left: four letters of 12, less 2, and two gaps; cells: five letters of 12, less 2, and a gap; two lines of 22 and a gap above.
        const int Left = 46 + 16, Cell = 58 + 8, Top = 52;
        Assert.Equal((8 + 36 * 12 - 2 + 8, Top + 2 * 32 + 8, 3), (image.Width, image.Height, image.Bands));
        double Bright(int row, int column) => image[Left + column * Cell + 2, Top + row * 32 + 2].Sum();
        double[] rising = [Bright(0, 0), Bright(0, 1), Bright(1, 1), Bright(1, 2), Bright(0, 2)];
        Assert.Equal(rising.Order(), rising);
        Assert.Equal(5, rising.Distinct().Count());
        Assert.Equal([24, 24, 24], image[Left + 2, Top + 32 + 2]);
        Assert.Equal([250, 232, 60], image[Left + 2 * Cell + 2, Top + 2]);
        Assert.True(Inked(0, 0, 230) && Inked(0, 2, 16) && !Inked(1, 0, 230), "Numbers are light on dark cells and dark on bright ones.");

        bool Inked(int row, int column, double ink) => Enumerable.Range(0, Cell * 30).Any(i =>
            image[Left + column * Cell + i % Cell, Top + row * 32 + 1 + i / Cell].All(value => value == ink));
    }

    [Fact]
    public void A_window_is_the_percentiles_and_never_empty()
    {
        Assert.Equal((5, 997), PreviewChannel.Window<ushort>([.. Enumerable.Range(0, 1001).Reverse().Select(i => (ushort)i)]));
        Assert.Equal((7, 8), PreviewChannel.Window<float>([7, 7, 7]));
    }

    [Fact]
    public void A_picture_that_cannot_be_written_is_told_and_nothing_is_left()
    {
        var refused = Assert.Throws<ImageException>(() => PngWriter.WriteGrey8(_folder.File("no", "a.png"), new byte[4], 2, 2));
        Assert.Contains("cannot be written", refused.Message, StringComparison.Ordinal);
        Directory.CreateDirectory(_folder.File("taken.png"));
        Assert.Throws<ImageException>(() => PngWriter.WriteGrey8(_folder.File("taken.png"), new byte[4], 2, 2));
        Assert.Equal([_folder.File("taken.png")], Directory.GetFileSystemEntries(_folder.Path));
    }
}

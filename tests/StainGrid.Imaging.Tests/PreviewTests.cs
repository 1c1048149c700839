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
    public void A_picture_that_cannot_be_written_is_told_and_nothing_is_left()
    {
        var refused = Assert.Throws<ImageException>(() => PngWriter.WriteGrey8(_folder.File("no", "a.png"), new byte[4], 2, 2));
        Assert.Contains("cannot be written", refused.Message, StringComparison.Ordinal);
        Directory.CreateDirectory(_folder.File("taken.png"));
        Assert.Throws<ImageException>(() => PngWriter.WriteGrey8(_folder.File("taken.png"), new byte[4], 2, 2));
        Assert.Equal([_folder.File("taken.png")], Directory.GetFileSystemEntries(_folder.Path));
    }
}

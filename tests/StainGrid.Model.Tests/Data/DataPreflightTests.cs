using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Model.Tests.Data;

public sealed class DataPreflightTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Good_fields_of_8_and_of_16_bit_have_no_problem()
    {
        // The last pixel of the second strip alone differs.
        var preflight = Run(
            Field("one", [folder.Image("z0.png", 1200, 900), folder.Image("z1.png", 1200, 900)], folder.Image("dapi.png", 1200, 900, pixel: (x, y) => x == 1199 && y == 899 ? 1 : 0)),
            Field("two", [folder.Image("float.tif", bits: 32, pixel: (x, y) => x / 3.0 - y)], folder.Image("dapi2.png")),
            Field("three", [folder.Image("8.png", bits: 8)], null, folder.Image("own8.png", bits: 8)));
        Assert.Empty(preflight.Problems);
        preflight.ThrowIfAny();
        Assert.Equal(["one", "two", "three"], preflight.Fields.Select(field => field.Field.Name));
        Assert.Equal((1200, 900, 2, PixelType.UInt16), (preflight.Fields[0].Width, preflight.Fields[0].Height, preflight.Fields[0].Planes, preflight.Fields[0].PixelType));
        Assert.Equal(PixelType.Float32, preflight.Fields[1].PixelType);
        Assert.Equal(PixelType.UInt8, preflight.Fields[2].Labels["OWN"]);
    }

    [Fact]
    public void A_target_of_another_size_is_refused() =>
        AssertProblem(Field("f", [folder.Image("z.png")], folder.Image("dapi.png", width: 141)), "dapi.png", "141x130", "140x130", "Export both");

    [Fact]
    public void Planes_of_other_sizes_are_refused() =>
        AssertProblem(Field("f", [folder.Image("z0.png"), folder.Image("z1.png", height: 131)], folder.Image("dapi.png")), "z1.png", "140x131", "alike");

    [Fact]
    public void An_image_that_no_tile_fits_into_is_refused() =>
        AssertProblem(Field("f", [folder.Image("z.png", width: 127)], folder.Image("dapi.png", width: 127)), "z.png", "127x130", "128");

    [Fact]
    public void A_target_of_one_level_is_refused() =>
        AssertProblem(Field("f", [folder.Image("z.png")], folder.Image("dapi.png", pixel: (_, _) => 0)), "dapi.png", "is 0 everywhere", "leave the label out");

    [Fact]
    public void A_plane_of_one_level_is_refused() =>
        AssertProblem(Field("f", [folder.Image("z0.png"), folder.Image("z1.png", pixel: (_, _) => 7)], folder.Image("dapi.png")), "plane 1 in z1.png", "is 7 everywhere", "Copy it again");

    [Fact]
    public void A_target_of_floats_is_refused() =>
        AssertProblem(Field("f", [folder.Image("z.png")], folder.Image("dapi.tif", bits: 32)), "dapi.tif", "32-bit floats", "16 bit");

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_float_that_is_not_finite_is_refused_wherever_it_is(double odd) =>
        AssertProblem(Field("f", [folder.Image("z.tif", 1200, 900, 32, (x, y) => x == 1199 && y == 899 ? odd : x)], folder.Image("dapi.png", 1200, 900)), "z.tif", "not finite");

    [Fact]
    public void A_file_that_was_cut_off_is_refused()
    {
        string dapi = folder.Image("dapi.png");
        byte[] bytes = File.ReadAllBytes(dapi);
        File.WriteAllBytes(dapi, bytes[..(bytes.Length / 2)]);
        AssertProblem(Field("f", [folder.Image("z.png")], dapi), "dapi.png");
    }

    [Fact]
    public void An_8_bit_target_among_16_bit_ones_of_its_label_is_refused()
    {
        var preflight = Run(
            Field("odd", [folder.Image("z.png")], folder.Image("odd.png", bits: 8), folder.Image("own.png", bits: 8)),
            Field("usual", [folder.Image("z2.png")], folder.Image("usual.png")));
        string problem = Assert.Single(preflight.Problems);
        Assert.Contains("odd: DAPI_CONFOCAL, odd.png, is of 8 bit, that of most fields of 16 bit. Export all", problem);
    }

    [Fact]
    public void All_problems_are_told_and_the_first_is_thrown_with_their_number()
    {
        var preflight = Run(
            Field("one", [folder.Image("z.png")], folder.Image("a.png", pixel: (_, _) => 1), folder.Image("b.png", width: 200)),
            Field("two", [folder.File("gone.png")], folder.Image("c.png")));
        Assert.Equal(3, preflight.Problems.Count);
        Assert.Contains("2 more", Assert.Throws<ImageException>(preflight.ThrowIfAny).Message);
        Assert.Contains("no field", Assert.Throws<ImageException>(Run().ThrowIfAny).Message);
    }

    private static PairedField Field(string name, string[] planes, string? dapi, string? own = null) => new(
        name, "", "", planes, ((string, string?)[])[("DAPI_CONFOCAL", dapi), ("OWN", own)] is var labels
            ? labels.Where(label => label.Item2 is not null).ToDictionary(label => label.Item1, label => label.Item2!) : []);

    private static DataPreflight Run(params PairedField[] fields) => DataPreflight.Run(fields, cancellationToken: TestContext.Current.CancellationToken);

    private static void AssertProblem(PairedField field, params string[] words)
    {
        string problem = Assert.Single(Run(field).Problems);
        Assert.StartsWith($"{field.Name}: ", problem);
        Assert.All(words, word => Assert.Contains(word, problem));
    }
}

using System.Globalization;
using NetVips;
using StainGrid.TestSupport;

namespace StainGrid.Model.Tests.Data;

/// <summary>Writes small images and data sets of them.</summary>
internal static class PairedFiles
{
    public const string Old = "lab-FINKBEINER,condition-KEVAN_0_8,acquisition_date,year-2015,month-10,day-5,minute-0,well-A4,tile_computation-STITCHED,";
    public const string New = "lab-Finkbeiner,condition-kevan_0_8,acquisition_date,year-2015,month-9,day-28,well-B2,";

    /// <summary>The names of a field of three planes and one label in the first dialect.</summary>
    public static string[] OldNames { get; } =
        [.. Enumerable.Range(0, 3).Select(z => $"{Old}z_depth-{z},channel-PHASE_CONTRAST,is_mask-false.png"), $"{Old}depth_computation-MAXPROJECT,channel-DAPI_CONFOCAL,is_mask-false.png"];

    /// <summary>The same in the second dialect.</summary>
    public static string[] NewNames { get; } =
        [.. Enumerable.Range(0, 3).Select(z => $"{New}z_depth-{z},channel,value-PHASE_CONTRAST,is_mask-false,kind,value-ORIGINAL.png"),
            $"{New}depth_computation,value-MAXPROJECT,channel,value-DAPI_CONFOCAL,is_mask-false,kind,value-ORIGINAL.png"];

    /// <summary>Empty files: discovery reads names alone.</summary>
    public static void Touch(this TemporaryFolder folder, string below, params IEnumerable<string> names)
    {
        Directory.CreateDirectory(folder.File(below));
        foreach (string name in names)
            File.WriteAllBytes(folder.File(below, name), []);
    }

    /// <summary>Writes a grey image; its name's end tells PNG or TIFF.</summary>
    public static string Image(this TemporaryFolder folder, string name, int width = 140, int height = 130, int bits = 16, Func<int, int, double>? pixel = null)
    {
        pixel ??= (x, y) => (x * 7 + y * 3) % 200;
        float[] pixels = [.. from y in Enumerable.Range(0, height) from x in Enumerable.Range(0, width) select (float)pixel(x, y)];
        using var floats = NetVips.Image.NewFromMemoryCopy(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(pixels).ToArray(), width, height, 1, Enums.BandFormat.Float);
        using var image = floats.Cast(bits switch { 8 => Enums.BandFormat.Uchar, 16 => Enums.BandFormat.Ushort, _ => Enums.BandFormat.Float });
        using var grey = image.Copy(interpretation: bits switch { 8 => Enums.Interpretation.Bw, 16 => Enums.Interpretation.Grey16, _ => Enums.Interpretation.Bw });
        string path = folder.File(name);
        grey.WriteToFile(path);
        return path;
    }

    /// <summary>A manifest with a header.</summary>
    public static string Manifest(this TemporaryFolder folder, params string[] lines)
    {
        string path = folder.File("pairs.csv");
        File.WriteAllLines(path, lines);
        return path;
    }

    /// <summary>A field without files.</summary>
    public static PairedField Field(int number, string condition = "B", string? well = null) => new(
        string.Create(CultureInfo.InvariantCulture, $"lab/{condition}/{well ?? "A1"}/{number}"), condition, well ?? "A1", ["plane.png"], new Dictionary<string, string> { ["DAPI_CONFOCAL"] = "dapi.png" });
}

using System.Globalization;
using StainGrid.Grains;
using StainGrid.Model;
using static TorchSharp.torch;

namespace StainGrid.Cli.Doctor;

/// <summary>Whether a device is there, multiplies right, and how fast.</summary>
internal static class DeviceCheck
{
    private const int Side = 96;

    public static Finding Run(string name)
    {
        string check = $"device {name}";
        try
        {
            var device = DeviceExecutor.Parse(name);
            foreach (var type in (ScalarType[])[ScalarType.Float32, ScalarType.BFloat16])
            {
                if (Worst(device, type) is not 0 and var worst)
                    return Finding.Fail(check, string.Create(CultureInfo.InvariantCulture, $"multiplies wrongly in {Name(type)}, by up to {worst}"), "Do not stain with it; look for a fault of the device or its driver.");
            }

            if (name != "cpu")
                return Finding.Ok(check, "is there and multiplies right in float32 and bfloat16");
            double single = ProductRate.Measure(ScalarType.Float32), half = ProductRate.Measure(ScalarType.BFloat16);
            string rates = string.Create(CultureInfo.InvariantCulture, $"multiplies right; a core does {single:0} GFLOP/s in float32 and {half:0} in bfloat16, so --precision auto takes {(ProductRate.PrefersBFloat16(name) ? "bfloat16" : "float32")}");
            return Finding.Ok(check, rates);
        }
        catch (ArgumentException e)
        {
            return Finding.Fail(check, e.Message, "Name the devices that are here (--device).");
        }
        catch (Exception e) when (e is DllNotFoundException or TypeInitializationException or System.Runtime.InteropServices.ExternalException or NotSupportedException)
        {
            return Finding.Fail(check, $"libtorch does not load: {e.GetBaseException().Message}", "Build again on this machine (./staingrid); docs/design.md says what libtorch needs.");
        }
    }

    // Small whole numbers, whose products and sums both types hold exactly: of 96 products of numbers up to 1 the sum stays below 256.
    private static double Worst(Device device, ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        float[] left = new float[Side * Side], right = new float[Side * Side], expected = new float[Side * Side];
        for (int i = 0; i < left.Length; i++)
            (left[i], right[i]) = ((i * 7 + i / Side) % 3 - 1, (i * 5 + i / Side * 3) % 3 - 1);
        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
            {
                for (int k = 0; k < Side; k++)
                    expected[y * Side + x] += left[y * Side + k] * right[k * Side + x];
            }
        }

        var product = tensor(left, [Side, Side]).to(type).to(device).matmul(tensor(right, [Side, Side]).to(type).to(device));
        return (product.to(CPU).to(ScalarType.Float32) - tensor(expected, [Side, Side])).abs().max().item<float>();
    }

    private static string Name(ScalarType type) => type == ScalarType.Float32 ? "float32" : "bfloat16";
}

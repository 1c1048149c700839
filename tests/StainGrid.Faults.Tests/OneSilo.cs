using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.TestSupport;
using StainGrid.Tiling;

[assembly: AssemblyFixture(typeof(StainGrid.Faults.Tests.OneSilo))]

namespace StainGrid.Faults.Tests;

/// <summary>The same plate on the embedded silo of the command with a folder, once for all tests that run.</summary>
public sealed partial class OneSilo : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly SemaphoreSlim _turn = new(1);
    private PlateDigest? _digest;

    // One that stains a tile in milliseconds, or the one that the command comes with.
    private string Model => Environment.GetEnvironmentVariable("STAINGRID_FAULT_MODEL") == "shipped"
        ? TestPlate.ShippedModel
        : _folder.File("small.safetensors");

    /// <summary>What all clusters are asked for.</summary>
    internal PlateRequest Request(string output) => new()
    {
        Source = _folder.File("plate"),
        Settings = new()
        {
            Model = Model,
            Stride = 128,
            BlockSide = 1,   // four blocks a field, a tile each
            BatchSize = 1,
            Precision = Precision.BFloat16,   // or each silo measures which it prefers
        },
        Output = output,
    };

    /// <summary>A manifest of a plate with the same images in so many fields a well.</summary>
    internal string Larger(int times)
    {
        string[] images = [.. Directory.GetFiles(_folder.File("plate"), "*.png").Order(StringComparer.Ordinal)];
        string manifest = _folder.File("plate", $"larger-{times}.csv");
        File.WriteAllLines(manifest, ["well,field,plane,file", .. from image in images
                                                                  from field in Enumerable.Range(0, times)
                                                                  select $"{WellName().Match(image).Groups[1].Value},{field},0,\"{Path.GetFileName(image)}\""]);
        return manifest;
    }

    /// <summary>Stains it where that was not done yet; skips the test where the images are absent.</summary>
    internal async Task<PlateDigest> StainAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            return _digest ??= await RunAsync(cancellationToken);
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<PlateDigest> RunAsync(CancellationToken cancellationToken)
    {
        TestPlate.Write(_folder.File("plate"));
        if (!File.Exists(Model))
            TestPlate.WriteModel(Model);
        var watch = Stopwatch.StartNew();
        var start = new ProcessStartInfo(SiloProcess.CommandPath,
        [
            "plate", "submit", _folder.File("plate"), "-o", _folder.File("out"), "--id", "one", "-m", Model,
            "--stride", "128", "--block", "1", "--batch", "1", "--precision", "bfloat16", "--json",
        ])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["OMP_WAIT_POLICY"] = "PASSIVE" },   // as the launcher sets it
        };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync(cancellationToken);
        string printed = await process.StandardOutput.ReadToEndAsync(cancellationToken);
        await process.WaitForExitAsync(cancellationToken);
        Assert.True(process.ExitCode == 0, printed + await error);
        TestContext.Current.TestOutputHelper!.WriteLine(string.Create(CultureInfo.InvariantCulture, $"One embedded silo: {watch.Elapsed.TotalSeconds:f1} s."));
        return await PlateDigest.OfAsync(new FolderBlobStore(_folder.File("out")), cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _turn.Dispose();
        _folder.Dispose();
    }

    [GeneratedRegex("well-([A-Z][0-9]+)")]
    private static partial Regex WellName();
}

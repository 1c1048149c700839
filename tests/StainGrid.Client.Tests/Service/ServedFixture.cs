using System.Diagnostics;
using StainGrid.Imaging;
using StainGrid.TestSupport;

[assembly: AssemblyFixture(typeof(StainGrid.Client.Tests.ServedFixture))]

namespace StainGrid.Client.Tests;

/// <summary>A real `staingrid serve` that asks for keys, with a key of tenant "lab" and a share "plates"; one for all tests, started at the first use.</summary>
public sealed class ServedFixture : IAsyncDisposable
{
    public const string Pattern = @"(?<well>[A-H]\d\d)";

    private readonly TemporaryFolder folder = new();
    private readonly SemaphoreSlim starting = new(1);
    private SiloProcess? process;

    public Uri Address { get; private set; } = null!;

    /// <summary>A key that may submit.</summary>
    public string Key { get; private set; } = "";

    /// <summary>The share's folder, with plates of three and twelve wells.</summary>
    public string Share => folder.File("share");

    public HttpStainGridClient Client(HttpStainGridOptions? options = null) => new(Address, (options ?? new HttpStainGridOptions()) with { ApiKey = Key });

    /// <summary>Starts the service unless it runs.</summary>
    public async Task<ServedFixture> StartAsync(CancellationToken cancellationToken)
    {
        await starting.WaitAsync(cancellationToken);
        try
        {
            if (process is not null)
                return this;
            WritePlate(Path.Combine(Share, "three"), 3);
            WritePlate(Path.Combine(Share, "twelve"), 12, side: 192);
            Key = (await Conformance.RunAsync(
                SiloProcess.CommandPath, ["key", "create", "--state", folder.File("data", "state"), "--tenant", "lab", "--name", "the tests"], folder.Path, cancellationToken)).Trim();
            string[] arguments = ["serve", "--data", folder.File("data"), "--http", "127.0.0.1:0", "--auth", "true", "--shares", $"plates={Share}", "--threads", "1"];
            process = await SiloProcess.StartAsync("serve", () => Command(arguments), "staingrid: serving ", folder.File("serve.log"), cancellationToken);
            Address = new Uri(process.ReadyLine["staingrid: serving ".Length..].Split(' ')[0]);
            return this;
        }
        finally
        {
            starting.Release();
        }
    }

    /// <summary>The command with arguments.</summary>
    public static ProcessStartInfo Command(IEnumerable<string> arguments) =>
        new(SiloProcess.CommandPath, arguments) { Environment = { ["OMP_WAIT_POLICY"] = "PASSIVE" } };   // as the launcher sets it

    /// <summary>Writes a plate of small fields, one a well and one plane a field: A01.png, A02.png ..</summary>
    public static void WritePlate(string folder, int wells, int side = 128)
    {
        Directory.CreateDirectory(folder);
        for (int well = 0; well < wells; well++)
        {
            var random = new Random(well);
            PngWriter.WriteGrey16(
                Path.Combine(folder, $"{(char)('A' + (well / 12))}{(well % 12) + 1:00}.png"),
                [.. Enumerable.Range(0, side * side).Select(i => (ushort)(30_000 + (10_000 * Math.Sin(i % side / 7.0) * Math.Cos(i / side / 9.0)) + random.Next(500)))], side, side);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (process is not null)
            await process.DisposeAsync();
        starting.Dispose();
        folder.Dispose();
    }
}

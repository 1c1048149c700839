using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Microsoft.Playwright;
using StainGrid.Imaging;
using StainGrid.Imaging.Specimen;
using StainGrid.Model;
using StainGrid.TestSupport;

namespace StainGrid.Web.Tests;

/// <summary>A service that wants keys, in a process of its own, with a model that stains a tile in milliseconds, and Debian's Chromium.</summary>
public sealed class PageFixture : IAsyncLifetime
{
    internal const string Chromium = "/usr/bin/chromium";
    private const int Width = 700, Height = 600;
    private static readonly string[] s_statistics = ["mean", "standard_deviation"];
    private readonly TemporaryFolder folder = new();
    private readonly SemaphoreSlim plateTurn = new(1);
    private readonly List<IPage> open = [];
    private SiloProcess? service;
    private IPlaywright? playwright;
    private IBrowser? browser;
    private string? plate;

    /// <summary>The key of a person who may submit.</summary>
    public string Key { get; private set; } = "";

    /// <summary>The key of a person who may look.</summary>
    public string ReadKey { get; private set; } = "";

    /// <summary>Where the page is.</summary>
    public string Url { get; private set; } = "";

    /// <summary>The folder that is shared as share:plates.</summary>
    public string Shared => folder.File("plates");

    /// <summary>Where a plate's result stands.</summary>
    public string ResultOf(string plateId) => folder.File("data", "results", "lab", plateId);

    /// <summary>A folder for pictures of the page.</summary>
    public static string Pictures { get; } = Directory.CreateDirectory(Path.Combine(WebFolder.Root, "TestResults", "page")).FullName;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        if (!File.Exists(Chromium))
            return;
        WriteModel(folder.File("small.safetensors"));
        var specimen = SyntheticSpecimen.Generate(new SpecimenOptions { Width = Width + 200, Height = Height + 200, Planes = 3, Seed = 11 });
        ushort[] light = specimen.Plane(1);
        await WriteZarrPlateAsync(Path.Combine(Shared, "zarr"), light, Width + 200);
        WriteImages(folder.File("images"), light, Width + 200);
        WriteLongPlate(Path.Combine(Shared, "long"));

        string data = folder.File("data");
        Key = await KeyAsync("Ann Other", "submit");
        ReadKey = await KeyAsync("A Visitor", "read");
        int port = FreePort.Next();   // the same after a restart, so that the page finds it again
        service = await SiloProcess.StartAsync(
            "serve",
            () =>
            {
                var info = new ProcessStartInfo(SiloProcess.CommandPath,
                    ["serve", "--http", $"127.0.0.1:{port}", "--auth", "true", "--data", data, "--models", folder.File("small.safetensors"), "--shares", $"plates={Shared}"]);
                info.Environment["OMP_WAIT_POLICY"] = "PASSIVE";
                return info;
            },
            "staingrid: serving http", Path.Combine(Pictures, "serve.log"), Stop);
        Url = $"http://127.0.0.1:{port}/";
        playwright = await Playwright.CreateAsync();
        Assertions.SetDefaultExpectTimeout(60_000);
        browser = await playwright.Chromium.LaunchAsync(new()
        {
            ExecutablePath = Chromium,
            Timeout = 180_000,
            Args = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        });
    }

    /// <summary>The images that a person uploads: wells A01, A02 and B01 of two fields, and B02 whose file is cut off.</summary>
    public string[] Images => [.. Directory.GetFiles(folder.File("images")).Order(StringComparer.Ordinal)];

    /// <summary>Kills the service.</summary>
    public Task KillAsync() => service!.KillAsync();

    /// <summary>Starts the service again; kills it where it runs.</summary>
    public Task RestartAsync() => service!.RestartAsync(Stop);

    /// <summary>A browser window of its own, signed in or not. What the page complains about on the console fails the test.</summary>
    public async Task<IPage> OpenAsync(bool signedIn, int width = 1280, int height = 900, ColorScheme scheme = ColorScheme.Light, ICollection<string>? complaints = null)
    {
        Assert.SkipWhen(browser is null, $"{Chromium} is not there: apt-get install chromium.");
        var context = await browser!.NewContextAsync(new() { ViewportSize = new() { Width = width, Height = height }, ColorScheme = scheme, Locale = "en-GB", ReducedMotion = ReducedMotion.Reduce });
        context.SetDefaultTimeout(120_000);
        if (signedIn)
        {
            var answer = await context.APIRequest.PostAsync(Url + "v1/session", new() { DataObject = new { key = Key } });
            Assert.Equal(204, answer.Status);
        }

        var page = await context.NewPageAsync();
        open.Add(page);
        page.PageError += (_, error) => complaints?.Add(error);
        page.Console += (_, message) =>
        {
            // The browser itself notes answers of 401, 404 and lost connections, which are the page's business, and that these tests look at pixels.
            if (message.Type is "error" or "warning" && !message.Text.StartsWith("Failed to load resource", StringComparison.Ordinal) && !message.Text.StartsWith("Canvas2D: Multiple readback", StringComparison.Ordinal))
                complaints?.Add(message.Text);
        };
        return page;
    }

    /// <summary>Closes the windows of a test; of one that failed, pictures tell how the page looked.</summary>
    public async Task CloseAsync()
    {
        var context = TestContext.Current;
        foreach (var (i, page) in open.Index())
        {
            if (context.TestState?.Result == TestResult.Failed)
                await page.ScreenshotAsync(new() { Path = Path.Combine(Pictures, $"failed-{context.TestMethod?.MethodName}-{i}.png"), FullPage = true });
            await page.Context.CloseAsync();
        }

        open.Clear();
    }

    /// <summary>A plate of four wells from the shared OME-Zarr, stained; the same for all tests.</summary>
    public async Task<string> PlateAsync()
    {
        Assert.SkipWhen(browser is null, $"{Chromium} is not there: apt-get install chromium.");
        await plateTurn.WaitAsync(Stop);
        try
        {
            if (plate is not null)
                return plate;
            using var http = Client();
            var answer = await http.PostAsJsonAsync("v1/plates", new { source = "share:plates/zarr", name = "Shared plate", statistics = s_statistics }, Stop);
            var status = await answer.Content.ReadFromJsonAsync<JsonElement>(Stop);
            string id = status.GetProperty("plate_id").GetString()!;
            while (!status.GetProperty("is_final").GetBoolean())
            {
                await Task.Delay(200, Stop);
                status = await http.GetFromJsonAsync<JsonElement>($"v1/plates/{id}", Stop);
            }

            Assert.Equal("complete", status.GetProperty("state").GetString());
            return plate = id;
        }
        finally
        {
            plateTurn.Release();
        }
    }

    /// <summary>Cancels a plate that may run.</summary>
    public async Task CancelAsync(string id)
    {
        using var http = Client();
        (await http.PostAsync(new Uri($"v1/plates/{id}/cancel", UriKind.Relative), null, Stop)).EnsureSuccessStatusCode();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (browser is not null)
            await browser.DisposeAsync();
        playwright?.Dispose();
        if (service is not null)
            await service.DisposeAsync();
        plateTurn.Dispose();
        folder.Dispose();
    }

    private HttpClient Client()
    {
        var http = new HttpClient { BaseAddress = new Uri(Url) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Key);
        return http;
    }

    private async Task<string> KeyAsync(string name, string role) => (await Conformance.RunAsync(
        SiloProcess.CommandPath, ["key", "create", "--state", folder.File("data", "state"), "--tenant", "lab", "--name", name, "--role", role], folder.Path, Stop)).Trim();

    private static void WriteModel(string path)
    {
        using var model = StainModel.Create(
            new NetworkOptions { StemChannels = 4, Growth = 2, Resampling = Resampling.Convolution, EncoderLayers = [1, 1, 1], BottomLayers = 1, DecoderLayers = [1, 1, 1] },
            [new("DAPI_CONFOCAL", 13_000, 65_535, "4060FF"), new("NFH_CONFOCAL", 0, 40_000, "FF3040")],
            seed: 3);
        model.Save(path);
    }

    private static ushort[] Cut(ushort[] pixels, int stride, int x, int y)
    {
        var part = new ushort[Width * Height];
        for (int row = 0; row < Height; row++)
            pixels.AsSpan((y + row) * stride + x, Width).CopyTo(part.AsSpan(row * Width));
        return part;
    }

    private static async Task WriteZarrPlateAsync(string target, ushort[] light, int stride)
    {
        PlateField[] fields = [.. from row in "AB" from column in (int[])[1, 2] select new PlateField($"{row}", column, 0, [])];
        var store = BlobStores.Open(target);
        for (int i = 0; i < fields.Length; i++)
        {
            var image = new OmeZarrImage(fields[i].Well, Width, Height, [new OmeZarrChannel("PHASE_CONTRAST")]) { PhysicalSizeX = 0.65, PhysicalSizeY = 0.65 };
            var writer = new OmeZarrWriter(store.Within(fields[i].Path), image);
            await writer.WriteArrayMetadataAsync(Stop);
            ushort[] pixels = Cut(light, stride, 50 * i, 60 * i);
            var (rows, columns) = image.ChunkGrid(0);
            for (int row = 0; row < rows; row++)
            {
                for (int column = 0; column < columns; column++)
                    await writer.WriteChunkAsync(0, 0, row, column, Chunk(pixels, image.ChunkSize, row, column), Stop);
            }

            await writer.BuildPyramidAsync(cancellationToken: Stop);
            await writer.CompleteAsync(Stop);
        }

        using var plate = new HcsPlateWriter(store, new PlateLayout("plate", target, ["A", "B"], ["1", "2"], fields));
        await plate.WriteAsync(fields, Stop);
    }

    private static ushort[] Chunk(ushort[] pixels, int side, int row, int column)
    {
        var chunk = new ushort[side * side];
        for (int y = 0; y < Math.Min(side, Height - row * side); y++)
            pixels.AsSpan((row * side + y) * Width + column * side, Math.Min(side, Width - column * side)).CopyTo(chunk.AsSpan(y * side));
        return chunk;
    }

    private static void WriteImages(string target, ushort[] light, int stride)
    {
        Directory.CreateDirectory(target);
        int number = 0;
        foreach (string well in (string[])["A01", "A02", "B01", "B02"])
        {
            for (int field = 1; field <= 2; field++)
            {
                string path = Path.Combine(target, $"plate_{well}_T0001F{field:D3}L01A01Z01C01.png");
                PngWriter.WriteGrey16(path, Cut(light, stride, 20 * number, 25 * number), Width, Height);
                number++;
                if (well == "B02" && field == 2)
                    File.WriteAllBytes(path, File.ReadAllBytes(path)[..100_000]);
            }
        }
    }

    // Two fields that are stained for longer than a test takes to cancel them.
    private static void WriteLongPlate(string target)
    {
        Directory.CreateDirectory(target);
        foreach (string well in (string[])["C03", "D11"])
            PngWriter.WriteGrey16(Path.Combine(target, $"plate_{well}_T0001F001L01A01Z01C01.png"), [.. Enumerable.Range(0, 3000 * 3000).Select(i => (ushort)(i * 37))], 3000, 3000);
    }
}

/// <summary>The tests that share the service.</summary>
[CollectionDefinition(nameof(PageFixture))]
public sealed class PageTestGroup : ICollectionFixture<PageFixture>;

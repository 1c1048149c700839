using System.Collections.Concurrent;
using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using StainGrid.Imaging;
using StainGrid.Tiling;
using static Microsoft.Playwright.Assertions;

namespace StainGrid.Web.Tests;

/// <summary>What a person does with the page, in a real browser against a real service.</summary>
[Collection(nameof(PageFixture))]
public sealed partial class PageTests(PageFixture fixture) : IAsyncDisposable
{
    private const float Patience = 300_000;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync() => await fixture.CloseAsync();

    [GeneratedRegex("^#/plates/([0-9a-f]{32})")]
    private static partial Regex PlateHash { get; }

    // Of the finest level of a field.
    [GeneratedRegex("/(zarr|input)/[A-Z]/[0-9]+/[0-9]+/0(/[0-9]+){5}$")]
    private static partial Regex FinestChunk { get; }

    [Fact]
    public async Task A_person_signs_in_submits_a_plate_watches_it_and_looks_at_a_field()
    {
        var complaints = new List<string>();
        var page = await fixture.OpenAsync(signedIn: false, complaints: complaints);
        await page.GotoAsync(fixture.Url);

        // A wrong key is refused in the service's own words, the right one lets in.
        await page.GetByLabel("API key").FillAsync("sgk_wrong");
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("not one of this service's");
        await page.GetByLabel("API key").FillAsync(fixture.Key);
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Plates", Level = 1 })).ToBeVisibleAsync();
        await Expect(page.GetByText("Ann Other")).ToBeVisibleAsync();

        // Submits; a submission without images is refused before anything is sent.
        await page.GetByRole(AriaRole.Link, new() { Name = "Submit a plate" }).ClickAsync();
        await Expect(page.GetByLabel("DAPI_CONFOCAL")).ToBeCheckedAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("Choose the plate's images");
        await page.GetByLabel("Image files").SetInputFilesAsync(fixture.Images);
        await Expect(page.GetByText("8 files")).ToBeVisibleAsync();
        await page.GetByLabel("Name of the plate").FillAsync("By hand <b>");
        await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();

        // Watches it until it ends; the field whose file is cut off failed, with its reason.
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "By hand <b>", Level = 1 })).ToBeVisibleAsync(new() { Timeout = Patience });
        string id = await IdAsync(page);
        await Expect(page.Locator(".heading .state")).ToHaveTextAsync("complete with failures", new() { Timeout = Patience });
        await Expect(page.Locator(".progress p")).ToContainTextAsync("7 of 8 fields complete, 1 failed");
        var wells = page.GetByRole(AriaRole.Grid, new() { Name = "Wells of the plate, by state" });
        await wells.GetByRole(AriaRole.Button, new() { Name = "B02: failed, 1 of 2 fields complete, 1 failed" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Fields of B02" })).ToBeVisibleAsync();
        await Expect(page.Locator(".fields .reason")).ToContainTextAsync("B02");

        await page.Locator(".fields li").Filter(new() { Has = page.Locator(".reason") }).GetByRole(AriaRole.Link).ClickAsync();
        await Expect(page.Locator(".notice .reason")).ToContainTextAsync("B02");
        await page.GoBackAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Fields of B02" })).ToBeVisibleAsync();   // the place is kept

        // The figures of the wells are those of the table.
        await page.GetByLabel("Figure", new() { Exact = true }).SelectOptionAsync("P99");
        await page.GetByLabel("Channel", new() { Exact = true }).SelectOptionAsync("NFH_CONFOCAL");
        double[] expected = [.. (await File.ReadAllLinesAsync(Path.Combine(fixture.ResultOf(id), "staingrid-fields.csv"), Stop)).Skip(1).Select(line => line.Split(','))
            .Where(row => row[0] == "A02" && row.Contains("NFH_CONFOCAL")).Select(row => double.Parse(row[^1], CultureInfo.InvariantCulture))];
        Assert.Equal(2, expected.Length);
        var plot = page.GetByRole(AriaRole.Grid, new() { Name = "99th percentile of NFH_CONFOCAL of each well" });
        await plot.GetByRole(AriaRole.Button, new() { Name = $"A02: {expected.Average().ToString("0", CultureInfo.InvariantCulture)}" }).ClickAsync();

        // A thumbnail shows the very pixels of the stored image.
        await Expect(page.Locator(".fields canvas[data-drawn]")).ToHaveCountAsync(2);
        await ThumbnailIsTheImageAsync(page, id, await page.Locator(".fields h3 a").First.GetAttributeAsync("href") ?? "");

        // The viewer.
        await page.Locator(".fields h3 a").First.ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { NameRegex = new Regex("^A02 field"), Level = 1 })).ToBeVisibleAsync();
        var (input, labels) = (Canvas(page, "Input"), Canvas(page, "Labels"));
        (string inputBefore, string labelsBefore) = (await SettledAsync(input), await SettledAsync(labels));
        Assert.NotEqual(inputBefore, labelsBefore);
        await Expect(page.GetByRole(AriaRole.Img, new() { Name = "Scale bar: " })).ToHaveAttributeAsync("aria-label", new Regex("^Scale bar: [125]0* px$"));

        await page.GetByRole(AriaRole.Button, new() { Name = "Zoom in" }).ClickAsync();
        string inputZoomed = await ChangedAsync(input, inputBefore), labelsZoomed = await ChangedAsync(labels, labelsBefore);   // both move

        await page.GetByRole(AriaRole.Checkbox, new() { Name = "NFH_CONFOCAL", Exact = true }).UncheckAsync();
        string oneLabel = await ChangedAsync(labels, labelsZoomed);
        Assert.Equal(inputZoomed, await SettledAsync(input));
        Assert.True(await IsBlueAloneAsync(labels), "with the red label off, what is left is of the other's colour, 4060FF");

        var dapi = page.GetByRole(AriaRole.Group, new() { Name = "DAPI_CONFOCAL", Exact = true });
        await dapi.GetByLabel("Bright").FocusAsync();
        for (int i = 0; i < 3; i++)
            await page.Keyboard.PressAsync("PageDown");
        string brighter = await ChangedAsync(labels, oneLabel);

        await page.GetByRole(AriaRole.Checkbox, new() { Name = "DAPI_CONFOCAL standard deviation" }).CheckAsync();
        string uncertain = await ChangedAsync(labels, brighter);
        await page.GetByRole(AriaRole.Button, new() { Name = "As at first" }).ClickAsync();
        await ChangedAsync(labels, uncertain);

        await page.GetByRole(AriaRole.Radio, new() { Name = "Blended" }).CheckAsync();
        var both = Canvas(page, "Labels over input");
        await Expect(page.Locator(".pane")).ToHaveCountAsync(1);
        string blended = await SettledAsync(both);
        await page.GetByLabel("Labels over input", new() { Exact = true }).And(page.Locator("input")).FillAsync("0");
        await ChangedAsync(both, blended);

        // Left while tiles are on their way: nothing is finished for a viewer that is gone.
        var (asked, come) = (new TaskCompletionSource(), new TaskCompletionSource());
        await page.RouteAsync(FinestChunk, async route =>
        {
            asked.TrySetResult();
            await come.Task;
            await route.ContinueAsync();
        });
        await page.ReloadAsync();
        await asked.Task.WaitAsync(TimeSpan.FromMinutes(2), Stop);
        await Expect(page.Locator(".pane[aria-busy=true]").First).ToBeVisibleAsync();
        await page.GoBackAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "By hand <b>", Level = 1 })).ToBeVisibleAsync();
        await page.RunAndWaitForResponseAsync(() => { come.SetResult(); return Task.CompletedTask; }, response => FinestChunk.IsMatch(response.Url) && response.Ok);
        await page.EvaluateAsync("new Promise(resolve => setTimeout(resolve, 1000))");

        await page.GetByRole(AriaRole.Button, new() { Name = "Sign out" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Sign in" })).ToBeVisibleAsync();
        await page.ReloadAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Sign in" })).ToBeVisibleAsync();
        Assert.Empty(complaints);
    }

    [Fact]
    public async Task A_plate_is_cancelled_and_retried_and_a_service_that_was_killed_is_found_again()
    {
        string before = await fixture.PlateAsync();
        var complaints = new List<string>();
        var page = await fixture.OpenAsync(signedIn: true, complaints: complaints);
        await page.GotoAsync(fixture.Url + "#/submit");
        await page.GetByLabel("From a shared folder").CheckAsync();
        await page.GetByLabel("Shared folder", new() { Exact = true }).FillAsync("share:plates/nowhere");
        await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();   // and what was typed is still there
        await page.GetByLabel("Shared folder", new() { Exact = true }).FillAsync("share:plates/long");
        await page.GetByLabel("Name of the plate").FillAsync("A long one");
        await page.GetByText("More settings").ClickAsync();
        await page.GetByLabel("Distance of neighbouring tiles").FillAsync("16");
        await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "A long one", Level = 1 })).ToBeVisibleAsync(new() { Timeout = Patience });
        await Expect(page.GetByRole(AriaRole.Button, new() { NameRegex = new Regex("^C03: running") })).ToBeVisibleAsync(new() { Timeout = Patience });

        await fixture.KillAsync();
        await Expect(page.GetByText("The connection was lost")).ToBeVisibleAsync();
        await fixture.RestartAsync();
        await Expect(page.GetByText("The connection was lost")).ToBeHiddenAsync(new() { Timeout = Patience });

        // The input of a field can be looked at while it is stained.
        await page.GetByRole(AriaRole.Link, new() { NameRegex = new Regex("^C03 field") }).And(page.Locator("h3 a")).ClickAsync();
        await Expect(page.GetByText("This field is running")).ToBeVisibleAsync();
        await SettledAsync(Canvas(page, "Input"));
        await Expect(page.Locator(".pane")).ToHaveCountAsync(1);
        await page.GoBackAsync();

        // No is no.
        await page.GetByRole(AriaRole.Button, new() { Name = "Cancel the plate" }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "No" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Dialog)).ToBeHiddenAsync();
        await Expect(page.Locator(".heading .state")).ToHaveTextAsync("running");
        await CancelAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Retry 2 fields" }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Yes, retry" }).ClickAsync();
        await Expect(page.Locator(".heading .state")).ToHaveTextAsync("running", new() { Timeout = Patience });
        await CancelAsync();

        await page.GotoAsync(fixture.Url + "#/plates?state=cancelled&text=long");
        await page.GetByRole(AriaRole.Link, new() { Name = "A long one" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Delete the plate" }).ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Yes, delete it" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Plates", Level = 1 })).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "Shared plate" }).First).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "A long one" })).ToBeHiddenAsync();
        await page.GotoAsync($"{fixture.Url}#/plates?state=complete&text={before}");
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "Shared plate" })).ToBeVisibleAsync();   // of before the restart
        await page.GetByLabel("State").SelectOptionAsync("failed");
        await Expect(page.GetByText("No plate is like that.")).ToBeVisibleAsync();
        Assert.Empty(complaints);

        async Task CancelAsync()
        {
            await page.GetByRole(AriaRole.Button, new() { Name = "Cancel the plate" }).ClickAsync();
            await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Yes, cancel it" }).ClickAsync();
            await Expect(page.Locator(".heading .state")).ToHaveTextAsync("cancelled", new() { Timeout = Patience });
        }
    }

    [Fact]
    public async Task An_upload_goes_on_after_errors_and_can_be_cancelled()
    {
        var page = await fixture.OpenAsync(signedIn: true);
        var starts = new List<long>();
        int losing = 1;
        await page.RouteAsync("**/v1/uploads/*/files/*", async route =>
        {
            if (route.Request.Method != "PATCH")
            {
                await route.ContinueAsync();
                return;
            }

            long start = long.Parse(route.Request.Headers["upload-offset"], CultureInfo.InvariantCulture);
            lock (starts)
                starts.Add(start);
            if (start > 0 && Interlocked.Decrement(ref losing) >= 0)   // in the middle of the file
                await route.AbortAsync();
            else
                await route.ContinueAsync();
        });
        await page.GotoAsync(fixture.Url + "#/submit");
        await page.GetByLabel("Name of the plate").FillAsync("Sent in pieces");
        string big = Path.Combine(Path.GetTempPath(), $"staingrid_{Guid.NewGuid():n}_A01_T0001F001L01A01Z01C01.png");
        try
        {
            // Noise that does not shrink: more than two pieces of 4 MiB.
            var random = new Random(1);
            PngWriter.WriteGrey16(big, [.. Enumerable.Range(0, 2400 * 2100).Select(_ => (ushort)random.Next(65_536))], 2400, 2100);
            Assert.True(new FileInfo(big).Length > 9 << 20);
            await page.GetByLabel("Image files").SetInputFilesAsync(big);

            // Lost for longer than the page tries by itself: it says so, and goes on when a person says so.
            losing = 1000;
            await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
            await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("does not answer", new() { Timeout = Patience });
            losing = 1;
            await page.GetByRole(AriaRole.Button, new() { Name = "Go on" }).ClickAsync();
            await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Sent in pieces", Level = 1 })).ToBeVisibleAsync(new() { Timeout = Patience });
            Assert.Equal([0, 4 << 20, 8 << 20], starts.Distinct());
            Assert.Single(starts, start => start == 0);   // nothing that had arrived was sent again

            await fixture.CancelAsync(await IdAsync(page));   // or it takes the devices of what follows

            // Another one, cancelled on its way: back at the form, with what was typed.
            losing = 1000;
            await page.GotoAsync(fixture.Url + "#/submit");
            await page.GetByLabel("Name of the plate").FillAsync("Never to be");
            await page.GetByLabel("Image files").SetInputFilesAsync(big);
            await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
            var dropped = page.WaitForResponseAsync(response => response.Request.Method == "DELETE" && response.Ok);
            await page.GetByRole(AriaRole.Button, new() { Name = "Cancel the upload" }).ClickAsync();
            await Expect(page.GetByLabel("Name of the plate")).ToHaveValueAsync("Never to be");
            await dropped;

            // And one that is cancelled before the service has answered its first request: what is opened then is dropped, no plate is submitted.
            var answer = new TaskCompletionSource();
            await page.RouteAsync("**/v1/uploads", async route =>
            {
                await answer.Task;
                await route.ContinueAsync();
            });
            var asked = new ConcurrentQueue<string>();
            page.Request += (_, request) => asked.Enqueue($"{request.Method} {new Uri(request.Url).AbsolutePath}");
            await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
            await page.GetByRole(AriaRole.Button, new() { Name = "Cancel the upload" }).ClickAsync();
            await page.RunAndWaitForResponseAsync(() => { answer.SetResult(); return Task.CompletedTask; }, response => response.Request.Method == "DELETE" && response.Ok);
            await Expect(page.GetByLabel("Name of the plate")).ToHaveValueAsync("Never to be");
            Assert.DoesNotContain("POST /v1/plates", asked);
            Assert.DoesNotContain(asked, request => request.StartsWith("PATCH", StringComparison.Ordinal));

            // Nor does it matter then how that request ends.
            var (lost, failed) = (new TaskCompletionSource(), new TaskCompletionSource());
            page.RequestFailed += (_, request) => failed.TrySetResult();
            await page.RouteAsync("**/v1/uploads", async route =>
            {
                await lost.Task;
                await route.AbortAsync();
            });
            await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
            await page.GetByRole(AriaRole.Button, new() { Name = "Cancel the upload" }).ClickAsync();
            lost.SetResult();
            await failed.Task.WaitAsync(TimeSpan.FromMinutes(2), Stop);
            await Task.Delay(200, Stop);
            await Expect(page.GetByLabel("Name of the plate")).ToHaveValueAsync("Never to be");
            await Expect(page.GetByRole(AriaRole.Alert)).ToHaveCountAsync(0);
        }
        finally
        {
            File.Delete(big);
        }
    }

    [Fact]
    public async Task What_is_typed_before_the_models_are_known_waits_for_them()
    {
        var page = await fixture.OpenAsync(signedIn: true);
        var (first, second) = (new TaskCompletionSource(), new TaskCompletionSource());
        int asked = 0;
        await page.RouteAsync("**/v1/models", async route =>
        {
            bool lost = Interlocked.Increment(ref asked) == 1;
            await (lost ? first : second).Task;
            await (lost ? route.AbortAsync() : route.ContinueAsync());
        });
        await page.GotoAsync(fixture.Url + "#/submit");
        var submit = page.GetByRole(AriaRole.Button, new() { Name = "Submit" });
        await page.GetByLabel("Name of the plate").FillAsync("In a hurry");
        await Expect(submit).ToBeDisabledAsync();
        first.SetResult();
        await Expect(page.GetByRole(AriaRole.Alert)).ToContainTextAsync("does not answer");
        await page.GetByRole(AriaRole.Button, new() { Name = "Load the models again" }).ClickAsync();
        await Expect(submit).ToBeDisabledAsync();
        second.SetResult();
        await Expect(submit).ToBeEnabledAsync();
        await Expect(page.GetByLabel("DAPI_CONFOCAL")).ToBeCheckedAsync();
        await Expect(page.GetByLabel("Name of the plate")).ToHaveValueAsync("In a hurry");
        await Expect(page.GetByRole(AriaRole.Alert)).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task A_session_that_ends_costs_nobody_their_place()
    {
        var page = await fixture.OpenAsync(signedIn: true);
        await page.GotoAsync(fixture.Url + "#/submit");
        await page.GetByLabel("From a shared folder").CheckAsync();
        await page.GetByLabel("Shared folder", new() { Exact = true }).FillAsync("share:plates/zarr");
        await page.GetByLabel("Name of the plate").FillAsync("Typed before");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Submit" })).ToBeEnabledAsync();
        await page.Context.ClearCookiesAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
        await Expect(page.GetByText("Your session has ended.")).ToBeVisibleAsync();
        await page.GetByLabel("API key").FillAsync(fixture.Key);
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Typed before", Level = 1 })).ToBeVisibleAsync(new() { Timeout = Patience });
        await Expect(page.Locator(".heading .state")).ToHaveTextAsync("complete", new() { Timeout = Patience });
    }

    [Fact]
    public async Task A_key_that_may_read_alone_sees_plates_and_no_way_to_change_them()
    {
        string plate = await fixture.PlateAsync();
        var page = await fixture.OpenAsync(signedIn: false);
        await page.GotoAsync($"{fixture.Url}#/plates?text={plate}");
        await page.GetByLabel("API key").FillAsync(fixture.ReadKey);
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "Shared plate" })).ToBeVisibleAsync();   // where the address led
        await Expect(page.GetByRole(AriaRole.Link, new() { NameRegex = new Regex("^Submit") })).ToHaveCountAsync(0);
        await page.GotoAsync(fixture.Url + "#/submit");
        await Expect(page.GetByText("Your key may look at plates")).ToBeVisibleAsync();
    }

    [Fact]
    public async Task A_plate_is_opened_and_a_field_looked_at_with_the_keyboard_alone()
    {
        string plate = await fixture.PlateAsync();
        var page = await fixture.OpenAsync(signedIn: true);
        await page.GotoAsync($"{fixture.Url}#/plates?text={plate}");
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "Shared plate" })).ToBeVisibleAsync();
        await TabToAsync(page, "a", "Shared plate");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Shared plate", Level = 1 })).ToBeFocusedAsync();
        await Expect(page.GetByRole(AriaRole.Grid)).ToHaveCountAsync(2);

        await TabToAsync(page, "button.well", "A01");
        await page.Keyboard.PressAsync("ArrowDown");
        await page.Keyboard.PressAsync("ArrowRight");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Fields of B02" })).ToBeVisibleAsync();
        await TabToAsync(page, ".fields a", "B02 field 0");
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "B02 field 0", Level = 1 })).ToBeFocusedAsync();

        var labels = Canvas(page, "Labels");
        string before = await SettledAsync(labels);
        await TabToAsync(page, ".openseadragon-canvas", "Labels of B02 field 0");
        await page.Keyboard.PressAsync("+");
        string zoomed = await ChangedAsync(labels, before);
        await page.Keyboard.PressAsync("ArrowRight");
        string moved = await ChangedAsync(labels, zoomed);
        await page.Keyboard.PressAsync("r");   // would turn it
        Assert.Equal(moved, await SettledAsync(labels));
        await page.Keyboard.PressAsync("0");
        Assert.Equal(before, await ChangedAsync(labels, moved));
        await Expect(page.GetByRole(AriaRole.Img, new() { Name = "Scale bar: " })).ToHaveAttributeAsync("aria-label", new Regex("^Scale bar: [125]0* µm$"));
        await TabToAsync(page, "input[type=checkbox]", "DAPI_CONFOCAL");
        await page.Keyboard.PressAsync("Space");
        await ChangedAsync(labels, before);
    }

    private static async Task<string> IdAsync(IPage page)
    {
        var match = PlateHash.Match(await page.EvaluateAsync<string>("location.hash"));
        Assert.True(match.Success);
        return match.Groups[1].Value;
    }

    private static ILocator Canvas(IPage page, string caption) =>
        page.Locator("figure").Filter(new() { Has = page.Locator("figcaption", new() { HasTextRegex = new Regex($"^{caption}$") }) }).Locator(".pane canvas").First;

    // A picture as text, once it is more than black, no tile of it is on its way, and three looks at it are the same.
    private static async Task<string> SettledAsync(ILocator canvas, string? other = null)
    {
        string last = "";
        for (int i = 0, same = 0; i < 600; i++)
        {
            string now = await canvas.EvaluateAsync<string>("""
                canvas => {
                    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                    let hash = 2166136261, most = 0;
                    for (let i = 0; i < data.length; i++) {
                        hash = Math.imul(hash ^ data[i], 16777619);
                        if (i % 4 < 3 && data[i] > most) most = data[i];
                    }
                    return most > 20 && canvas.closest("[aria-busy]")?.ariaBusy === "false" ? String(hash >>> 0) : "";
                }
                """);
            same = now.Length > 0 && now == last && now != other ? same + 1 : 0;
            if (same == 2)
                return now;
            last = now;
            await Task.Delay(200, Stop);
        }

        throw new TimeoutException(other is null ? "The picture did not settle." : "The picture did not change.");
    }

    private static Task<string> ChangedAsync(ILocator canvas, string before) => SettledAsync(canvas, before);

    // DAPI is 4060FF: where it shines, blue is four times red, and no red is above green.
    private static Task<bool> IsBlueAloneAsync(ILocator canvas) => canvas.EvaluateAsync<bool>("""
        canvas => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let shining = 0;
            for (let i = 0; i < data.length; i += 4) {
                if (data[i + 2] < 40) continue;
                shining++;
                if (Math.abs(data[i] * 4 - data[i + 2]) > 8 || data[i] > data[i + 1]) return false;
            }
            return shining > 1000;
        }
        """);

    private async Task ThumbnailIsTheImageAsync(IPage page, string plate, string link)
    {
        string path = link[(link.IndexOf("/fields/", StringComparison.Ordinal) + "/fields/".Length)..];
        var reader = await OmeZarrReader.OpenAsync(BlobStores.Open(Path.Combine(fixture.ResultOf(plate), path)), Stop);
        int level = reader.Image.Levels - 1;
        Assert.True(level > 0);
        var (width, height) = reader.Image.LevelSize(level);
        double[] expected = new double[width * height * 3];
        for (int channel = 0; channel < reader.Image.Channels.Count; channel++)
        {
            var about = reader.Image.Channels[channel];
            if (!about.Active)
                continue;
            int colour = Convert.ToInt32(about.Color, 16);
            ushort[] pixels = await reader.ReadAsync(level, channel, new Region(0, 0, width, height), Stop);
            for (int i = 0; i < pixels.Length; i++)
            {
                double value = Math.Clamp((pixels[i] - about.Start) / (about.End - about.Start), 0, 1);
                for (int part = 0; part < 3; part++)
                    expected[i * 3 + part] += value * ((colour >> (16 - 8 * part)) & 255);
            }
        }

        int[] seen = await page.Locator(".fields canvas").First.EvaluateAsync<int[]>(
            "canvas => [canvas.width, canvas.height, ...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]");
        Assert.Equal((width, height), (seen[0], seen[1]));
        double worst = 0;
        for (int i = 0; i < width * height; i++)
        {
            for (int part = 0; part < 3; part++)
                worst = Math.Max(worst, Math.Abs(Math.Min(expected[i * 3 + part], 255) - seen[2 + i * 4 + part]));
        }

        Assert.InRange(worst, 0, 1);
        Assert.True(expected.Max() > 60, "the picture is not black");
    }

    // Goes on by Tab until an element has the focus; all that get it on the way show it.
    private static async Task TabToAsync(IPage page, string selector, string name)
    {
        for (int i = 0; i < 80; i++)
        {
            await page.Keyboard.PressAsync("Tab");
            string[] seen = await page.EvaluateAsync<string[]>("""
                selector => {
                    const element = document.activeElement, style = getComputedStyle(element);
                    const visible = element === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1);
                    return [String(visible), String(element.matches(selector)), element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent, element.outerHTML.slice(0, 200)];
                }
                """, selector);
            Assert.True(seen[0] == "true", $"The focus is not seen at {seen[3]}");
            if (seen[1] == "true" && seen[2].Trim().StartsWith(name, StringComparison.Ordinal))
                return;
        }

        Assert.Fail($"Tab does not come to {selector} '{name}'.");
    }
}

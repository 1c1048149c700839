using System.Text.Json;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace StainGrid.Web.Tests;

/// <summary>Each view at both widths, light and dark, looked at by axe-core; with pictures of them.</summary>
[Collection(nameof(PageFixture))]
public sealed class AccessibilityTests(PageFixture fixture) : IAsyncDisposable
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync() => await fixture.CloseAsync();

    [Theory]
    [InlineData(1280, ColorScheme.Light)]
    [InlineData(1280, ColorScheme.Dark)]
    [InlineData(390, ColorScheme.Light)]
    [InlineData(390, ColorScheme.Dark)]
    public async Task Every_view_is_accessible_and_fits_its_width(int width, ColorScheme scheme)
    {
        string plate = await fixture.PlateAsync();
        string axe = await File.ReadAllTextAsync(Path.Combine(await WebFolder.InstalledAsync(Stop), "node_modules", "axe-core", "axe.min.js"), Stop);
        var complaints = new List<string>();
        var page = await fixture.OpenAsync(signedIn: false, width, height: width < 600 ? 844 : 900, scheme, complaints);
        await page.GotoAsync(fixture.Url);
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Sign in" })).ToBeVisibleAsync();
        await CheckAsync("sign-in");
        await page.GetByLabel("API key").FillAsync(fixture.Key);
        await page.Keyboard.PressAsync("Enter");
        await Expect(page.GetByRole(AriaRole.Link, new() { Name = "Shared plate" })).ToBeVisibleAsync();
        await CheckAsync("plates");

        await page.GotoAsync(fixture.Url + "#/submit");
        await Expect(page.GetByLabel("DAPI_CONFOCAL")).ToBeVisibleAsync();
        await page.GetByText("More settings").ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Submit" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();
        await CheckAsync("submit");

        await page.GotoAsync($"{fixture.Url}#/plates/{plate}");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Quality" })).ToBeVisibleAsync();
        await page.Locator(".fields canvas").ScrollIntoViewIfNeededAsync();   // it is drawn when it comes into view
        await Expect(page.Locator("canvas[data-drawn]")).ToHaveCountAsync(1);
        await page.GetByText("Wells as a table").ClickAsync();
        await page.GetByText("Figures as a table").ClickAsync();
        await CheckAsync("plate");

        await page.GotoAsync($"{fixture.Url}#/plates/{plate}/fields/A/1/0");
        await Expect(page.Locator(".pane canvas")).ToHaveCountAsync(2);
        await page.GetByRole(AriaRole.Button, new() { Name = "Contrast by the pixels" }).ClickAsync();
        await page.WaitForTimeoutAsync(1500);
        await CheckAsync("viewer");
        await page.GetByRole(AriaRole.Radio, new() { Name = "Blended" }).CheckAsync();
        await page.WaitForTimeoutAsync(500);
        await CheckAsync("viewer-blended");
        Assert.Empty(complaints);

        async Task CheckAsync(string view)
        {
            string name = $"{view}-{width}-{scheme.ToString().ToLowerInvariant()}";
            await page.ScreenshotAsync(new() { Path = Path.Combine(PageFixture.Pictures, name + ".png"), FullPage = true });
            int seen = await page.EvaluateAsync<int>("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)");
            Assert.True(seen <= width, $"{name} is {seen} pixels wide");
            await page.EvaluateAsync(axe);
            var problems = await page.EvaluateAsync<JsonElement>("""
                async () => (await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }))
                    .violations.map(each => `${each.id}: ${each.help}: ${each.nodes.map(node => node.html.slice(0, 160)).join(" | ")}`)
                """);
            Assert.True(problems.GetArrayLength() == 0, $"{name}: {string.Join('\n', problems.EnumerateArray())}");
        }
    }
}

using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace StainGrid.Http.Tests;

/// <summary>What proxies say of those they ask for: believed of those that are named, and of nobody else.</summary>
public sealed class ProxyTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("127.0.0.0/8", true)]
    [InlineData("10.1.0.0/16", false)]
    [InlineData(null, false)]
    public async Task Who_asks_and_by_what_name_is_what_a_trusted_proxy_says(string? trusted, bool believed)
    {
        await using var service = new Service { TrustedProxies = trusted is null ? [] : [IPNetwork.Parse(trusted)] };
        await service.InitializeAsync();
        using var client = service.Client(null);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/session") { Content = JsonContent.Create(new { key = service.Submitter }) };
        foreach (var (name, value) in ((string, string)[])[("Origin", "https://stain.example"), ("X-Forwarded-Host", "stain.example"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "203.0.113.7")])
            request.Headers.TryAddWithoutValidation(name, value);
        using var answer = await client.SendAsync(request, Stop);
        Assert.Equal(believed ? HttpStatusCode.NoContent : HttpStatusCode.Forbidden, answer.StatusCode);   // a page of stain.example asks, of whatever this service is
        Assert.Equal(believed, answer.Headers.TryGetValues("Set-Cookie", out var cookies) && cookies.Single().Contains("; secure", StringComparison.OrdinalIgnoreCase));

        using var operators = service.Client(service.Operator);
        JsonNode? noted = null;
        for (var deadline = DateTime.UtcNow.AddMinutes(3); noted is null; await Task.Delay(200, Stop))   // it is written in a moment
        {
            Assert.True(DateTime.UtcNow < deadline, "The request is not in the audit log.");
            noted = (await Service.AuditAsync(operators)).FirstOrDefault(entry => (string)entry["path"]! == "/v1/session");
        }

        Assert.Equal(believed ? "203.0.113.7" : "127.0.0.1", ((string)noted["address"]!).Replace("::ffff:", "", StringComparison.Ordinal));
    }
}

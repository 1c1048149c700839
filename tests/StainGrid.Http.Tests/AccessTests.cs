using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using StainGrid.Grains;
using StainGrid.Silo.Http;

namespace StainGrid.Http.Tests;

/// <summary>Who may do what.</summary>
public sealed class AccessTests(Service service) : IClassFixture<Service>
{
    private static readonly string[] s_open = ["/health/live", "/health/ready", "/v1/version", "/v1/session"];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_route_refuses_who_has_no_valid_credential()
    {
        using var rsa = RSA.Create(2048);
        var (_, expired) = await service.Keys.CreateAsync("short", "lab-a", ServiceRole.Operate, TimeSpan.FromMilliseconds(1), Stop);
        var (revoked, shown) = await service.Keys.CreateAsync("revoked", "lab-a", ServiceRole.Operate, TimeSpan.FromDays(1), Stop);
        Assert.True(await service.Keys.RevokeAsync(revoked.Id, Stop));
        string good = service.Provider.Token(roles: "operate");
        string[] parts = good.Split('.');
        string unsigned = $"{Base64("{\"alg\":\"none\",\"typ\":\"JWT\"}")}.{parts[1]}.";
        (string Name, string? Credential)[] wrong =
        [
            ("none", null), ("empty", ""), ("no key", "sgk_"), ("unknown key", "sgk_0123456789ab_" + new string('0', 64)), ("expired key", expired), ("revoked key", shown),
            ("another secret", service.Operator[..^4] + (service.Operator.EndsWith("0000", StringComparison.Ordinal) ? "1111" : "0000")), ("path as key", "sgk_../../../x_y"), ("long", "sgk_" + new string('a', 10_000)),
            ("garbage token", "a.b.c"), ("expired token", service.Provider.Token(roles: "operate", age: TimeSpan.FromHours(1))), ("token not yet valid", service.Provider.Token(roles: "operate", age: -TimeSpan.FromHours(1))),
            ("other audience", service.Provider.Token(roles: "operate", audience: "other")), ("other issuer", service.Provider.Token(roles: "operate", issuer: "http://elsewhere")),
            ("other signature", service.Provider.Token(roles: "operate", signedBy: rsa)), ("unsigned", unsigned), ("tampered", $"{parts[0]}.{Base64(Encoding.UTF8.GetString(FromBase64(parts[1])).Replace("lab-a", "lab-b"))}.{parts[2]}"),
            ("token without a dot", "x"), ("no tenant", service.Provider.Token(tenant: "")), ("bad tenant", service.Provider.Token(tenant: "../x")), ("no role", service.Provider.Token(roles: "admin 3")),
        ];
        var routes = await RoutesAsync();
        Assert.True(routes.Count > 20, $"{routes.Count} routes.");
        foreach (var (name, credential) in wrong)
        {
            using var client = service.Client(null);
            if (credential is not null)
                client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", "Bearer " + credential);
            foreach (var (method, path) in routes)
            {
                using var response = await SendAsync(client, method, path);
                Assert.True(response.StatusCode == HttpStatusCode.Unauthorized, $"{method} {path} with {name}: {(int)response.StatusCode}");
                Assert.True(method == "HEAD" || (string?)JsonNode.Parse(await response.Content.ReadAsStringAsync(Stop))!["code"] == "unauthenticated");
            }
        }

        foreach (string scheme in (string[])["Basic", "bearer2"])
        {
            using var client = service.Client(null);
            client.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", $"{scheme} {service.Operator}");
            Assert.Equal(HttpStatusCode.Unauthorized, (await client.GetAsync("/v1/me", Stop)).StatusCode);
        }
    }

    [Fact]
    public async Task Another_tenants_credential_finds_nothing_and_changes_nothing()
    {
        using var owner = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(owner, ("r02c02f01p01-ch1sk1fk1fl1.tiff", Service.Png(3)));
        string plate = await Service.RunAsync(owner, $"upload:{upload}");
        foreach (string credential in (string[])[service.Other, service.Provider.Token("lab-b", "operate")])
        {
            using var other = service.Client(credential);
            foreach (var (method, path) in (await RoutesAsync(plate, upload)).Where(route => route.Path.Contains(plate) || route.Path.Contains(upload)))
            {
                using var response = await SendAsync(other, method, path);
                Assert.True(response.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.NoContent or HttpStatusCode.BadRequest or HttpStatusCode.UnsupportedMediaType, $"{method} {path}: {(int)response.StatusCode}");
                string body = await response.Content.ReadAsStringAsync(Stop);
                Assert.True(response.StatusCode != HttpStatusCode.NoContent || body.Length == 0);
                Assert.DoesNotContain("lab-a", body);
            }

            Assert.Equal(HttpStatusCode.NotFound, (await Service.BeginAsync(other, upload, "b.png", 5)).StatusCode);
            Assert.Equal(HttpStatusCode.NotFound, (await Service.AddAsync(other, $"/v1/uploads/{upload}/files/r02c02f01p01-ch1sk1fk1fl1.tiff", 0, [1])).StatusCode);
            using var source = await Service.SubmitAsync(other, $"upload:{upload}");
            Assert.Equal(HttpStatusCode.UnprocessableEntity, source.StatusCode);
            Assert.DoesNotContain(plate, await other.GetStringAsync("/v1/plates", Stop));
            Assert.Contains($"There is no source", await (await Service.SubmitAsync(owner, "share:own/plate")).Content.ReadAsStringAsync(Stop));
        }

        Assert.Equal("complete", (string)(await Service.JsonAsync(await owner.GetAsync($"/v1/plates/{plate}", Stop)))["state"]!);
        Assert.Single((await Service.JsonAsync(await owner.GetAsync($"/v1/uploads/{upload}", Stop)))["files"]!.AsArray());
    }

    [Fact]
    public async Task Roles_allow_what_they_name_and_no_more()
    {
        var routes = await RoutesAsync();
        bool Submits((string Method, string Path) route) => route.Path.StartsWith("/v1/uploads", StringComparison.Ordinal) || (route.Method is "POST" or "DELETE" && route.Path.StartsWith("/v1/plates", StringComparison.Ordinal));
        bool Operates((string Method, string Path) route) => route.Path.StartsWith("/v1/audit", StringComparison.Ordinal) || route.Path.StartsWith("/dashboard", StringComparison.Ordinal);
        foreach (var (credential, refused) in ((string, Func<(string Method, string Path), bool>)[])
            [
                (service.Reader, route => Submits(route) || Operates(route)), (service.Submitter, Operates), (service.Operator, _ => false),
                (service.Provider.Token(roles: "read"), route => Submits(route) || Operates(route)), (service.Provider.Token(tenant: "operators", roles: "read operate"), _ => false),
                (service.Provider.Token(roles: "read operate"), route => route.Path.StartsWith("/dashboard", StringComparison.Ordinal)),
            ])
        {
            using var client = service.Client(credential);
            foreach (var route in routes)
            {
                using var response = await SendAsync(client, route.Method, route.Path);
                Assert.True((response.StatusCode == HttpStatusCode.Forbidden) == refused(route), $"{route}: {(int)response.StatusCode}");
                Assert.NotEqual(HttpStatusCode.Unauthorized, response.StatusCode);
            }
        }
    }

    [Fact]
    public async Task A_browser_signs_in_by_a_cookie_that_pages_of_others_cannot_use_and_that_ends_with_its_key()
    {
        var (key, secret) = await service.Keys.CreateAsync("browser", "lab-a", ServiceRole.Submit, TimeSpan.FromDays(1), Stop);
        using var client = service.Client(null);
        foreach (string body in (string[])["{\"key\":null}", "{}", "{\"key\":5}", "null"])
            Assert.Equal(HttpStatusCode.BadRequest, (await client.PostAsync("/v1/session", Json(body), Stop)).StatusCode);
        using var refused = await client.PostAsync("/v1/session", Json("{\"key\":\"sgk_0123456789ab_00\"}"), Stop);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        using var signedIn = await client.PostAsync("/v1/session", Json($"{{\"key\":\"{secret}\"}}"), Stop);
        Assert.Equal(HttpStatusCode.NoContent, signedIn.StatusCode);
        string cookie = signedIn.Headers.GetValues("Set-Cookie").Single();
        Assert.Contains("httponly", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("samesite=strict", cookie, StringComparison.OrdinalIgnoreCase);
        client.DefaultRequestHeaders.Add("Cookie", cookie.Split(';')[0]);
        var me = await Service.JsonAsync(await client.GetAsync("/v1/me", Stop));
        Assert.Equal(("browser", "lab-a"), ((string)me["name"]!, (string)me["tenant"]!));
        using var byToken = await client.PostAsync("/v1/session", Json($"{{\"key\":\"{service.Provider.Token()}\"}}"), Stop);
        Assert.Equal(HttpStatusCode.NoContent, byToken.StatusCode);
        using var byExpired = await client.PostAsync("/v1/session", Json($"{{\"key\":\"{service.Provider.Token(age: TimeSpan.FromHours(1))}\"}}"), Stop);
        Assert.Equal(HttpStatusCode.Unauthorized, byExpired.StatusCode);
        using (var post = new HttpRequestMessage(HttpMethod.Post, "/v1/uploads"))
        {
            post.Headers.Add("Origin", "http://evil.example");
            Assert.Equal(HttpStatusCode.Forbidden, (await client.SendAsync(post, Stop)).StatusCode);
        }

        using (var post = new HttpRequestMessage(HttpMethod.Post, "/v1/uploads"))
        {
            post.Headers.Add("Origin", service.Url.GetLeftPart(UriPartial.Authority));
            Assert.Equal(HttpStatusCode.Created, (await client.SendAsync(post, Stop)).StatusCode);
        }

        using var tampered = service.Client(null);
        tampered.DefaultRequestHeaders.Add("Cookie", cookie.Split(';')[0][..^6] + "AAAAAA");
        Assert.Equal(HttpStatusCode.Unauthorized, (await tampered.GetAsync("/v1/me", Stop)).StatusCode);

        await service.Keys.RevokeAsync(key.Id, Stop);
        await Task.Delay(ApiKeys.Delay + TimeSpan.FromSeconds(1), Stop);
        Assert.Equal(HttpStatusCode.Unauthorized, (await client.GetAsync("/v1/me", Stop)).StatusCode);
    }

    [Fact]
    public async Task The_audit_log_tells_who_did_what_and_who_was_refused()
    {
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client);
        using var refused = service.Client(service.Reader);
        await refused.PostAsync("/v1/uploads", null, Stop);
        await client.PostAsync($"/v1/plates/{new string('c', 32)}/cancel", null, Stop);
        using var stranger = service.Client("sgk_0123456789ab_00");
        await stranger.GetAsync("/v1/plates", Stop);
        using var foreign = service.Client(service.Provider.Token("lab-b", "operate"));
        using var operators = service.Client(service.Operator);
        Predicate<JsonNode>[] expected =
        [
            entry => (string)entry["name"]! == "submitter" && (string)entry["tenant"]! == "lab-a" && (string)entry["path"]! == "/v1/uploads" && (int)entry["status"]! == 201,
            entry => (string)entry["name"]! == "reader" && (int)entry["status"]! == 403,
            entry => (string)entry["name"]! == "submitter" && ((string)entry["path"]!).EndsWith("/cancel", StringComparison.Ordinal) && (int)entry["status"]! == 404,
            entry => (string)entry["caller"]! == "?" && (int)entry["status"]! == 401,
        ];
        JsonNode[] entries = [];
        for (var patience = Stopwatch.StartNew(); !expected.All(one => Array.Exists(entries, one)); await Task.Delay(200, Stop))   // it is written in a moment
        {
            Assert.True(patience.Elapsed < TimeSpan.FromSeconds(60), string.Join('\n', entries.Select(entry => entry.ToJsonString())));
            entries = await Service.AuditAsync(operators);
        }

        // Beside those of a silo of a later version, which notes more.
        string day = Path.Combine(service.State, "service", "audit", $"{DateTime.UtcNow:yyyy-MM-dd}");
        Assert.True(Directory.Exists(day));
        await File.WriteAllTextAsync(Path.Combine(day, "000000-later.jsonl"), """{"time":"2026-01-01T00:00:00Z","caller":"later","tenant":"lab-b","method":"POST","path":"/","status":200,"more":1}""" + "\n", Stop);
        string own = await foreign.GetStringAsync("/v1/audit", Stop);
        Assert.DoesNotContain("lab-a", own);
        Assert.Contains("later", own);
        Assert.DoesNotContain(entries, entry => entry.ToJsonString().Contains("sgk_", StringComparison.Ordinal));
        Assert.NotEmpty(upload);
    }

    [Fact]
    public void Bound_to_more_than_this_machine_the_service_wants_authentication()
    {
        var places = new ServiceOptions { Results = "/x", Models = [new("m", "/m")] };
        foreach (string address in (string[])["0.0.0.0:80", "[::]:80", "10.0.0.1:80"])
        {
            Assert.Contains("let everybody in", Assert.Throws<ArgumentException>(new HttpOptions { Listen = address, Service = places }.ThrowIfInvalid).Message);
            new HttpOptions { Listen = address, Service = places, RequireAuthentication = true }.ThrowIfInvalid();
        }

        new HttpOptions { Listen = "[::1]:0", Service = places }.ThrowIfInvalid();
        Assert.Contains("--registry", Assert.Throws<ArgumentException>(new HttpOptions { Service = places with { Registry = "https://" } }.ThrowIfInvalid).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(new HttpOptions { Service = places, RequireAuthentication = true, OidcAuthority = "http://elsewhere.example" }.ThrowIfInvalid);
        Assert.Throws<ArgumentException>(new HttpOptions { Service = places with { Shares = new Dictionary<string, string> { ["../x"] = "/" } } }.ThrowIfInvalid);
    }

    // Every route of the service that asks who comes, with ids that are not there unless said.
    private async Task<IReadOnlyList<(string Method, string Path)>> RoutesAsync(string? plate = null, string? upload = null)
    {
        using var client = service.Client(null);
        var document = JsonNode.Parse(await client.GetStringAsync("/openapi/v1.json", Stop))!;
        var routes = new List<(string, string)> { ("GET", "/dashboard"), ("GET", "/dashboard/index.min.js"), ("GET", "/dashboard/DashboardCounters") };
        foreach (var (template, methods) in document["paths"]!.AsObject())
        {
            if (s_open.Contains(template))
                continue;
            string id = template.StartsWith("/v1/uploads", StringComparison.Ordinal) ? upload ?? new string('a', 32) : plate ?? new string('b', 32);
            string path = template.Replace("{id}", id).Replace("{name}", "r02c02f01p01-ch1sk1fk1fl1.tiff").Replace("{path}", ".zattrs").Replace("{row}", "B").Replace("{column}", "2").Replace("{field}", "0");
            Assert.DoesNotContain("{", path);
            foreach (var (method, _) in methods!.AsObject())
                routes.Add((method.ToUpperInvariant(), path));
        }

        return routes;
    }

    private static async Task<HttpResponseMessage> SendAsync(HttpClient client, string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (method is "POST" or "PATCH")
            request.Content = Json("{}");
        return await client.SendAsync(request, Stop);
    }

    private static StringContent Json(string text) => new(text, Encoding.UTF8, new MediaTypeHeaderValue("application/json"));

    private static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text)).TrimEnd('=').Replace('+', '-').Replace('/', '_');

    private static byte[] FromBase64(string text) => Convert.FromBase64String(text.Replace('-', '+').Replace('_', '/').PadRight((text.Length + 3) / 4 * 4, '='));
}

using System.Buffers.Binary;
using System.Diagnostics;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;

namespace StainGrid.Http.Tests;

/// <summary>What is sent in bad faith: paths, headers, bodies, images.</summary>
[Collection(nameof(Alone))]
public sealed class HostileTests(Service service) : IClassFixture<Service>
{
    private const string Secret = "SECRET-OF-THE-SERVICE";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task No_path_leaves_the_plate()
    {
        using var client = service.Client(service.Submitter);
        string plate = await Service.RunAsync(client, "share:all/plate");
        foreach (string path in (string[])
            [
                "../../../secret.txt", "..%2f..%2f..%2fsecret.txt", "%2e%2e/%2e%2e/%2e%2e/secret.txt", "..%5c..%5c..%5csecret.txt", "..\\..\\..\\secret.txt", "%252e%252e/secret.txt",
                "/etc/passwd", "%2fetc%2fpasswd", "//etc/passwd", "B/../../../../secret.txt", "B/2/0/../../../../../../secret.txt", "B/%00", ".zattrs%00.png", ".", "..", "B//2", "%c0%ae%c0%ae/secret.txt",
                ".staingrid/grains/x", ".staingrid-locks/x", new string('a', 5000), "a/" + string.Concat(Enumerable.Repeat("b/", 900)), "C:/x", "B/2/0/.zattrs/x", "%EF%BC%8E%EF%BC%8E/secret.txt",
            ])
        {
            foreach (string route in (string[])["zarr", "input/B/2/0"])
            {
                string answer = await RawAsync($"GET /v1/plates/{plate}/{route}/{path} HTTP/1.1\r\nHost: {service.Url.Authority}\r\nAuthorization: Bearer {service.Submitter}\r\nConnection: close\r\n\r\n");

                // Dots that the server resolves may lead to another route of the API, which asks as much.
                Assert.True(path is "." or ".." && answer.Contains("application/json") || System.Text.RegularExpressions.Regex.IsMatch(answer, "^HTTP/1.1 (400|404|414) "), $"{route}/{path}: {answer}");
                Assert.DoesNotContain(Secret, answer);
                Assert.DoesNotContain("root:", answer);
            }
        }

        foreach (string query in (string[])["prefix=../../", "prefix=/", "prefix=../x", "prefix=a//b", "prefix=B/./x", "prefix=.staingrid-locks/x", "prefix=%00/x"])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await client.GetAsync($"/v1/plates/{plate}/files?{query}", Stop)).StatusCode);
    }

    [Fact]
    public async Task No_source_or_name_of_a_file_leaves_its_root_and_no_answer_tells_where_things_are()
    {
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", Service.Png(1)));
        foreach (string source in (string[])
            [
                "/etc", "file:///etc", "https://elsewhere.example/container", "azure://container/x", "../secret.txt", "upload:", $"upload:{upload}/../../../", $"upload:{upload}/..", "upload:../../private",
                $"upload:{upload}//etc", "share:all/../private", "share:all/..", "share:", "share:all/plate/../../secret.txt", "share:lab-b/own", "share:own", "share:all\0/x", "share:all/plate\\..", $"upload:{upload}/%2e%2e",
                "share:all/nothing", "share:all/plate/r02c02f01p01-ch1sk1fk1fl1.tiff", "", "x:y:z", new string('x', 100_000),
            ])
        {
            using var response = await Service.SubmitAsync(client, source);
            string text = await response.Content.ReadAsStringAsync(Stop);
            Assert.True(response.StatusCode is HttpStatusCode.UnprocessableEntity or HttpStatusCode.BadRequest, $"{source[..Math.Min(50, source.Length)]}: {(int)response.StatusCode} {text}");
            Assert.DoesNotContain("/tmp/", text);
            Assert.DoesNotContain(Secret, text);
        }

        foreach (string name in (string[])["../x.png", "a/b.png", "..\\x.png", "/x.png", "C:x.png", ".x.png", "x.png\0", "x", "x.exe", "x.png.partial", new string('x', 300) + ".png", new string('ä', 100) + ".png", "", " .png\n", "x.length"])
            Assert.True((await Service.BeginAsync(client, upload, name, 10)).StatusCode is HttpStatusCode.UnprocessableEntity or HttpStatusCode.BadRequest, name);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await Service.BeginAsync(client, upload, "x.png", long.MaxValue)).StatusCode);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await Service.BeginAsync(client, upload, "x.png", 0)).StatusCode);

        // A manifest that leads out, a link in a share.
        string manifest = await Service.UploadAsync(client, ("m.csv", Encoding.UTF8.GetBytes("well,field,plane,file\nB02,0,0,../../../secret.txt\n")));
        Directory.CreateSymbolicLink(service.InShare("link"), Path.GetDirectoryName(service.InShare("x"))! + "/../private");
        foreach (string source in (string[])[$"upload:{manifest}/m.csv", "share:all/link", "share:all/link/x"])
        {
            using var response = await Service.SubmitAsync(client, source);
            Assert.Equal(HttpStatusCode.UnprocessableEntity, response.StatusCode);
            Assert.DoesNotContain("/tmp/", await response.Content.ReadAsStringAsync(Stop));
        }

        // Also where a field fails later.
        byte[] cut = Service.Png(1)[..3000];
        string broken = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", cut), ("r02c03f01p01-ch1sk1fk1fl1.tiff", Service.Png(2)));
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, $"upload:{broken}")))["plate_id"]!;
        Assert.Equal("complete_with_failures", await Service.EndAsync(client, id));
        string fields = await client.GetStringAsync($"/v1/plates/{id}/fields", Stop);
        Assert.Contains("r02c02f01p01-ch1sk1fk1fl1.tiff ends at byte 3,000", fields);
        foreach (string page in (string[])[fields, await client.GetStringAsync("/v1/plates", Stop), await client.GetStringAsync($"/v1/plates/{id}", Stop), await client.GetStringAsync($"/v1/plates/{id}/zarr/staingrid-fields.csv", Stop)])
            Assert.DoesNotContain("/tmp/", page);
    }

    [Fact]
    public async Task Headers_and_bodies_out_of_all_measure_are_refused_in_clear_lines()
    {
        using var client = service.Client(service.Submitter);
        foreach (var (body, type, status) in ((string, string, int)[])
            [
                ("{\"source\":\"share:all/plate\",\"name\":\"" + new string('n', 2 << 20) + "\"}", "application/json", 413), (new string('[', 100_000), "application/json", 400),
                (string.Concat(Enumerable.Repeat("{\"a\":", 1000)), "application/json", 400), ("{}", "application/json", 400), ("null", "application/json", 400), ("", "application/json", 400), ("[]", "application/json", 400),
                ("{\"source\":1}", "application/json", 400), ("{\"source\":\"a\",\"source\":\"b\"}", "application/json", 400), ("{\"source\":\"a\",\"admin\":true}", "application/json", 400),
                ("{\"source\":\"share:all/plate\",\"stride\":\"64\"}", "application/json", 400), ("{\"source\":\"share:all/plate\",\"stride\":1e99}", "application/json", 400), ("{\"source\":\"share:all/plate\",\"statistics\":[7]}", "application/json", 400),
                ("{\"source\":\"share:all/plate\"}", "text/plain", 415), ("{\"source\":\"share:all/plate\",\"labels\":[null]}", "application/json", 422), ("{\"source\":\"share:all/plate\",\"labels\":null}", "application/json", 400),
                ("{\"source\":\"share:all/plate\",\"stride\":1}", "application/json", 422), ("{\"source\":\"share:all/plate\",\"plane\":-1}", "application/json", 422), ("{\"source\":\"share:all/plate\",\"weight\":1000}", "application/json", 422),
                ("{\"source\":\"share:all/plate\",\"model\":\"../../x\"}", "application/json", 422), ("{\"source\":\"share:all/plate\",\"pattern\":\"(a+)+$(?<well>x)\"}", "application/json", 422), ("{\"source\":null}", "application/json", 400), ("{\"source\":\"share:all/plate" + new string('/', 100_000) + "\"}", "application/json", 422),
            ])
        {
            using var content = new StringContent(body, Encoding.UTF8, type);
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/plates") { Content = content };
            request.Headers.ExpectContinue = status == 413;   // or the connection may be closed while the body is on its way
            using var response = await client.SendAsync(request, Stop);
            string text = await response.Content.ReadAsStringAsync(Stop);
            Assert.True((int)response.StatusCode == status, $"{body[..Math.Min(80, body.Length)]}: {(int)response.StatusCode} {text}");
            Assert.NotEmpty((string)JsonNode.Parse(text)!["title"]!);
        }

        Assert.StartsWith("HTTP/1.1 431", await RawAsync($"GET /v1/me HTTP/1.1\r\nHost: {service.Url.Authority}\r\nX-Long: {new string('x', 100_000)}\r\n\r\n"));
        Assert.StartsWith("HTTP/1.1 400", await RawAsync("GET /v1/me HTTP/1.1\r\n\r\n"));
        Assert.StartsWith("HTTP/1.1 400", await RawAsync($"POST /v1/plates HTTP/1.1\r\nHost: {service.Url.Authority}\r\nContent-Length: -5\r\n\r\n"));
        using var invalid = new ByteArrayContent([.. "{\"source\":\""u8, 0xFF, 0xFE, .. "\"}"u8]);
        invalid.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        Assert.Equal(HttpStatusCode.BadRequest, (await client.PostAsync("/v1/plates", invalid, Stop)).StatusCode);

        // A packed body is not unpacked.
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.SmallestSize, leaveOpen: true))
            gzip.Write(new byte[50 << 20]);
        using var bomb = new ByteArrayContent(packed.ToArray());
        bomb.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        bomb.Headers.ContentEncoding.Add("gzip");
        Assert.Equal(HttpStatusCode.BadRequest, (await client.PostAsync("/v1/plates", bomb, Stop)).StatusCode);
    }

    [Fact]
    public async Task An_image_that_claims_to_be_enormous_fails_alone_and_takes_no_memory()
    {
        using var client = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(client, ("r02c02f01p01-ch1sk1fk1fl1.tiff", Bomb(1_000_000)), ("r02c03f01p01-ch1sk1fk1fl1.tiff", Bomb(90_000)), ("r02c04f01p01-ch1sk1fk1fl1.tiff", Service.Png(4)));
        long before = Process.GetCurrentProcess().PeakWorkingSet64;
        string id = (string)(await Service.JsonAsync(await Service.SubmitAsync(client, $"upload:{upload}")))["plate_id"]!;
        Assert.Equal("complete_with_failures", await Service.EndAsync(client, id));
        var fields = (await Service.JsonAsync(await client.GetAsync($"/v1/plates/{id}/fields", Stop)))["fields"]!.AsArray();
        Assert.Equal(["failed", "failed", "complete"], fields.Select(field => (string)field!["state"]!));
        Assert.All(fields.Take(2), field => Assert.NotEmpty((string)field!["reason"]!));
        foreach (int column in (int[])[2, 3])
        {
            using var input = await client.GetAsync($"/v1/plates/{id}/input/B/{column}/0/.zattrs", Stop);
            Assert.Equal(HttpStatusCode.NotFound, input.StatusCode);
            Assert.DoesNotContain("/tmp/", await input.Content.ReadAsStringAsync(Stop));
        }

        Process.GetCurrentProcess().Refresh();
        long grown = Process.GetCurrentProcess().PeakWorkingSet64 - before;
        Assert.True(grown < 600L << 20, $"It took {grown >> 20} MB.");
    }

    [Theory]
    [InlineData(1)]
    public async Task A_thousand_requests_made_up_at_random_bring_no_500_no_others_data_and_no_growth(int seed)
    {
        using var owner = service.Client(service.Submitter);
        string upload = await Service.UploadAsync(owner, ("r02c02f01p01-ch1sk1fk1fl1.tiff", Service.Png(3)));
        string plate = await Service.RunAsync(owner, $"upload:{upload}");
        var random = new Random(seed);
        string[] words = [plate, upload, "..", "%2e%2e", ".zattrs", "zarr", "input", "files", "events", "cancel", "retry", "fields", "v1", "plates", "uploads", "models", "audit", "B", "2", "0", "-1", "99999999999999999999", "%00", "ü", "'", "\"", "<x>", "{}", "*", "~", "lab-a~" + plate, ""];
        string[] methods = ["GET", "GET", "GET", "POST", "POST", "PATCH", "DELETE", "HEAD", "PUT", "OPTIONS", "TRACE", "XYZ"];
        string[] headers = ["Range: bytes=0-", "Range: bytes=5-1", "Range: bytes=-99999999999999", "Range: x", "Last-Event-ID: 9", "Last-Event-ID: x", "If-None-Match: \"x\"", "If-None-Match: x", "Upload-Length: 5", "Upload-Length: x", "Upload-Offset: 1", "Upload-Metadata: filename eA==", "Upload-Metadata: ,,,  ", "Idempotency-Key: ", "Idempotency-Key: x", "Origin: null", "Accept: x/y", "Content-Type: application/json", "Content-Type: application/offset+octet-stream", "Content-Type: x", "Cookie: staingrid=x", "Expect: x", "Transfer-Encoding: gzip", "X-Forwarded-For: 127.0.0.1"];
        string[] bodies = ["", "{}", "{\"source\":\"share:all/plate\"", "{\"source\":\"upload:" + upload + "\"}", "[1,2", "\0\0\0", "{\"key\":\"x\"}", "{\"key\":null}"];
        long before = Process.GetCurrentProcess().WorkingSet64;
        var statuses = new SortedDictionary<int, int>();
        for (int i = 0; i < 1000; i++)
        {
            string path = random.Next(4) == 0 ? "/" + string.Concat(Enumerable.Range(0, random.Next(20)).Select(_ => (char)random.Next(33, 127)))
                : $"/v1/{(random.Next(2) == 0 ? "plates" : "uploads")}/" + string.Join('/', Enumerable.Range(0, random.Next(6)).Select(_ => words[random.Next(words.Length)]));
            if (random.Next(3) == 0)
                path += "?" + string.Join('&', Enumerable.Range(0, random.Next(4)).Select(_ => $"{(string[])["limit", "after", "state", "text", "prefix", "day"] switch { var names => names[random.Next(names.Length)] }}={Uri.EscapeDataString(words[random.Next(words.Length)])}"));
            string body = bodies[random.Next(bodies.Length)];
            string request = $"{methods[random.Next(methods.Length)]} {path.Replace(' ', '+')} HTTP/1.1\r\nHost: {service.Url.Authority}\r\nAuthorization: Bearer {service.Other}\r\nConnection: close\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n"
                + string.Concat(Enumerable.Range(0, random.Next(4)).Select(_ => headers[random.Next(headers.Length)] + "\r\n")) + "\r\n" + body;
            string answer = await RawAsync(request, seconds: 5);
            int status = answer.Length == 0 ? 0 : int.Parse(answer[9..12]);
            statuses[status] = statuses.GetValueOrDefault(status) + 1;
            Assert.True(status is 0 or (>= 200 and < 500), $"{i}: {request}\n{answer}");
            Assert.DoesNotContain("lab-a", answer[..Math.Max(0, answer.IndexOf("\r\n\r\n", StringComparison.Ordinal))] + answer[Math.Max(0, answer.IndexOf("\r\n\r\n", StringComparison.Ordinal))..].Replace("lab-a~" + plate, ""));
            Assert.DoesNotContain("\"plate_id\":\"" + plate, answer);
            Assert.DoesNotContain("/tmp/", answer);
        }

        Process.GetCurrentProcess().Refresh();
        long grown = Process.GetCurrentProcess().WorkingSet64 - before;
        TestContext.Current.TestOutputHelper?.WriteLine($"{string.Join(", ", statuses.Select(pair => $"{pair.Key}: {pair.Value}"))}; {grown >> 20} MB more.");
        Assert.True(statuses.Count > 5, string.Join(", ", statuses));
        Assert.True(grown < 500L << 20, $"It grew by {grown >> 20} MB.");
    }

    // A PNG header of so many pixels a side, and one row of nothing.
    private static byte[] Bomb(int side)
    {
        using var png = new MemoryStream();
        png.Write([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]);
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, side);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), side);
        header[8] = 16;
        Chunk("IHDR", header);
        using var data = new MemoryStream();
        using (var zlib = new ZLibStream(data, CompressionLevel.SmallestSize, leaveOpen: true))
        {
            for (int i = 0; i < 200; i++)
                zlib.Write(new byte[1 << 20]);
        }

        Chunk("IDAT", data.ToArray());
        Chunk("IEND", []);
        return png.ToArray();

        void Chunk(string type, byte[] bytes)
        {
            byte[] typed = [.. Encoding.ASCII.GetBytes(type), .. bytes], number = new byte[4];
            BinaryPrimitives.WriteInt32BigEndian(number, bytes.Length);
            png.Write(number);
            png.Write(typed);
            uint crc = uint.MaxValue;
            foreach (byte value in typed)
            {
                crc ^= value;
                for (int bit = 0; bit < 8; bit++)
                    crc = (crc & 1) == 0 ? crc >> 1 : 0xEDB88320 ^ crc >> 1;
            }

            BinaryPrimitives.WriteUInt32BigEndian(number, ~crc);
            png.Write(number);
        }
    }

    // As it stands: HttpClient would tidy paths up. The answer, at most 64 kB of it.
    private async Task<string> RawAsync(string request, int seconds = 60)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, service.Url.Port, Stop);
        var stream = client.GetStream();
        byte[] buffer = new byte[1 << 16];
        int read = 0;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        patience.CancelAfter(TimeSpan.FromSeconds(seconds));
        try
        {
            try
            {
                await stream.WriteAsync(Encoding.UTF8.GetBytes(request), patience.Token);
            }
            catch (IOException)
            {
                // Refused before it was sent whole: the answer is there.
            }

            for (int more; read < buffer.Length && (more = await stream.ReadAsync(buffer.AsMemory(read), patience.Token)) > 0;)
                read += more;
        }
        catch (Exception e) when (e is IOException || (e is OperationCanceledException && !Stop.IsCancellationRequested))
        {
            // Closed in the middle, or a stream of events.
        }

        return Encoding.UTF8.GetString(buffer, 0, read);
    }
}

/// <summary>Runs with no other tests beside it: the memory of the process is looked at.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;
